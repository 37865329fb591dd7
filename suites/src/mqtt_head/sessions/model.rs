//! A client's session: what must be left of it after any sequence of steps.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

/// What a client may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Connects, whether or not an older connection stands.
    Connect {
        /// CleanSession.
        clean: bool,
    },
    /// Subscribes a filter.
    Subscribe(Filter, u8),
    /// Unsubscribes a filter.
    Unsubscribe(Filter),
    /// Says DISCONNECT.
    Disconnect,
    /// Ends the connection without a word.
    BreakOff,
}

/// A filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Filter {
    /// Responses to twin requests.
    Twin,
    /// Input messages.
    Inputs,
}

/// Filters that are on, with the QoS granted.
pub type Filters = BTreeMap<Filter, u8>;

/// A client and its session, as the hub must know them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Session {
    /// Filters of the connection that stands, and whether it is kept.
    pub connected: Option<(Filters, bool)>,
    /// What is kept; there is something as soon as filters changed.
    pub stored: Option<Filters>,
}

impl Session {
    /// Takes a step; for a connection, whether the hub must say that there is a session. Steps of a client that is not
    /// connected are none.
    pub fn take(&mut self, step: Step) -> Option<bool> {
        match step {
            Step::Connect { clean } => {
                if clean {
                    self.stored = None;
                }
                let present = self.stored.is_some();
                self.connected = Some((self.stored.clone().unwrap_or_default(), !clean));
                return Some(present);
            }
            Step::Subscribe(filter, qos) => self.change(|filters| {
                filters.insert(filter, qos.min(1));
            }),
            Step::Unsubscribe(filter) => self.change(|filters| {
                filters.remove(&filter);
            }),
            Step::Disconnect | Step::BreakOff => self.connected = None,
        }
        None
    }

    fn change(&mut self, change: impl FnOnce(&mut Filters)) {
        if let Some((filters, kept)) = &mut self.connected {
            change(filters);
            if *kept {
                self.stored = Some(filters.clone());
            }
        }
    }
}

/// Sequences of steps. They begin with a connection that forgets what was before.
pub fn sequences() -> impl Strategy<Value = Vec<Step>> {
    let filter = || prop_oneof![Just(Filter::Twin), Just(Filter::Inputs)];
    let step = prop_oneof![
        4 => prop::bool::weighted(0.25).prop_map(|clean| Step::Connect { clean }),
        3 => (filter(), 0..=2_u8).prop_map(|(filter, qos)| Step::Subscribe(filter, qos)),
        1 => filter().prop_map(Step::Unsubscribe),
        1 => Just(Step::Disconnect),
        1 => Just(Step::BreakOff),
    ];
    vec(step, 2..8).prop_map(|mut steps| {
        steps.insert(0, Step::Connect { clean: true });
        steps
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_there_once_filters_changed_and_gone_after_a_clean_connection() {
        let mut session = Session::default();
        let keep = Step::Connect { clean: false };
        assert_eq!(session.take(keep), Some(false));
        assert_eq!(session.take(keep), Some(false), "nothing changed");
        session.take(Step::Unsubscribe(Filter::Twin));
        assert_eq!(session.take(keep), Some(true));
        session.take(Step::Subscribe(Filter::Inputs, 2));
        session.take(Step::BreakOff);
        session.take(Step::Subscribe(Filter::Twin, 1));
        assert_eq!(session.take(keep), Some(true));
        assert_eq!(session.connected.clone().expect("connected").0, Filters::from([(Filter::Inputs, 1)]));
        assert_eq!(session.take(Step::Connect { clean: true }), Some(false));
        assert_eq!(session.take(keep), Some(false));
    }
}
