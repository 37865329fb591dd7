//! What a client subscribed to, and what of it is kept with its session.

use serde::{Deserialize, Serialize};

use super::topics::{self, Class};
use crate::faults::planted;
use crate::identity::ClientId;

/// One filter that was ever subscribed or unsubscribed, in the order of first mention.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Filter {
    filter: String,
    granted: u8,
    on: bool,
}

/// The filters of a client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscriptions {
    filters: Vec<Filter>,
}

impl Subscriptions {
    /// Subscribes a filter; returns what was granted.
    pub fn subscribe(&mut self, filter: &str, wanted: u8) -> u8 {
        let granted = wanted.min(1);
        match self.filters.iter_mut().find(|known| known.filter == filter) {
            Some(known) => {
                let poisoned = !known.on && known.granted == 0 && planted("T04-unsubscribed-first-stays-off");
                known.granted = granted;
                known.on = !poisoned;
            }
            None => self.filters.push(Filter { filter: filter.to_owned(), granted, on: true }),
        }
        granted
    }

    /// Unsubscribes a filter; returns whether it was known. One never subscribed is recorded too, as the product does.
    pub fn unsubscribe(&mut self, filter: &str) -> bool {
        if planted("O08-removed-filter-takes-its-class-along") {
            // The class is still on, and nothing of it matches.
            let of_class = |known: &&mut Filter| topics::class(&known.filter) == topics::class(filter);
            for known in self.filters.iter_mut().filter(of_class) {
                known.filter = String::from("devices/none/modules/none/#");
            }
            return true;
        }
        match self.filters.iter_mut().find(|known| known.filter == filter) {
            Some(known) => {
                known.on = false;
                true
            }
            None => {
                self.filters.push(Filter { filter: filter.to_owned(), granted: 0, on: false });
                false
            }
        }
    }

    /// Whether the core is to send messages of a class. The records are replayed in order: of two filters of one
    /// class the one recorded later decides.
    pub fn wants(&self, class: Class) -> bool {
        let mut latest_first = self.filters.iter().rev();
        latest_first.find(|known| topics::class(&known.filter) == Some(class)).is_some_and(|known| known.on)
    }

    /// Whether messages of the cloud for this client would be taken: a filter asks for such, and one matches. One that
    /// names somebody else asks for nothing.
    pub fn wants_cloud_to_device(&self, client: &ClientId) -> bool {
        let asks = |known: &Filter| known.on && topics::class(&known.filter) == Some(Class::CloudToDevice);
        let matches = |client: &ClientId| self.granted(&topics::cloud_to_device(client, &[], &[])).is_some();
        let of_device = planted("B02-device-id-alone-finds-the-receiver");
        self.filters.iter().any(asks)
            && (matches(client) || of_device && matches(&ClientId::device(client.device.clone())))
    }

    /// Turns the filters of a class off: only a planted fault does.
    pub fn turn_off(&mut self, class: Class) {
        let of_class = |known: &&mut Filter| topics::class(&known.filter) == Some(class);
        self.filters.iter_mut().filter(of_class).for_each(|known| known.on = false);
    }

    /// Highest QoS granted to a filter that matches; `None` when none does.
    pub fn granted(&self, topic: &str) -> Option<u8> {
        let mut matching = self.filters.iter().filter(|known| known.on && matches(&known.filter, topic));
        if planted("QOS05-first-filter-decides") {
            return matching.next().map(|known| known.granted);
        }
        matching.map(|known| known.granted).max()
    }
}

/// Topic matching as the product has it: `#` also matches topics that begin with `$`.
fn matches(filter: &str, topic: &str) -> bool {
    let mut topic = topic.split('/');
    for level in filter.split('/') {
        match (level, topic.next()) {
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (level, Some(found)) if level == found => {}
            _ => return false,
        }
    }
    topic.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "devices/d/modules/m/inputs/#";
    const TWO: &str = "devices/d/modules/m/#";

    #[test]
    fn the_best_grant_of_all_matching_filters_counts() {
        let mut subscriptions = Subscriptions::default();
        assert_eq!(subscriptions.subscribe(ONE, 0), 0);
        assert_eq!(subscriptions.subscribe(TWO, 2), 1);
        assert_eq!(subscriptions.granted("devices/d/modules/m/inputs/in1/a=b"), Some(1));
        subscriptions.unsubscribe(TWO);
        assert_eq!(subscriptions.granted("devices/d/modules/m/inputs/in1/a=b"), Some(0));
        assert_eq!(subscriptions.granted("devices/d/modules/other/inputs/in1/a=b"), None);
    }

    #[test]
    fn of_two_filters_of_a_class_the_later_recorded_decides() {
        let mut subscriptions = Subscriptions::default();
        subscriptions.subscribe(ONE, 1);
        subscriptions.subscribe(TWO, 1);
        subscriptions.unsubscribe(ONE);
        assert!(subscriptions.wants(Class::Inputs));
        subscriptions.subscribe(ONE, 1);
        subscriptions.unsubscribe(TWO);
        assert!(!subscriptions.wants(Class::Inputs));
    }

    #[test]
    fn a_filter_for_another_device_asks_for_no_message_of_the_cloud() {
        let device = ClientId::device("leaf1");
        let mut subscriptions = Subscriptions::default();
        subscriptions.subscribe("#", 1);
        assert!(!subscriptions.wants_cloud_to_device(&device), "nothing asks for them");
        subscriptions.unsubscribe("#");
        subscriptions.subscribe("devices/leaf2/messages/devicebound/#", 1);
        assert!(!subscriptions.wants_cloud_to_device(&device));
        subscriptions.subscribe("devices/leaf1/messages/devicebound/#", 0);
        assert!(subscriptions.wants_cloud_to_device(&device));
        subscriptions.unsubscribe("devices/leaf2/messages/devicebound/#");
        assert!(subscriptions.wants_cloud_to_device(&device));
    }

    #[test]
    fn a_hash_matches_everything_below_and_the_level_itself() {
        for (filter, topic, expected) in [
            ("#", "$iothub/twin/res/200/?$rid=1", true),
            ("a/#", "a", true),
            ("a/+", "a", false),
            ("a/+/c", "a/b/c", true),
            ("a/b", "a/b/c", false),
        ] {
            assert_eq!(matches(filter, topic), expected, "{filter} {topic}");
        }
    }
}
