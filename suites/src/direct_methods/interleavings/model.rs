//! What a hub knows of callees and calls, and what each step makes of it: pure, and nothing about how it is seen.

/// Where a callee is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    /// Not connected.
    Away,
    /// Connected.
    There {
        /// Whether it is subscribed to methods.
        listens: bool,
    },
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It was delivered, and its callee can still answer.
    Open,
    /// Its callee answered.
    Answered,
    /// Nobody listened: 404.
    NotFound,
    /// Its callee was replaced by a newer connection: 504 at once.
    Displaced,
    /// Its callee left: 504 when its time is over, which no story waits for.
    Abandoned,
}

/// Callees and calls.
#[derive(Debug, Clone)]
pub struct World {
    callees: Vec<Presence>,
    /// Callee and state of each call, in the order they were made.
    calls: Vec<(usize, State)>,
}

impl World {
    /// Nobody is there, and no call was made.
    pub fn new(callees: usize) -> Self {
        Self { callees: vec![Presence::Away; callees], calls: Vec::new() }
    }

    /// Whether a callee is connected.
    pub fn is_there(&self, who: usize) -> bool {
        self.callees[who] != Presence::Away
    }

    /// Whether a callee would get a call.
    pub fn listens(&self, who: usize) -> bool {
        self.callees[who] == (Presence::There { listens: true })
    }

    /// A connection of a callee is accepted. Gives the calls that end by that.
    pub fn connect(&mut self, who: usize) -> Vec<usize> {
        let ended = self.end_of(who, State::Displaced);
        self.callees[who] = Presence::There { listens: false };
        ended
    }

    /// A callee's wish about methods is granted.
    pub fn listen(&mut self, who: usize, listens: bool) {
        if self.is_there(who) {
            self.callees[who] = Presence::There { listens };
        }
    }

    /// A callee leaves.
    pub fn leave(&mut self, who: usize) {
        self.end_of(who, State::Abandoned);
        self.callees[who] = Presence::Away;
    }

    /// A call is made. Gives its number and what it is at first: open, or not found.
    pub fn call(&mut self, to: usize) -> (usize, State) {
        let state = if self.listens(to) { State::Open } else { State::NotFound };
        self.calls.push((to, state));
        (self.calls.len() - 1, state)
    }

    /// An open call is answered by its callee. That it unsubscribed meanwhile does not matter.
    pub fn answer(&mut self, call: usize) {
        self.calls[call].1 = State::Answered;
    }

    /// The callee of a call.
    pub fn callee_of(&self, call: usize) -> usize {
        self.calls[call].0
    }

    /// Numbers of the calls in a state.
    pub fn in_state(&self, wanted: State) -> Vec<usize> {
        let calls = self.calls.iter().enumerate();
        calls.filter(|(_, (_, state))| *state == wanted).map(|(number, _)| number).collect()
    }

    fn end_of(&mut self, who: usize, how: State) -> Vec<usize> {
        let mut ended = Vec::new();
        for (number, (to, state)) in self.calls.iter_mut().enumerate() {
            if *to == who && *state == State::Open {
                *state = how;
                ended.push(number);
            }
        }
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_lives_on_the_connection_it_was_delivered_to() {
        let mut world = World::new(2);
        assert_eq!(world.call(0), (0, State::NotFound));
        world.connect(0);
        assert_eq!(world.call(0), (1, State::NotFound));
        world.listen(0, true);
        assert_eq!(world.call(0), (2, State::Open));
        world.listen(0, false);
        assert_eq!(world.in_state(State::Open), [2]);
        assert_eq!(world.connect(1), [] as [usize; 0]);
        assert_eq!(world.connect(0), [2]);
        world.listen(0, true);
        assert_eq!(world.call(0), (3, State::Open));
        world.leave(0);
        assert_eq!(world.in_state(State::Abandoned), [3]);
        assert_eq!(world.connect(0), [] as [usize; 0]);
    }
}
