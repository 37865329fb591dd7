//! One session: its windows, its links, and what of them is not settled.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Buf as _, Bytes, BytesMut};
use fe2o3_amqp_types::definitions::{Error, Handle, Role};
use fe2o3_amqp_types::messaging::DeliveryState;
use fe2o3_amqp_types::performatives::{Attach, Begin, Detach, Disposition, End, Flow, Performative, Transfer};

use super::link::{CREDIT, CREDIT_STEP, Link, LinkId, Parcel, Partial, Stage, Way};
use super::wire::Wire;
use super::{Delivery, Event, Modes};
use crate::faults::planted;
use crate::heads::amqp::condition::{bare, error};

/// Transfers the client may send before the hub says so again.
const WINDOW: u32 = 5000;

/// Largest handle, unless the client wants fewer.
pub const HANDLE_MAX: u32 = 262_143;

/// A session.
#[derive(Debug)]
pub struct Session {
    channel: u16,
    next_incoming_id: u32,
    incoming_window: u32,
    next_outgoing_id: u32,
    /// Transfers the client still takes.
    remote_window: u32,
    /// What BEGIN said of that.
    outgoing_window: u32,
    handle_max: u32,
    next_delivery: u32,
    links: BTreeMap<u32, Link>,
    /// Handles whose ATTACH is not answered, nor anything else that comes on them.
    unheard: BTreeSet<u32>,
    unsettled: BTreeMap<u32, (LinkId, u64)>,
    /// Names of links so far: only a planted fault notes them.
    used: BTreeSet<String>,
    /// Whether the hub's END is out.
    ending: bool,
}

impl Session {
    /// Answers BEGIN.
    pub fn begin(channel: u16, begin: &Begin, wire: &mut Wire) -> Session {
        let session = Session {
            channel,
            next_incoming_id: begin.next_outgoing_id,
            incoming_window: WINDOW,
            next_outgoing_id: 1,
            remote_window: begin.incoming_window,
            outgoing_window: begin.incoming_window,
            handle_max: begin.handle_max.0.min(HANDLE_MAX),
            next_delivery: 0,
            links: BTreeMap::new(),
            unheard: BTreeSet::new(),
            unsettled: BTreeMap::new(),
            used: BTreeSet::new(),
            ending: false,
        };
        let answer = Begin {
            remote_channel: Some(channel),
            next_outgoing_id: session.next_outgoing_id,
            incoming_window: if planted("CON06-another-window-is-announced") { 2048 } else { WINDOW },
            outgoing_window: session.outgoing_window,
            handle_max: match planted("CON06-handle-max-is-not-bounded") {
                true => begin.handle_max.clone(),
                false => Handle(session.handle_max),
            },
            offered_capabilities: None,
            desired_capabilities: None,
            properties: None,
        };
        wire.say(channel, Performative::Begin(answer));
        session
    }

    /// Whether only the client's END is still to come.
    pub fn is_ending(&self) -> bool {
        self.ending
    }

    /// The link of a name in the process.
    pub fn link(&mut self, id: LinkId) -> Option<&mut Link> {
        self.links.values_mut().find(|link| link.id == id)
    }

    /// Takes in ATTACH. A name belongs to one link of a session; whether the way of its messages tells links of one name
    /// apart depends.
    pub fn attach(&mut self, attach: Attach, id: LinkId, one_name: bool, wire: &mut Wire, events: &mut Vec<Event>) {
        let handle = attach.handle.0;
        if handle > self.handle_max {
            return self.end(Some(bare("amqp:connection:framing-error")), wire, events);
        }
        if self.links.contains_key(&handle) {
            return self.end(Some(bare("amqp:session:handle-in-use")), wire, events);
        }
        let live = |link: &&Link| link.stage != Stage::Detaching && link.attach.name == attach.name;
        if planted("LNK17-names-are-good-once") && !self.used.insert(attach.name.clone()) {
            return self.end(Some(bare("amqp:not-allowed")), wire, events);
        }
        let same = |link: &&Link| live(link) && (one_name || link.attach.role == attach.role);
        if let Some(first) = self.links.values().find(same).map(|link| link.handle) {
            let said = error("amqp:illegal-state", "operation: R:ATTACH, state: Opened");
            self.unheard.insert(handle);
            return self.detach_handle(first, Some(said), wire, events);
        }
        self.unheard.remove(&handle);
        let attach = Box::new(attach);
        events.push(Event::Attaching { link: id, attach: attach.clone() });
        self.links.insert(handle, Link::new(id, attach));
    }

    /// Answers ATTACH, in the hub's modes, and lets the client send.
    pub fn accept(&mut self, id: LinkId, modes: Modes, wire: &mut Wire) {
        let (channel, window) = (self.channel, self.windows());
        let Some(link) = self.link(id).filter(|link| link.stage == Stage::Attaching) else { return };
        link.stage = Stage::Attached;
        let (source, target) = (link.attach.source.clone(), link.attach.target.clone());
        wire.say(channel, Performative::Attach(answer(link, modes, source, target)));
        if let Way::In(incoming) = &mut link.way {
            if planted("LNK10-credit-waits-to-be-asked-for") {
                return;
            }
            incoming.credit = CREDIT;
            incoming.grants = 1;
            let flow = window.of_receiver(link.handle, incoming.delivery_count, CREDIT);
            wire.say(channel, Performative::Flow(flow));
        }
        self.pump(wire);
    }

    /// Refuses ATTACH: an answer without source and target, and DETACH.
    pub fn refuse(&mut self, id: LinkId, error: Error, wire: &mut Wire) {
        let channel = self.channel;
        let Some(link) = self.link(id).filter(|link| link.stage == Stage::Attaching) else { return };
        link.stage = Stage::Detaching;
        let modes = Modes { snd: link.attach.snd_settle_mode.clone(), rcv: link.attach.rcv_settle_mode.clone() };
        wire.say(channel, Performative::Attach(answer(link, modes, None, None)));
        wire.say(channel, Performative::Detach(detach(link.handle, true, Some(error))));
    }

    /// Ends a link.
    pub fn detach(&mut self, id: LinkId, error: Option<Error>, wire: &mut Wire, events: &mut Vec<Event>) {
        if let Some(handle) = self.link(id).map(|link| link.handle) {
            self.detach_handle(handle, error, wire, events);
        }
    }

    fn detach_handle(&mut self, handle: u32, error: Option<Error>, wire: &mut Wire, events: &mut Vec<Event>) {
        let Some(link) = self.links.get_mut(&handle).filter(|link| link.stage != Stage::Detaching) else { return };
        if link.stage == Stage::Attaching {
            let modes = Modes { snd: link.attach.snd_settle_mode.clone(), rcv: link.attach.rcv_settle_mode.clone() };
            wire.say(self.channel, Performative::Attach(answer(link, modes, None, None)));
        }
        link.stage = Stage::Detaching;
        let id = link.id;
        wire.say(self.channel, Performative::Detach(detach(handle, true, error)));
        self.unsettled.retain(|_, (owner, _)| *owner != id);
        events.push(Event::Detached { link: id });
    }

    /// Takes in DETACH.
    pub fn detached(&mut self, frame: &Detach, wire: &mut Wire, events: &mut Vec<Event>) {
        self.unheard.remove(&frame.handle.0);
        let Some(link) = self.links.remove(&frame.handle.0) else { return };
        if link.stage == Stage::Detaching {
            return;
        }
        if planted("A18-detach-is-not-answered") {
            return events.push(Event::Detached { link: link.id });
        }
        if link.stage == Stage::Attaching {
            let modes = Modes { snd: link.attach.snd_settle_mode.clone(), rcv: link.attach.rcv_settle_mode.clone() };
            wire.say(self.channel, Performative::Attach(answer(&link, modes, None, None)));
        }
        wire.say(self.channel, Performative::Detach(detach(link.handle, frame.closed, None)));
        self.unsettled.retain(|_, (owner, _)| *owner != link.id);
        events.push(Event::Detached { link: link.id });
    }

    /// Ends the session: DETACH for every link, and END.
    pub fn end(&mut self, error: Option<Error>, wire: &mut Wire, events: &mut Vec<Event>) {
        self.end_after(None, error, wire, events);
    }

    /// Ends the session behind links that are detached with an error of their own.
    pub fn end_after(
        &mut self,
        of_links: Option<&Error>,
        error: Option<Error>,
        wire: &mut Wire,
        events: &mut Vec<Event>,
    ) {
        if self.ending {
            return;
        }
        for link in self.links.values_mut().filter(|link| link.stage != Stage::Detaching) {
            wire.say(self.channel, Performative::Detach(detach(link.handle, true, of_links.cloned())));
            events.push(Event::Detached { link: link.id });
        }
        self.links.clear();
        self.unsettled.clear();
        self.ending = true;
        wire.say(self.channel, Performative::End(End { error }));
    }

    /// Takes in END; the session is of no use any more.
    pub fn ended(&mut self, wire: &mut Wire, events: &mut Vec<Event>) {
        let live = self.links.values().filter(|link| link.stage != Stage::Detaching);
        events.extend(live.map(|link| Event::Detached { link: link.id }));
        if !self.ending {
            wire.say(self.channel, Performative::End(End { error: None }));
        }
    }

    /// Takes in TRANSFER.
    pub fn transfer(&mut self, frame: &Transfer, payload: &Bytes, wire: &mut Wire, events: &mut Vec<Event>) {
        if self.incoming_window == 0 {
            return self.end(Some(bare("amqp:session:window-violation")), wire, events);
        }
        self.incoming_window -= 1;
        self.next_incoming_id = self.next_incoming_id.wrapping_add(1);
        let handle = frame.handle.0;
        let Some(link) = self.links.get_mut(&handle) else { return self.unattached(handle, wire, events) };
        let id = link.id;
        let max_bytes = link.max_message_bytes();
        let refusal = match &mut link.way {
            _ if link.stage != Stage::Attached => None,
            Way::Out(_) => Some(bare("amqp:not-allowed")),
            Way::In(incoming) => match incoming.take(frame, payload, max_bytes) {
                Ok(Some(delivery)) => {
                    events.push(Event::Delivered { link: id, delivery });
                    None
                }
                Ok(None) => None,
                Err(error) => Some(error),
            },
        };
        if let Some(error) = refusal {
            self.detach_handle(handle, Some(error), wire, events);
        }
        // Two thirds are used up.
        if self.incoming_window <= WINDOW / 3 && !planted("A13-windows-are-not-opened-again") {
            self.incoming_window = WINDOW;
            let flow = self.windows().alone();
            wire.say(self.channel, Performative::Flow(flow));
        }
    }

    /// Takes in FLOW.
    pub fn flow(&mut self, frame: &Flow, wire: &mut Wire, events: &mut Vec<Event>) {
        let window = frame.next_incoming_id.unwrap_or(1).wrapping_add(frame.incoming_window);
        let window = window.wrapping_sub(self.next_outgoing_id);
        self.remote_window = if window > u32::MAX / 2 && frame.incoming_window < u32::MAX / 2 { 0 } else { window };
        if let Some(handle) = frame.handle.as_ref().map(|handle| handle.0) {
            let Some(link) = self.links.get_mut(&handle) else { return self.unattached(handle, wire, events) };
            if let Way::Out(outgoing) = &mut link.way {
                outgoing.grant(frame.delivery_count, frame.link_credit.unwrap_or_default(), frame.drain);
            }
        }
        self.pump(wire);
        if frame.echo {
            let handle = frame.handle.as_ref().map(|handle| handle.0);
            let flow = self.state_of(handle);
            wire.say(self.channel, Performative::Flow(flow));
        }
    }

    /// Takes in DISPOSITION of what the hub sent. What the client says of what it sent itself changes nothing.
    pub fn disposition(&mut self, frame: &Disposition, events: &mut Vec<Event>) {
        let last = frame.last.unwrap_or(frame.first);
        if frame.role != Role::Receiver || last < frame.first {
            return;
        }
        let over = frame.settled || frame.state.as_ref().is_some_and(is_terminal);
        let named: Vec<u32> = self.unsettled.range(frame.first..=last).map(|(delivery, _)| *delivery).collect();
        for delivery in named.into_iter().filter(|_| over) {
            if let Some((link, ticket)) = self.unsettled.remove(&delivery) {
                let (state, settled) = (frame.state.clone(), frame.settled);
                events.push(Event::Outcome { link, ticket, delivery, state, settled });
            }
        }
    }

    /// Settles a delivery of the client, unless it was settled all along, and gives credit anew now and then.
    pub fn settle(&mut self, id: LinkId, delivery: u32, state: Option<DeliveryState>, wire: &mut Wire) {
        let (channel, window) = (self.channel, self.windows());
        let Some(link) = self.link(id).filter(|link| link.stage == Stage::Attached) else { return };
        let handle = link.handle;
        let Way::In(incoming) = &mut link.way else { return };
        if let Some(state) = state {
            wire.say(channel, Performative::Disposition(disposition(Role::Receiver, delivery, state)));
        }
        incoming.settled += 1;
        if incoming.settled >= CREDIT_STEP && !planted("A13-credit-is-given-once") {
            incoming.credit += std::mem::take(&mut incoming.settled);
            incoming.grants += 1;
            let flow = window.of_receiver(handle, incoming.delivery_count, incoming.credit);
            wire.say(channel, Performative::Flow(flow));
        }
    }

    /// Says that a delivery of the hub is over for both.
    pub fn conclude(&mut self, delivery: u32, state: DeliveryState, wire: &mut Wire) {
        wire.say(self.channel, Performative::Disposition(disposition(Role::Sender, delivery, state)));
    }

    /// Sends a message as soon as the client takes it.
    pub fn send(&mut self, id: LinkId, parcel: Parcel, wire: &mut Wire) {
        if let Some(Link { way: Way::Out(outgoing), .. }) = self.link(id) {
            outgoing.queue.push_back(parcel);
        }
        self.pump(wire);
    }

    /// Sends what can be sent, link by link.
    fn pump(&mut self, wire: &mut Wire) {
        let (channel, windows) = (self.channel, self.windows());
        for link in self.links.values_mut().filter(|link| link.stage == Stage::Attached) {
            let (id, handle) = (link.id, link.handle);
            let Way::Out(outgoing) = &mut link.way else { continue };
            while self.remote_window > 0 {
                let Some(parcel) = outgoing.queue.front_mut() else { break };
                let first = parcel.delivery.is_none();
                if first {
                    if outgoing.credit == 0 && !planted("MOD14-credit-is-not-waited-for") {
                        break;
                    }
                    outgoing.credit = outgoing.credit.saturating_sub(1);
                    outgoing.delivery_count = outgoing.delivery_count.wrapping_add(1);
                    parcel.delivery = Some(self.next_delivery);
                    if let Some(ticket) = parcel.ticket {
                        self.unsettled.insert(self.next_delivery, (id, ticket));
                    }
                    self.next_delivery = self.next_delivery.wrapping_add(1);
                }
                let sent = wire.say_with(channel, &parcel.payload, |more| {
                    Performative::Transfer(transfer(handle, parcel, first, more))
                });
                self.remote_window -= 1;
                self.next_outgoing_id = self.next_outgoing_id.wrapping_add(1);
                if sent < parcel.payload.len() {
                    parcel.payload.advance(sent);
                } else {
                    outgoing.queue.pop_front();
                }
            }
            if outgoing.drained() {
                let windows = Windows { next_outgoing_id: self.next_outgoing_id, ..windows };
                let flow = windows.of_sender(handle, outgoing.delivery_count, 0, true);
                wire.say(channel, Performative::Flow(flow));
            }
        }
    }

    fn unattached(&mut self, handle: u32, wire: &mut Wire, events: &mut Vec<Event>) {
        if !self.unheard.contains(&handle) {
            self.end(Some(bare("amqp:session:unattached-handle")), wire, events);
        }
    }

    fn state_of(&self, handle: Option<u32>) -> Flow {
        let windows = self.windows();
        match handle.and_then(|handle| self.links.get(&handle)) {
            Some(Link { way: Way::In(incoming), handle, .. }) => {
                windows.of_receiver(*handle, incoming.delivery_count, incoming.credit)
            }
            Some(Link { way: Way::Out(outgoing), handle, .. }) => {
                windows.of_sender(*handle, outgoing.delivery_count, outgoing.credit, outgoing.drain)
            }
            None => windows.alone(),
        }
    }

    fn windows(&self) -> Windows {
        Windows {
            next_incoming_id: self.next_incoming_id,
            incoming_window: self.incoming_window,
            next_outgoing_id: self.next_outgoing_id,
            outgoing_window: self.outgoing_window,
        }
    }
}

impl super::link::Incoming {
    /// Takes in a frame of a delivery; the delivery when that was its last one.
    fn take(&mut self, frame: &Transfer, payload: &Bytes, max_bytes: u64) -> Result<Option<Delivery>, Error> {
        let mut partial = match self.partial.take() {
            Some(partial) => partial,
            None => {
                let delivery = frame.delivery_id.ok_or_else(|| bare("amqp:invalid-field"))?;
                if self.credit == 0 && !planted("LNK18-credit-is-not-enforced") {
                    let said = format!("There is no link credit to accept the delivery (id={delivery}).");
                    return Err(error("amqp:link:transfer-limit-exceeded", said));
                }
                self.credit = self.credit.saturating_sub(1);
                self.delivery_count = self.delivery_count.wrapping_add(1);
                let format = frame.message_format.unwrap_or_default();
                Partial { delivery, format, settled: false, payload: BytesMut::new() }
            }
        };
        partial.settled |= frame.settled.unwrap_or_default();
        if frame.aborted {
            self.settled += 1;
            return Ok(None);
        }
        let bytes = partial.payload.len() + payload.len();
        if bytes as u64 > max_bytes && !planted("LNK14-large-transfers-are-taken") {
            let said = format!(
                "The received message (delivery-id:{}, size:{bytes} bytes) exceeds the limit ({max_bytes} bytes) \
                 currently allowed on the link.",
                partial.delivery
            );
            return Err(error("amqp:link:message-size-exceeded", said));
        }
        if frame.more {
            partial.payload.extend_from_slice(payload);
            self.partial = Some(partial);
            return Ok(None);
        }
        let payload = if partial.payload.is_empty() {
            payload.clone()
        } else {
            partial.payload.extend_from_slice(payload);
            partial.payload.freeze()
        };
        Ok(Some(Delivery { id: partial.delivery, format: partial.format, settled: partial.settled, payload }))
    }
}

/// What every FLOW says of its session.
#[derive(Clone, Copy, Debug)]
struct Windows {
    next_incoming_id: u32,
    incoming_window: u32,
    next_outgoing_id: u32,
    outgoing_window: u32,
}

impl Windows {
    fn alone(self) -> Flow {
        Flow {
            next_incoming_id: Some(self.next_incoming_id),
            incoming_window: self.incoming_window,
            next_outgoing_id: self.next_outgoing_id,
            outgoing_window: self.outgoing_window,
            handle: None,
            delivery_count: None,
            link_credit: None,
            available: None,
            drain: false,
            echo: false,
            properties: None,
        }
    }

    fn of_receiver(self, handle: u32, delivery_count: u32, credit: u32) -> Flow {
        Flow {
            handle: Some(Handle(handle)),
            delivery_count: Some(delivery_count),
            link_credit: Some(credit),
            ..self.alone()
        }
    }

    fn of_sender(self, handle: u32, delivery_count: u32, credit: u32, drain: bool) -> Flow {
        Flow { drain, ..self.of_receiver(handle, delivery_count, credit) }
    }
}

/// Whether a delivery with this state is over.
pub fn is_terminal(state: &DeliveryState) -> bool {
    state.is_terminal()
}

fn answer(
    link: &Link,
    modes: Modes,
    source: Option<Box<fe2o3_amqp_types::messaging::Source>>,
    target: Option<Box<fe2o3_amqp_types::messaging::TargetArchetype>>,
) -> Attach {
    let role = match link.attach.role {
        Role::Sender => Role::Receiver,
        Role::Receiver => Role::Sender,
    };
    Attach {
        name: link.attach.name.clone(),
        handle: Handle(link.handle),
        initial_delivery_count: (role == Role::Sender).then_some(0),
        role,
        snd_settle_mode: modes.snd,
        rcv_settle_mode: modes.rcv,
        source,
        target,
        unsettled: None,
        incomplete_unsettled: false,
        max_message_size: Some(link.max_message_bytes()).filter(|_| !planted("LNK09-no-message-size-is-announced")),
        offered_capabilities: None,
        desired_capabilities: None,
        properties: match planted("LNK07-link-properties-are-not-echoed") {
            true => None,
            false => Some(link.attach.properties.clone().unwrap_or_default()),
        },
    }
}

fn detach(handle: u32, closed: bool, error: Option<Error>) -> Detach {
    Detach { handle: Handle(handle), closed, error }
}

fn disposition(role: Role, delivery: u32, state: DeliveryState) -> Disposition {
    Disposition { role, first: delivery, last: None, settled: true, state: Some(state), batchable: false }
}

fn transfer(handle: u32, parcel: &Parcel, first: bool, more: bool) -> Transfer {
    Transfer {
        handle: Handle(handle),
        delivery_id: parcel.delivery,
        delivery_tag: first.then(|| parcel.tag.clone()),
        message_format: first.then_some(0),
        settled: Some(parcel.ticket.is_none()),
        more,
        rcv_settle_mode: None,
        state: None,
        resume: false,
        aborted: false,
        batchable: false,
    }
}
