//! What a story of queues must show, whatever happened to the hub, the receivers and the link. Pure: no clock, no hub.
//!
//! A [`Story`] is what senders and receivers saw, and when something was interrupted. [`judge`] gives the first promise
//! it breaks:
//!
//! - *loss*: what was acknowledged arrives at every place its routes name;
//! - *stray*: nothing arrives anywhere else;
//! - *duplicate*: a message arrives again only with a cause: its sender published it again, its receiver withheld the
//!   acknowledgement, or hub, receiver or link went away while the acknowledgement could still be on its way;
//! - *order*: what one sender sent to one place under one priority arrives in that order, repetitions aside;
//! - *priority*: the more urgent goes first, but for a batch that is under way.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use harness::observe::history::{Identity, Place};

/// Entries a hub may have in hand for one endpoint: for a module input, and for each sender upstream.
/// Source: routing specification, constants; `SV/modules/RoutingModule.cs`.
pub const BATCH: usize = 10;
/// Entries a hub may have in hand upstream.
pub const UPSTREAM_BATCH: usize = 100;
/// Priority of a route that names none.
pub const DEFAULT_PRIORITY: u32 = 2_000_000_000;

/// Everything there is to judge. Times count from one beginning.
#[derive(Debug, Clone, Default)]
pub struct Story {
    /// What was published; of one sender in the order of its first attempts.
    pub sent: Vec<Publication>,
    /// What arrived. The order at one place is the order of arrival.
    pub arrived: Vec<Arrival>,
    /// What was in the way.
    pub interruptions: Vec<Interruption>,
}

/// A message, however often it was published.
#[derive(Debug, Clone)]
pub struct Publication {
    /// Tells it from all others.
    pub mark: String,
    /// Who sent it.
    pub by: Identity,
    /// When the hub acknowledged it, if the sender knows that it did.
    pub acknowledged: Option<Duration>,
    /// How often it was published: again only when an acknowledgement did not come.
    pub publishes: usize,
    /// Where it must arrive, under which priority.
    pub copies: Vec<(Place, u32)>,
}

/// A message at a place.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Its mark.
    pub mark: String,
    /// Where.
    pub place: Place,
    /// When.
    pub at: Duration,
    /// Whether its receiver acknowledged it.
    pub acknowledged: bool,
}

/// Something that explains a repetition.
#[derive(Debug, Clone)]
pub struct Interruption {
    /// What.
    pub what: Cause,
    /// From when.
    pub from: Duration,
    /// Until everything stood again.
    pub until: Duration,
}

/// What can be interrupted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// SIGKILL to the hub.
    HubKilled,
    /// SIGTERM to the hub.
    HubStopped,
    /// The hub was halted for a while.
    HubHalted,
    /// The connection of a receiving module ended.
    ReceiverGone(String),
    /// The link upstream was cut, of one sender or of everybody.
    LinkCut(Option<Identity>),
    /// The harness itself did not run for a while: acknowledgements were late.
    HarnessStalled,
}

/// How many arrivals behind a message prove that its acknowledgement was taken note of for good.
#[derive(Debug, Clone, Copy)]
pub struct Tolerance {
    /// At a module input, when the hub is killed.
    pub killed: usize,
    /// At a module input, in every other case: one message is unacknowledged at a time.
    pub otherwise: usize,
}

impl Default for Tolerance {
    /// What the product promises: positions are noted once for each batch.
    fn default() -> Self {
        Self { killed: BATCH, otherwise: 1 }
    }
}

impl Tolerance {
    /// For a hub that notes each acknowledgement before it goes on: a repetition needs an acknowledgement that was
    /// outstanding.
    pub fn strict() -> Self {
        Self { killed: 1, otherwise: 1 }
    }

    fn of(self, cause: &Cause, place: &Place) -> usize {
        match (place, cause) {
            (Place::Upstream, Cause::HubKilled) => UPSTREAM_BATCH,
            (Place::Upstream, _) => BATCH,
            (Place::Input { .. }, Cause::HubKilled) => self.killed,
            (Place::Input { .. }, _) => self.otherwise,
        }
    }
}

/// A promise about queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Promise {
    /// What is acknowledged arrives.
    Loss,
    /// Nothing arrives where no route leads.
    Stray,
    /// Nothing arrives again without a cause.
    Duplicate,
    /// First in, first out.
    Order,
    /// The more urgent first.
    Priority,
}

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which.
    pub promise: Promise,
    /// The message that shows it.
    pub mark: String,
    /// Where.
    pub place: Place,
    /// What should have been.
    pub expected: String,
    /// What was.
    pub observed: String,
}

/// The first promise a story breaks: the gravest kind first, and of one kind in order of time.
pub fn judge(story: &Story, tolerance: Tolerance) -> Option<Finding> {
    let sent: BTreeMap<&str, (usize, &Publication)> =
        story.sent.iter().enumerate().map(|(index, sent)| (sent.mark.as_str(), (index, sent))).collect();
    let mut places: BTreeMap<&Place, Vec<Seen<'_>>> = BTreeMap::new();
    for arrival in &story.arrived {
        // What no sender of the story sent belongs to another story.
        if let Some((index, publication)) = sent.get(arrival.mark.as_str()) {
            places.entry(&arrival.place).or_default().push(Seen { arrival, publication, index: *index });
        }
    }
    loss(story, &places)
        .or_else(|| places.values().find_map(|seen| stray(seen)))
        .or_else(|| places.values().find_map(|seen| duplicate(seen, &story.interruptions, tolerance)))
        .or_else(|| places.values().find_map(|seen| order(seen)))
        .or_else(|| places.iter().find_map(|(place, seen)| priority(story, place, seen)))
}

/// An arrival of a message of the story.
#[derive(Clone, Copy)]
struct Seen<'a> {
    arrival: &'a Arrival,
    publication: &'a Publication,
    index: usize,
}

impl Seen<'_> {
    fn priority(&self) -> u32 {
        let copies = self.publication.copies.iter();
        copies
            .filter(|(place, _)| *place == self.arrival.place)
            .map(|(_, priority)| *priority)
            .min()
            .unwrap_or_default()
    }

    fn finding(&self, promise: Promise, expected: String, observed: String) -> Option<Finding> {
        let Arrival { mark, place, .. } = self.arrival;
        Some(Finding { promise, mark: mark.clone(), place: place.clone(), expected, observed })
    }
}

fn loss(story: &Story, places: &BTreeMap<&Place, Vec<Seen<'_>>>) -> Option<Finding> {
    let marks: BTreeMap<&Place, BTreeSet<&str>> = places
        .iter()
        .map(|(place, seen)| (*place, seen.iter().map(|seen| seen.arrival.mark.as_str()).collect()))
        .collect();
    let acknowledged = story.sent.iter().filter(|sent| sent.acknowledged.is_some());
    let mut copies = acknowledged.flat_map(|sent| sent.copies.iter().map(move |(place, _)| (sent, place)));
    let (sent, place) =
        copies.find(|(sent, place)| !marks.get(place).is_some_and(|marks| marks.contains(sent.mark.as_str())))?;
    Some(Finding {
        promise: Promise::Loss,
        mark: sent.mark.clone(),
        place: place.clone(),
        expected: format!("{} of {}, which was acknowledged, arrives at {place}", sent.mark, sent.by),
        observed: "it did not, and what was sent after it did".to_owned(),
    })
}

fn stray(seen: &[Seen<'_>]) -> Option<Finding> {
    let place = &seen.first()?.arrival.place;
    let stray = seen.iter().find(|seen| !seen.publication.copies.iter().any(|(wanted, _)| wanted == place))?;
    let mark = &stray.arrival.mark;
    stray.finding(Promise::Stray, format!("no route takes {mark} to {place}"), format!("{mark} arrived there"))
}

fn duplicate(seen: &[Seen<'_>], interruptions: &[Interruption], tolerance: Tolerance) -> Option<Finding> {
    let mut latest: BTreeMap<&str, usize> = BTreeMap::new();
    let mut repeated: BTreeMap<&str, usize> = BTreeMap::new();
    for (position, now) in seen.iter().enumerate() {
        let mark = now.arrival.mark.as_str();
        let Some(before) = latest.insert(mark, position) else { continue };
        if excused(seen, before, position, interruptions, tolerance) {
            continue;
        }
        let spent = repeated.entry(mark).or_default();
        *spent += 1;
        if *spent >= now.publication.publishes.max(1) {
            let place = &now.arrival.place;
            let apart = now.arrival.at.saturating_sub(seen[before].arrival.at);
            return now.finding(
                Promise::Duplicate,
                format!("{mark} arrives at {place} once: it was acknowledged there, and nothing was in the way"),
                format!("it arrived again after {:.2} s", apart.as_secs_f64()),
            );
        }
    }
    None
}

fn excused(
    seen: &[Seen<'_>],
    before: usize,
    again: usize,
    interruptions: &[Interruption],
    tolerance: Tolerance,
) -> bool {
    let (first, second) = (seen[before], seen[again]);
    if !first.arrival.acknowledged {
        return true;
    }
    let (place, by) = (&first.arrival.place, &first.publication.by);
    let mut causes = interruptions.iter().filter(|interruption| {
        let meanwhile = interruption.from <= second.arrival.at && interruption.until >= first.arrival.at;
        meanwhile && interruption.what.concerns(place, by)
    });
    causes.any(|interruption| {
        let behind = seen[before + 1..again].iter().filter(|later| {
            let alone = *place == Place::Upstream && interruption.what != Cause::HubKilled;
            later.arrival.at < interruption.from && (!alone || later.publication.by == *by)
        });
        behind.count() < tolerance.of(&interruption.what, place)
    })
}

impl Cause {
    fn concerns(&self, at: &Place, by: &Identity) -> bool {
        match self {
            Cause::HubKilled | Cause::HubStopped | Cause::HubHalted | Cause::HarnessStalled => true,
            Cause::ReceiverGone(gone) => matches!(at, Place::Input { module, .. } if module == gone),
            Cause::LinkCut(whose) => *at == Place::Upstream && whose.as_ref().is_none_or(|whose| whose == by),
        }
    }

    fn ends_the_hub(&self) -> bool {
        matches!(self, Cause::HubKilled | Cause::HubStopped)
    }
}

/// Arrivals that are no repetitions.
fn firsts<'s, 'a>(seen: &'s [Seen<'a>]) -> impl Iterator<Item = Seen<'a>> + use<'s, 'a> {
    let mut known = BTreeSet::new();
    seen.iter().copied().filter(move |seen| known.insert(seen.arrival.mark.as_str()))
}

fn order(seen: &[Seen<'_>]) -> Option<Finding> {
    let mut latest: BTreeMap<(&Identity, u32), Seen<'_>> = BTreeMap::new();
    for now in firsts(seen) {
        let lane = (&now.publication.by, now.priority());
        match latest.insert(lane, now) {
            Some(before) if before.index > now.index => {
                let (mark, later) = (&now.arrival.mark, &before.arrival.mark);
                return now.finding(
                    Promise::Order,
                    format!("{} receives what {} sent in the order it was sent", now.arrival.place, lane.0),
                    format!("{mark} arrived after {later}, which was sent later"),
                );
            }
            _ => {}
        }
    }
    None
}

/// Copies that wait at a place: by priority, then by the time of their acknowledgement.
type Waiting<'a> = BTreeMap<u32, BTreeSet<(Duration, &'a str)>>;

fn priority(story: &Story, place: &Place, seen: &[Seen<'_>]) -> Option<Finding> {
    let batch = if *place == Place::Upstream { UPSTREAM_BATCH } else { BATCH };
    let mut waiting: Waiting<'_> = BTreeMap::new();
    for sent in &story.sent {
        let priorities = sent.copies.iter().filter(|(wanted, _)| wanted == place).map(|(_, priority)| *priority);
        if let (Some(priority), Some(at)) = (priorities.min(), sent.acknowledged) {
            waiting.entry(priority).or_default().insert((at, sent.mark.as_str()));
        }
    }
    let mut arrived: BTreeMap<u32, Vec<Duration>> = BTreeMap::new();
    for now in firsts(seen) {
        let (own, at) = (now.priority(), now.arrival.at);
        if let Some(acknowledged) = now.publication.acknowledged {
            waiting.entry(own).or_default().remove(&(acknowledged, now.arrival.mark.as_str()));
        }
        arrived.entry(own).or_default().push(at);
        let ended = story.interruptions.iter().filter(|gone| gone.what.ends_the_hub() && gone.until <= at);
        let restarted = ended.map(|gone| gone.from).max();
        for (more_urgent, copies) in waiting.range(..own) {
            let Some((since, mark)) = copies.first() else { continue };
            let overtook: usize = arrived
                .range(more_urgent + 1..)
                .map(|(_, times)| times.len() - times.partition_point(|time| time <= since))
                .sum();
            let before_the_restart = restarted.is_some_and(|restarted| *since < restarted);
            if before_the_restart || overtook > batch {
                let observed = if before_the_restart {
                    format!("{} with priority {own} arrived first", now.arrival.mark)
                } else {
                    format!("{overtook} less urgent messages arrived first, with {batch} in a batch")
                };
                return Some(Finding {
                    promise: Promise::Priority,
                    mark: (*mark).to_owned(),
                    place: place.clone(),
                    expected: format!(
                        "{mark} with priority {more_urgent}, acknowledged before, arrives at {place} before what is less urgent"
                    ),
                    observed,
                });
            }
        }
    }
    None
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::HubKilled => f.write_str("the hub was killed"),
            Cause::HubStopped => f.write_str("the hub was stopped"),
            Cause::HubHalted => f.write_str("the hub was halted"),
            Cause::ReceiverGone(module) => write!(f, "module {module} was away"),
            Cause::LinkCut(None) => f.write_str("the cloud was out of reach"),
            Cause::LinkCut(Some(whose)) => write!(f, "the cloud was out of reach for {whose}"),
            Cause::HarnessStalled => f.write_str("the harness did not run"),
        }
    }
}

#[cfg(test)]
mod tests;
