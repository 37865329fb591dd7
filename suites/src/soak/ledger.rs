//! The books of a soak: every message sent, every arrival, and the judgement over both. Pure; nothing here waits.
//!
//! The promise (ROUTE-SF-09, MQTT-PUB-03, MQTT-DLV-05): what was acknowledged arrives; per sender and output in the
//! order sent; and more than once only where an acknowledgement was outstanding when the hub died:
//!
//! - the sender had no PUBACK yet, and so sent the message again; or
//! - the receiver's PUBACK was the last it wrote on a connection that broke: the hub may not have read it; or
//! - towards the cloud, the message belongs to the batch that was under way: the checkpoint stands before the oldest
//!   message of a batch that the cloud has not acknowledged (routing document, sections 7.1 and 9).

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// One stream: what a sender sends on one output.
pub type Stream = (u16, u8);

/// Messages the hub may have under way to the cloud at once.
const UPSTREAM_BATCH: usize = 100;

/// An arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// Its stream.
    pub stream: Stream,
    /// Number within the stream, from 0.
    pub number: u32,
    /// How many times the hub had been killed when it came.
    pub life: u32,
}

/// Everything that happened in a soak.
#[derive(Debug, Default)]
pub struct Ledger {
    /// For each stream and number: how often it was handed to the hub, and whether it was acknowledged.
    sent: BTreeMap<Stream, Vec<Sent>>,
    /// For each place, arrivals in order of arrival.
    arrived: BTreeMap<String, Vec<Arrival>>,
    /// Messages that arrived anywhere.
    seen: BTreeMap<Stream, BTreeSet<u32>>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sent {
    times: u32,
    acknowledged: bool,
}

/// Sums of a soak.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sums {
    /// Messages sent at least once.
    pub sent: u64,
    /// Messages the hub acknowledged.
    pub acknowledged: u64,
    /// Messages that arrived at least once.
    pub arrived: u64,
    /// Arrivals beyond the first of a message.
    pub repeated: u64,
}

impl Ledger {
    /// The next number of a stream.
    pub fn next(&self, stream: Stream) -> u32 {
        let sent = self.sent.get(&stream).map_or(0, Vec::len);
        u32::try_from(sent).expect("no soak sends four billion messages on one stream")
    }

    /// A message was handed to the hub; says whether for the first time.
    pub fn sent(&mut self, stream: Stream, number: u32) -> bool {
        let sent = self.sent.entry(stream).or_default();
        let index = number as usize;
        if sent.len() <= index {
            sent.resize(index + 1, Sent::default());
        }
        sent[index].times += 1;
        sent[index].times == 1
    }

    /// The hub acknowledged a message.
    pub fn acknowledged(&mut self, stream: Stream, number: u32) {
        if let Some(sent) = self.sent.get_mut(&stream).and_then(|sent| sent.get_mut(number as usize)) {
            sent.acknowledged = true;
        }
    }

    /// A message arrived; says whether for the first time.
    pub fn arrived(&mut self, place: &str, arrival: Arrival) -> bool {
        if let Some(arrived) = self.arrived.get_mut(place) {
            arrived.push(arrival);
        } else {
            self.arrived.insert(place.to_owned(), vec![arrival]);
        }
        self.seen.entry(arrival.stream).or_default().insert(arrival.number)
    }

    /// Sums so far.
    pub fn sums(&self) -> Sums {
        let all = || self.sent.values().flatten();
        let arrivals: usize = self.arrived.values().map(Vec::len).sum();
        let distinct: usize = self.seen.values().map(BTreeSet::len).sum();
        Sums {
            sent: all().filter(|sent| sent.times > 0).count() as u64,
            acknowledged: all().filter(|sent| sent.acknowledged).count() as u64,
            arrived: distinct as u64,
            repeated: (arrivals - distinct) as u64,
        }
    }

    /// Acknowledged messages that have not arrived.
    pub fn missing(&self) -> Vec<(Stream, u32)> {
        let mut missing = Vec::new();
        for (stream, sent) in &self.sent {
            let known = self.seen.get(stream);
            for (number, _) in (0u32..).zip(sent).filter(|(_, sent)| sent.acknowledged) {
                if !known.is_some_and(|known| known.contains(&number)) {
                    missing.push((*stream, number));
                }
            }
        }
        missing
    }

    /// Everything that breaks the promise, in words; empty when it is kept.
    pub fn breaches(&self) -> Vec<String> {
        let mut breaches: Vec<String> = self
            .missing()
            .iter()
            .map(|(stream, number)| format!("{} was acknowledged and never arrived", named(*stream, *number)))
            .collect();
        for (place, arrived) in &self.arrived {
            breaches.extend(self.strangers(place, arrived));
            breaches.extend(disorder(place, arrived));
            breaches.extend(self.needless_repetitions(place, arrived));
        }
        breaches
    }

    fn strangers(&self, place: &str, arrived: &[Arrival]) -> Vec<String> {
        let known = |arrival: &&Arrival| {
            self.sent.get(&arrival.stream).is_none_or(|sent| sent.len() <= arrival.number as usize)
        };
        let told = |arrival: &Arrival| {
            format!("{} arrived at {place}, and nobody sent it", named(arrival.stream, arrival.number))
        };
        arrived.iter().filter(known).map(told).collect()
    }

    fn needless_repetitions(&self, place: &str, arrived: &[Arrival]) -> Vec<String> {
        let upstream = place == UPSTREAM;
        let mut latest: HashMap<(Stream, u32), usize> = HashMap::new();
        let mut breaches = Vec::new();
        for (at, arrival) in arrived.iter().enumerate() {
            let Some(before) = latest.insert((arrival.stream, arrival.number), at) else { continue };
            let sent_again = self
                .sent
                .get(&arrival.stream)
                .and_then(|sent| sent.get(arrival.number as usize))
                .is_some_and(|sent| sent.times > 1);
            let died_between = arrived[before].life < arrival.life;
            // How much came behind it before the hub died.
            let behind = arrived[before + 1..at].iter().filter(|other| other.life == arrived[before].life).count();
            let outstanding = died_between && behind < if upstream { UPSTREAM_BATCH } else { 1 };
            if !sent_again && !outstanding {
                let why = if died_between {
                    format!("after {behind} others had come in the same life of the hub")
                } else {
                    "although the hub had not died in between".to_owned()
                };
                breaches.push(format!(
                    "{} arrived at {place} again, {why}: no acknowledgement of it was outstanding",
                    named(arrival.stream, arrival.number)
                ));
            }
        }
        breaches
    }
}

/// The place of what reached the cloud.
pub const UPSTREAM: &str = "$upstream";

/// First arrivals of a stream must be in the order sent.
fn disorder(place: &str, arrived: &[Arrival]) -> Vec<String> {
    let mut highest: HashMap<Stream, u32> = HashMap::new();
    let mut seen = BTreeSet::new();
    let mut breaches = Vec::new();
    for arrival in arrived {
        if !seen.insert((arrival.stream, arrival.number)) {
            continue;
        }
        let before = highest.insert(arrival.stream, arrival.number);
        if let Some(before) = before.filter(|before| *before > arrival.number) {
            let late = named(arrival.stream, arrival.number);
            breaches.push(format!("{late} arrived at {place} behind {}", named(arrival.stream, before)));
        }
    }
    breaches
}

fn named((sender, output): Stream, number: u32) -> String {
    format!("message {number} of sender {sender}, output {output},")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Stream = (1, 0);

    /// Messages 0, 1, ... of one stream, sent once and acknowledged.
    fn acknowledged(count: u32) -> Ledger {
        let mut ledger = Ledger::default();
        for number in 0..count {
            ledger.sent(ONE, number);
            ledger.acknowledged(ONE, number);
        }
        ledger
    }

    fn with(mut ledger: Ledger, place: &str, arrivals: &[(u32, u32)]) -> Vec<String> {
        for (number, life) in arrivals {
            ledger.arrived(place, Arrival { stream: ONE, number: *number, life: *life });
        }
        ledger.breaches()
    }

    #[test]
    fn everything_once_and_in_order_keeps_the_promise() {
        assert_eq!(with(acknowledged(3), "r/in", &[(0, 0), (1, 0), (2, 1)]), Vec::<String>::new());
    }

    #[test]
    fn an_acknowledged_message_that_stays_away_is_lost() {
        let breaches = with(acknowledged(3), "r/in", &[(0, 0), (2, 0)]);
        assert_eq!(breaches, ["message 1 of sender 1, output 0, was acknowledged and never arrived"]);
    }

    #[test]
    fn a_message_without_an_acknowledgement_may_stay_away() {
        let mut ledger = acknowledged(1);
        ledger.sent(ONE, 1);
        assert_eq!(with(ledger, "r/in", &[(0, 0)]), Vec::<String>::new());
    }

    #[test]
    fn what_overtakes_is_disorder() {
        let breaches = with(acknowledged(3), "r/in", &[(1, 0), (0, 0), (2, 0)]);
        assert_eq!(breaches.len(), 1, "{breaches:?}");
        assert!(breaches[0].contains("behind message 1"), "{breaches:?}");
    }

    #[test]
    fn the_last_delivery_before_a_death_may_come_again_and_no_other() {
        assert_eq!(with(acknowledged(2), "r/in", &[(0, 0), (1, 0), (1, 1)]), Vec::<String>::new());
        assert_eq!(with(acknowledged(2), "r/in", &[(0, 0), (1, 0), (0, 1), (1, 1)]).len(), 1);
        assert_eq!(with(acknowledged(1), "r/in", &[(0, 0), (0, 0)]).len(), 1, "nothing died");
    }

    #[test]
    fn towards_the_cloud_a_batch_may_come_again() {
        let batch: Vec<(u32, u32)> = (0..100).map(|number| (number, 0)).chain([(0, 1)]).collect();
        assert_eq!(with(acknowledged(100), UPSTREAM, &batch), Vec::<String>::new());
        let more: Vec<(u32, u32)> = (0..101).map(|number| (number, 0)).chain([(0, 1)]).collect();
        assert_eq!(with(acknowledged(101), UPSTREAM, &more).len(), 1);
    }

    #[test]
    fn what_was_sent_again_may_arrive_again() {
        let mut ledger = acknowledged(2);
        ledger.sent(ONE, 0);
        assert_eq!(with(ledger, "r/in", &[(0, 0), (1, 0), (0, 0)]), Vec::<String>::new());
    }

    #[test]
    fn what_nobody_sent_is_noticed() {
        assert_eq!(with(acknowledged(1), "r/in", &[(0, 0), (7, 0)]).len(), 1);
    }

    #[test]
    fn sums_count_messages_and_repetitions() {
        let mut ledger = acknowledged(2);
        for life in [0, 1] {
            ledger.arrived("r/in", Arrival { stream: ONE, number: 0, life });
        }
        assert_eq!(ledger.sums(), Sums { sent: 2, acknowledged: 2, arrived: 1, repeated: 1 });
        assert_eq!(ledger.missing(), [(ONE, 1)]);
    }
}
