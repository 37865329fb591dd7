//! What is sent on links, both ways.
//!
//! Source: Azure/iotedge, `Hub.Amqp/linkhandlers/ReceivingLinkHandler.cs`, `Hub.Amqp/linkhandlers/SendingLinkHandler.cs`.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use fe2o3_amqp_types::definitions::Error;
use fe2o3_amqp_types::messaging::{Accepted, DeliveryState, Rejected, Released};

use super::{Busy, Connection, Intake, Place, TwinRequest, Unsettled};
use crate::core::{CloudMessage, ConnectionId, DeliveryId, DeliveryOutcome, Envelope, Input, TwinChange, Verdict};
use crate::engine::{ToClient, now};
use crate::faults::planted;
use crate::heads::amqp::address::LinkType;
use crate::heads::amqp::message::Message;
use crate::heads::amqp::peer::Delivery;
use crate::heads::amqp::peer::link::{LinkId, Parcel};
use crate::heads::amqp::twin::Operation;
use crate::heads::amqp::{cbs, inputs, methods, telemetry, twin};
use crate::identity::ClientId;

const ACCEPTED: DeliveryState = DeliveryState::Accepted(Accepted {});

fn rejected(error: Option<Error>) -> DeliveryState {
    DeliveryState::Rejected(Rejected { error })
}

impl Connection<'_> {
    /// A message of a client came.
    pub(super) async fn delivered(&mut self, link: LinkId, delivery: Delivery) {
        match self.places.get(&link).cloned() {
            Some(Place::Cbs) => self.put_token(link, &delivery),
            Some(Place::Of(LinkType::Events, client)) => self.sent(link, client, delivery),
            Some(Place::Of(LinkType::TwinReceiving, client)) => self.twin_requested(link, client, &delivery).await,
            Some(Place::Of(LinkType::MethodReceiving, client)) => self.method_answered(link, &client, &delivery),
            // Nobody sends there.
            Some(Place::Of(..)) | None => {}
        }
    }

    /// Settles a message in this state, unless its sender wants to hear no more of it.
    fn settle(&mut self, link: LinkId, delivery: u32, settled: bool, state: DeliveryState) {
        self.peer.settle(link, delivery, Some(state).filter(|_| !settled));
    }

    /// A request to take a token. It is accepted before it is looked at.
    fn put_token(&mut self, link: LinkId, delivery: &Delivery) {
        if !planted("CBS02-request-is-not-settled") {
            self.settle(link, delivery.id, delivery.settled, ACCEPTED);
        }
        let request = Message::read(&delivery.payload).unwrap_or_default();
        let outcome = match cbs::read(&request, now()) {
            Ok(put) => {
                let unheard = self.cbs_receiver.is_none() && planted("CBS10-token-needs-a-receiver");
                if !unheard {
                    self.token_put(put.client, put.token);
                }
                Ok(())
            }
            Err(why) => Err(why),
        };
        // Without properties there is nothing to answer to, as in the product.
        let (Some(receiver), Some(properties)) = (self.cbs_receiver, &request.properties) else { return };
        self.cbs_answers += 1;
        let ticket = Some(0);
        let tag = self.cbs_answers.to_le_bytes().to_vec().into();
        let payload = cbs::answer(properties, outcome).write();
        self.peer.send(receiver, Parcel { ticket, tag, payload, delivery: None });
    }

    /// Telemetry.
    fn sent(&mut self, link: LinkId, sender: ClientId, delivery: Delivery) {
        let Some(connection) = self.client(&sender).map(|client| client.connection) else { return };
        let intake = self.intakes.entry(link).or_insert_with(|| Intake {
            sender,
            connection,
            waiting: VecDeque::new(),
            busy: None,
        });
        intake.waiting.push_back(delivery);
        // What is under way is settled when the core has answered for it, not when the next message comes.
        if intake.busy.is_none() || planted("TEL01-next-message-settles-the-one-before") {
            self.advance(link);
        }
    }

    /// Goes on with a link on which the core has nothing to answer for: with the rest of a batch, or with what waits.
    fn advance(&mut self, link: LinkId) {
        loop {
            let Some(intake) = self.intakes.get_mut(&link) else { return };
            if let Some(busy) = &mut intake.busy {
                let Some(telemetry) = busy.rest.pop_front() else {
                    let (delivery, settled) = (busy.delivery, busy.settled);
                    intake.busy = None;
                    let released = planted("TEL01-stored-messages-are-released");
                    let state = if released { DeliveryState::Released(Released {}) } else { ACCEPTED };
                    self.settle(link, delivery, settled, state);
                    continue;
                };
                let connection = intake.connection;
                let publish = self.number(connection);
                self.published.insert(publish.number, link);
                if planted("X05-messages-of-amqp-come-twice") {
                    let (publish, telemetry) = (self.number(connection), telemetry.clone());
                    self.head.engine.tell(Input::Published { publish, telemetry });
                }
                return self.head.engine.tell(Input::Published { publish, telemetry });
            }
            let Some(delivery) = intake.waiting.pop_front() else { return };
            let settled = delivery.settled;
            if settled && planted("TEL13-settled-transfers-are-dropped") {
                self.settle(link, delivery.id, settled, ACCEPTED);
                continue;
            }
            match telemetry::read(&intake.sender, &delivery) {
                Ok(rest) => intake.busy = Some(Busy { delivery: delivery.id, settled, rest }),
                Err(error) => self.refuse_delivery(link, delivery.id, settled, error),
            }
        }
    }

    /// A message cannot be taken. The link goes on.
    fn refuse_delivery(&mut self, link: LinkId, delivery: u32, settled: bool, error: Error) {
        if planted("TEL02-refused-message-closes-the-link") {
            return self.peer.detach(link, Some(error));
        }
        let state = if planted("TEL02-refused-message-is-accepted") { ACCEPTED } else { rejected(Some(error)) };
        self.settle(link, delivery, settled, state);
    }

    /// The core has dealt with a message: the next of its batch is due, or none when it was refused.
    fn answered(&mut self, link: LinkId, verdict: Verdict) {
        let Some(intake) = self.intakes.get_mut(&link) else { return };
        let in_batch = intake.busy.as_ref().is_some_and(|busy| !busy.rest.is_empty());
        let skips = in_batch && planted("TEL11-large-message-of-a-batch-is-skipped");
        if let Some(error) = telemetry::refusal(verdict).filter(|_| !skips) {
            if let Some(Busy { delivery, settled, .. }) = intake.busy.take() {
                self.refuse_delivery(link, delivery, settled, error);
            }
        }
        self.advance(link);
    }

    /// Tells the core all that is left of a link that is gone.
    pub(super) fn hand_over(&mut self, intake: Intake) {
        let Intake { sender, connection, waiting, busy } = intake;
        let read = waiting.iter().filter_map(|delivery| telemetry::read(&sender, delivery).ok()).flatten();
        let rest: Vec<_> = busy.into_iter().flat_map(|busy| busy.rest).chain(read).collect();
        for telemetry in rest {
            let publish = self.number(connection);
            self.head.engine.tell(Input::Published { publish, telemetry });
        }
    }

    /// Something is asked about a twin.
    async fn twin_requested(&mut self, link: LinkId, identity: ClientId, delivery: &Delivery) {
        let (id, settled) = (delivery.id, delivery.settled);
        let request = Message::read(&delivery.payload).ok().and_then(|message| twin::read(&message));
        let Some(request) = request else {
            return self.settle(link, id, settled, rejected(None));
        };
        let Some(connection) = self.client(&identity).map(|client| client.connection) else { return };
        match (request.operation, request.correlation) {
            (Some(Operation::Get), Some(correlation)) => {
                let publish = self.number(connection);
                let (client, correlation) = (identity.clone(), Some(correlation));
                let asked = TwinRequest { client: identity, link, delivery: id, settled, correlation };
                self.twins.insert(publish.number, asked);
                self.head.engine.tell(Input::TwinGet { publish, client });
            }
            (Some(Operation::Patch), Some(correlation)) if planted("X06-reports-over-amqp-are-not-kept") => {
                self.settle(link, id, settled, ACCEPTED);
                self.to(&identity, LinkType::TwinSending, twin::answer(&correlation, 204, &Bytes::new()));
            }
            (Some(Operation::Patch), correlation) => {
                let publish = self.number(connection);
                let reporter = identity.clone();
                let asked = TwinRequest { client: identity, link, delivery: id, settled, correlation };
                self.twins.insert(publish.number, asked);
                let edge_message_id = uuid::Uuid::new_v4().to_string();
                let change = TwinChange { reporter, patch: request.body, edge_message_id };
                self.head.engine.tell(Input::TwinChanged { publish, change });
            }
            (Some(operation @ (Operation::Put | Operation::Delete)), Some(correlation)) => {
                let changed = if planted("TWN04-subscribing-is-answered-204") { 204 } else { 200 };
                let keeps = operation == Operation::Delete && planted("TWN07-delete-changes-nothing");
                self.tell_of_desired(&identity, operation == Operation::Put || keeps).await;
                self.settle(link, id, settled, ACCEPTED);
                self.to(&identity, LinkType::TwinSending, twin::answer(&correlation, changed, &Bytes::new()));
            }
            (None, _) if planted("TWN10-unknown-operation-closes-the-link") => self.peer.detach(link, None),
            _ => self.settle(link, id, settled, ACCEPTED),
        }
    }

    /// Whether a client is to be told of changes of its desired properties.
    async fn tell_of_desired(&mut self, identity: &ClientId, wanted: bool) {
        let Some(client) = self.clients.get_mut(identity) else { return };
        client.listening.desired = wanted;
        let (connection, inputs, listening) = (client.connection, client.inputs, client.listening);
        self.head.engine.tell(Input::Subscribed { connection, inputs, listening });
        self.head.engine.heard().await;
    }

    /// A client answered a call.
    fn method_answered(&mut self, link: LinkId, identity: &ClientId, delivery: &Delivery) {
        let answer = Message::read(&delivery.payload).ok().and_then(|message| methods::read(&message));
        let state = if answer.is_some() { ACCEPTED } else { rejected(None) };
        self.settle(link, delivery.id, delivery.settled, state);
        let (Some(answer), Some(client)) = (answer, self.client(identity)) else { return };
        let status = if planted("X09-status-of-amqp-is-always-200") { Some(200) } else { answer.status };
        let status = status.map(|status| status.to_string()).unwrap_or_default();
        let (connection, rid, payload) = (client.connection, answer.rid, answer.payload);
        self.head.engine.tell(Input::MethodAnswered { connection, rid, status, payload });
    }

    /// A client said what became of a message.
    pub(super) fn outcome(
        &mut self,
        link: LinkId,
        ticket: u64,
        delivery: u32,
        state: Option<&DeliveryState>,
        settled: bool,
    ) {
        let Some(unsettled) = self.unsettled.remove(&ticket) else { return };
        let outcome = match state {
            Some(DeliveryState::Accepted(_)) if planted("MOD06-accepted-comes-again") => Some(DeliveryOutcome::Failed),
            Some(DeliveryState::Accepted(_)) => Some(DeliveryOutcome::Delivered),
            Some(DeliveryState::Rejected(_)) if planted("MOD07-rejected-comes-again") => Some(DeliveryOutcome::Failed),
            Some(DeliveryState::Released(_)) if planted("MOD08-released-comes-again") => Some(DeliveryOutcome::Failed),
            Some(DeliveryState::Rejected(_)) => Some(DeliveryOutcome::Rejected),
            Some(DeliveryState::Released(_)) => Some(DeliveryOutcome::Released),
            Some(DeliveryState::Modified(_)) if planted("MOD09-modified-counts-as-delivered") => {
                Some(DeliveryOutcome::Delivered)
            }
            // Not understood: as good as no answer.
            _ => None,
        };
        if let Some(outcome) = outcome {
            self.head.engine.tell(Input::Settled { delivery: unsettled.delivery, outcome });
        }
        if settled || planted("MOD12-outcome-is-not-answered") {
            return;
        }
        match (unsettled.kind, state) {
            // Nothing but the completion of a message can be told to IoT Hub over MQTT.
            (LinkType::CloudToDevice, _) if planted("C2D02-acceptance-is-not-answered") => {}
            (LinkType::CloudToDevice, _)
                if outcome != Some(DeliveryOutcome::Delivered) && !self.relays_all(outcome) => {}
            (_, Some(modified @ DeliveryState::Modified(_))) => self.peer.conclude(link, delivery, modified.clone()),
            _ => self.peer.conclude(link, delivery, ACCEPTED),
        }
    }

    /// Whether IoT Hub is told whatever a device says of its message.
    fn relays_all(&self, outcome: Option<DeliveryOutcome>) -> bool {
        outcome.is_some() && self.head.settings.upstream_protocol.is_amqp()
    }

    /// Does what the engine says.
    pub(super) async fn told(&mut self, connection: ConnectionId, told: ToClient) {
        let Some(identity) = self.identities.get(&connection).cloned() else { return };
        match told {
            ToClient::Answer { number, verdict } => {
                if let Some(link) = self.published.remove(&number) {
                    self.answered(link, verdict);
                } else if let Some(asked) = self.twins.remove(&number) {
                    self.settle(asked.link, asked.delivery, asked.settled, ACCEPTED);
                }
            }
            ToClient::TwinResponse { number, status, document } => {
                if status >= 400 && planted("TWN08-refusals-are-not-told") {
                    return;
                }
                let asked = self.twins.get(&number).map(|asked| (asked.client.clone(), asked.correlation.clone()));
                if let Some((client, Some(correlation))) = asked {
                    self.to(&client, LinkType::TwinSending, twin::answer(&correlation, status, &document));
                }
            }
            ToClient::Desired { .. } if planted("X07-changes-are-told-over-mqtt-only") => {}
            ToClient::Desired { version: _, patch } => {
                self.to(&identity, LinkType::TwinSending, twin::changed(&patch));
            }
            ToClient::Deliver { delivery, input, envelope } => self.deliver(&identity, delivery, &input, &envelope),
            ToClient::CallMethod { rid, name, payload } => {
                let payload = if planted("X08-callees-on-amqp-get-no-payload") { Bytes::from("null") } else { payload };
                self.to(&identity, LinkType::MethodSending, methods::call(&rid, &name, &payload));
            }
            ToClient::DeliverFromCloud { delivery, to, message } => {
                self.deliver_from_cloud(&identity, delivery, &to, &message);
            }
            ToClient::Close if planted("X10-connections-of-amqp-are-not-taken-over") => {}
            ToClient::Close => self.close(),
        }
    }

    /// Sends on the link of a type, if there is one; what nobody listens for is lost.
    fn to(&mut self, identity: &ClientId, kind: LinkType, parcel: Parcel) {
        if let Some(link) = self.client(identity).and_then(|client| client.link(kind)) {
            self.peer.send(link, parcel);
        }
    }

    fn deliver(&mut self, identity: &ClientId, delivery: DeliveryId, input: &str, envelope: &Arc<Envelope>) {
        if planted("MOD05-next-message-does-not-wait") {
            self.head.engine.tell(Input::Settled { delivery, outcome: DeliveryOutcome::Delivered });
        }
        if let Some(ticket) = self.ticket(identity, LinkType::ModuleMessages, delivery) {
            self.to(identity, LinkType::ModuleMessages, inputs::input(input, envelope, ticket));
        }
    }

    fn deliver_from_cloud(&mut self, identity: &ClientId, delivery: DeliveryId, to: &ClientId, message: &CloudMessage) {
        if let Some(ticket) = self.ticket(identity, LinkType::CloudToDevice, delivery) {
            self.to(identity, LinkType::CloudToDevice, inputs::from_cloud(to, message, ticket));
        }
    }

    /// Names a message until it is settled; `None` when there is no link for it.
    fn ticket(&mut self, identity: &ClientId, kind: LinkType, delivery: DeliveryId) -> Option<u64> {
        let link = self.client(identity).and_then(|client| client.link(kind))?;
        self.tickets += 1;
        self.unsettled.insert(self.tickets, Unsettled { link, kind, delivery });
        Some(self.tickets)
    }
}
