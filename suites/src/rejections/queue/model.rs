//! Where the messages for two leaf devices must be, whatever happened: a pure model of the cloud's queues and of two
//! devices that come and go. The hub between them has no state of its own here, since it may keep no message.

use std::fmt;

use proptest::prelude::*;

use crate::property::steps;

/// A sequence of events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// Whether the cloud's lock on a message ends soon, so that what is not acknowledged comes again meanwhile.
    pub short_lock: bool,
    /// What happens.
    pub steps: Vec<Step>,
}

/// An event. Every one can be taken in every state: who is away cannot leave, and then nothing happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The cloud sends messages to a device.
    Send {
        /// Device, by number.
        to: usize,
        /// How many.
        count: usize,
    },
    /// A device connects, in the place of an older connection if there is one.
    Connect {
        /// Device, by number.
        who: usize,
        /// Whether its session is kept.
        kept: bool,
    },
    /// A device subscribes to its messages.
    Subscribe {
        /// Device, by number.
        who: usize,
        /// QoS.
        qos: u8,
    },
    /// A device unsubscribes.
    Unsubscribe {
        /// Device, by number.
        who: usize,
    },
    /// A device acknowledges some of what it got and has not acknowledged, the oldest first.
    Acknowledge {
        /// Device, by number.
        who: usize,
        /// How many at most.
        count: usize,
    },
    /// A device leaves.
    Leave {
        /// Device, by number.
        who: usize,
        /// Whether it says DISCONNECT.
        farewell: bool,
    },
    /// The hub is cut off from the cloud.
    Cut,
    /// The cloud is within reach again.
    Mend,
    /// The hub is stopped and started again.
    Restart,
}

/// Where a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// In the cloud, never handed out.
    Waiting,
    /// With the device, on the connection that stands; an acknowledgement completes it.
    Held,
    /// Handed out on a connection that is over. It comes again when the cloud's lock ends.
    Stranded,
    /// Completed.
    Done,
}

/// A device, and its messages by number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Device {
    /// States of its messages, in the order in which they were sent.
    pub messages: Vec<State>,
    /// Its connection, if it is there.
    pub connection: Option<Connection>,
    /// The QoS of the subscription in its kept session.
    stored: Option<u8>,
}

/// A device's connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// The QoS of its subscription, if it has one.
    pub subscribed: Option<u8>,
    /// Whether its session is kept.
    kept: bool,
}

/// Both devices, and the link between hub and cloud.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct World {
    /// The devices.
    pub devices: [Device; 2],
    /// Whether the hub is cut off from the cloud.
    pub cut: bool,
}

impl World {
    /// Whether a step changes anything.
    pub fn can(&self, step: Step) -> bool {
        let there = |who: usize| self.devices[who].connection.as_ref();
        match step {
            Step::Send { .. } | Step::Connect { .. } | Step::Restart => true,
            Step::Subscribe { who, .. } | Step::Leave { who, .. } => there(who).is_some(),
            Step::Unsubscribe { who } => there(who).is_some_and(|connection| connection.subscribed.is_some()),
            // While the cloud cannot hear of it, nobody can tell what an acknowledgement is good for.
            Step::Acknowledge { who, .. } => !self.cut && !self.devices[who].held().is_empty(),
            Step::Cut => !self.cut,
            Step::Mend => self.cut,
        }
    }

    /// Takes a step.
    pub fn take(&mut self, step: Step) {
        match step {
            Step::Send { to, count } => self.devices[to].messages.extend(vec![State::Waiting; count]),
            Step::Connect { who, kept } => self.devices[who].connect(kept),
            Step::Subscribe { who, qos } => self.devices[who].subscribe(Some(qos)),
            Step::Unsubscribe { who } => self.devices[who].subscribe(None),
            Step::Acknowledge { who, count } => {
                let device = &mut self.devices[who];
                for number in device.held().into_iter().take(count) {
                    device.messages[number] = State::Done;
                }
            }
            Step::Leave { who, .. } => self.devices[who].go(),
            Step::Restart => self.devices.iter_mut().for_each(Device::go),
            Step::Cut => {
                self.cut = true;
                self.devices.iter_mut().for_each(Device::strand);
            }
            Step::Mend => self.cut = false,
        }
    }

    /// The messages each device must get now, in order; they count as handed out from here on.
    pub fn hand_out(&mut self) -> [Vec<usize>; 2] {
        let cut = self.cut;
        self.devices.each_mut().map(|device| if cut { Vec::new() } else { device.hand_out() })
    }
}

impl Device {
    /// The messages it has not acknowledged on its connection, in order.
    pub fn held(&self) -> Vec<usize> {
        self.messages.iter().enumerate().filter(|(_, state)| **state == State::Held).map(|(number, _)| number).collect()
    }

    fn connect(&mut self, kept: bool) {
        self.go();
        if !kept {
            self.stored = None;
        }
        self.connection = Some(Connection { subscribed: self.stored, kept });
    }

    fn subscribe(&mut self, qos: Option<u8>) {
        let Some(connection) = &mut self.connection else { return };
        connection.subscribed = qos;
        if connection.kept {
            self.stored = qos;
        }
    }

    fn go(&mut self) {
        self.connection = None;
        self.strand();
    }

    fn strand(&mut self) {
        for state in self.messages.iter_mut().filter(|state| **state == State::Held) {
            *state = State::Stranded;
        }
    }

    fn hand_out(&mut self) -> Vec<usize> {
        let Some(qos) = self.connection.as_ref().and_then(|connection| connection.subscribed) else {
            return Vec::new();
        };
        let mut handed = Vec::new();
        for (number, state) in self.messages.iter_mut().enumerate().filter(|(_, state)| **state == State::Waiting) {
            *state = if qos == 0 { State::Done } else { State::Held };
            handed.push(number);
        }
        handed
    }
}

/// Sequences of events.
pub fn cases() -> impl Strategy<Value = Case> {
    let who = || 0..2_usize;
    let step = prop_oneof![
        6 => (who(), 1..=3_usize).prop_map(|(to, count)| Step::Send { to, count }),
        4 => (who(), any::<bool>()).prop_map(|(who, kept)| Step::Connect { who, kept }),
        6 => (who(), prop_oneof![1 => Just(0_u8), 3 => Just(1_u8)]).prop_map(|(who, qos)| Step::Subscribe { who, qos }),
        2 => who().prop_map(|who| Step::Unsubscribe { who }),
        4 => (who(), 1..=3_usize).prop_map(|(who, count)| Step::Acknowledge { who, count }),
        3 => (who(), any::<bool>()).prop_map(|(who, farewell)| Step::Leave { who, farewell }),
        1 => Just(Step::Restart),
        1 => Just(Step::Cut),
        2 => Just(Step::Mend),
    ];
    // Most cases begin with a device that listens: without one there is little to see.
    let opening = prop_oneof![
        3 => (who(), any::<bool>()).prop_map(|(who, kept)| {
            vec![Step::Connect { who, kept }, Step::Subscribe { who, qos: 1 }]
        }),
        1 => Just(Vec::new()),
    ];
    (prop::bool::weighted(0.2), opening, steps(step, 3..=8)).prop_map(|(short_lock, mut steps, more)| {
        steps.extend(more);
        Case { short_lock, steps }
    })
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |who: &usize| super::trial::DEVICES[*who];
        match self {
            Step::Send { to, count } => write!(f, "the cloud sends {count} messages to leaf device {}", name(to)),
            Step::Connect { who, kept: true } => {
                write!(f, "leaf device {} connects with a session that is kept", name(who))
            }
            Step::Connect { who, kept: false } => write!(f, "leaf device {} connects with a clean session", name(who)),
            Step::Subscribe { who, qos } => {
                write!(f, "leaf device {} subscribes to its messages at QoS {qos}", name(who))
            }
            Step::Unsubscribe { who } => write!(f, "leaf device {} unsubscribes", name(who)),
            Step::Acknowledge { who, count } => {
                write!(f, "leaf device {} acknowledges {count} of what it holds", name(who))
            }
            Step::Leave { who, farewell: true } => write!(f, "leaf device {} leaves", name(who)),
            Step::Leave { who, farewell: false } => write!(f, "leaf device {} breaks off its connection", name(who)),
            Step::Cut => f.write_str("the cloud is out of reach"),
            Step::Mend => f.write_str("the cloud is within reach again"),
            Step::Restart => f.write_str("the hub is stopped and started again"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEND: Step = Step::Send { to: 0, count: 1 };
    const NONE: [usize; 0] = [];
    const SUBSCRIBE: Step = Step::Subscribe { who: 0, qos: 1 };

    fn after(steps: &[Step]) -> (World, Vec<usize>) {
        let mut world = World::default();
        let mut handed = Vec::new();
        for step in steps {
            world.take(*step);
            handed.extend(world.hand_out()[0].clone());
        }
        (world, handed)
    }

    #[test]
    fn a_message_waits_until_its_device_has_subscribed() {
        let connect = Step::Connect { who: 0, kept: false };
        assert_eq!(after(&[SEND, connect]).1, NONE);
        let (world, handed) = after(&[SEND, connect, SUBSCRIBE]);
        assert_eq!((handed, world.devices[0].messages.clone()), (vec![0], vec![State::Held]));
        assert_eq!(after(&[connect, SUBSCRIBE, Step::Cut, SEND]).1, NONE);
        assert_eq!(after(&[connect, SUBSCRIBE, Step::Cut, SEND, Step::Mend]).1, [0]);
    }

    #[test]
    fn a_kept_subscription_is_good_for_the_next_connection_and_a_clean_one_ends_it() {
        let kept = Step::Connect { who: 0, kept: true };
        let leave = Step::Leave { who: 0, farewell: true };
        assert_eq!(after(&[kept, SUBSCRIBE, leave, SEND, kept]).1, [0]);
        assert_eq!(after(&[kept, SUBSCRIBE, Step::Restart, SEND, kept]).1, [0]);
        let clean = Step::Connect { who: 0, kept: false };
        assert_eq!(after(&[kept, SUBSCRIBE, leave, SEND, clean, kept]).1, NONE);
        assert_eq!(after(&[kept, SUBSCRIBE, Step::Unsubscribe { who: 0 }, leave, SEND, kept]).1, NONE);
    }

    #[test]
    fn an_acknowledgement_is_good_only_on_the_connection_of_its_message() {
        let connect = Step::Connect { who: 0, kept: false };
        let acknowledge = Step::Acknowledge { who: 0, count: 1 };
        let (world, _) = after(&[connect, SUBSCRIBE, SEND, SEND, acknowledge]);
        assert_eq!(world.devices[0].messages, [State::Done, State::Held]);
        let (world, _) = after(&[connect, SUBSCRIBE, SEND, connect]);
        assert_eq!(world.devices[0].messages, [State::Stranded]);
        assert!(!world.can(acknowledge));
    }
}
