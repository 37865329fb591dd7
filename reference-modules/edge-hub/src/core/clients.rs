//! Who is connected, and what they want.

use std::collections::{HashMap, HashSet, VecDeque};

use super::input::{ConnectionId, DeliveryId, Listening};
use super::time::Timestamp;
use crate::faults::planted;
use crate::identity::ClientId;

/// A connected client.
#[derive(Debug)]
pub struct Client {
    /// Its only connection.
    pub connection: ConnectionId,
    /// When it connected.
    pub since: Timestamp,
    /// Whether it takes input messages.
    pub inputs: bool,
    /// What it is to be told that comes from IoT Hub.
    pub listening: Listening,
    /// Whether the hub is connected to IoT Hub for it, in order to listen.
    pub upstream: bool,
    /// The one input message it has not acknowledged.
    pub unacknowledged: Option<DeliveryId>,
    /// Endpoints that want to deliver as soon as it has.
    pub waiting: VecDeque<u32>,
}

/// What a new connection changed.
#[derive(Debug)]
pub enum Arrival {
    /// Nobody had this identity.
    New,
    /// An older connection of the identity must give way.
    TakesOver(Client),
    /// Too many identities: it can send, but is not known here.
    OverLimit,
    /// A newer connection of the identity is known already: this one must give way.
    Superseded,
}

/// All connected clients, by identity and by connection.
#[derive(Debug)]
pub struct Clients {
    limit: usize,
    seen: HashSet<ClientId>,
    clients: HashMap<ClientId, Client>,
    identities: HashMap<ConnectionId, ClientId>,
    /// What identities wanted on earlier connections: only a planted fault remembers that.
    wanted: HashMap<ClientId, (bool, Listening)>,
}

impl Clients {
    /// None yet; `limit` is the number of identities the hub serves.
    pub fn new(limit: usize) -> Clients {
        Clients {
            limit,
            seen: HashSet::new(),
            clients: HashMap::new(),
            identities: HashMap::new(),
            wanted: HashMap::new(),
        }
    }

    /// A client connected. An identity seen before is not counted against the limit again.
    pub fn connect(&mut self, connection: ConnectionId, client: ClientId, now: Timestamp) -> Arrival {
        let taken = if planted("Q21-places-are-never-free-again") { self.seen.len() } else { self.clients.len() };
        if !self.seen.contains(&client) && taken >= self.limit {
            return Arrival::OverLimit;
        }
        if self.clients.get(&client).is_some_and(|known| known.connection > connection) {
            return Arrival::Superseded;
        }
        self.seen.insert(client.clone());
        self.identities.insert(connection, client.clone());
        let (inputs, listening) = self.wanted.get(&client).copied().unwrap_or_default();
        let newcomer = Client {
            connection,
            since: now,
            inputs,
            listening,
            upstream: false,
            unacknowledged: None,
            waiting: VecDeque::new(),
        };
        match self.clients.insert(client, newcomer) {
            Some(older) => {
                if !planted("Q15-old-connection-tears-down-the-new") {
                    self.identities.remove(&older.connection);
                }
                Arrival::TakesOver(older)
            }
            None => Arrival::New,
        }
    }

    /// Keeps what an identity wants for its next connection: only a planted fault does.
    pub fn remember(&mut self, client: &ClientId, inputs: bool, listening: Listening) {
        self.wanted.insert(client.clone(), (inputs, listening));
    }

    /// A connection ended. `None` when it had been taken over before, or was never known.
    pub fn disconnect(&mut self, connection: ConnectionId) -> Option<(ClientId, Client)> {
        let client = self.identities.remove(&connection)?;
        let state = self.clients.remove(&client)?;
        Some((client, state))
    }

    /// The client behind a connection.
    pub fn by_connection(&mut self, connection: ConnectionId) -> Option<&mut Client> {
        let client = self.identities.get(&connection)?;
        self.clients.get_mut(client)
    }

    /// The identity behind a connection.
    pub fn identity(&self, connection: ConnectionId) -> Option<&ClientId> {
        self.identities.get(&connection)
    }

    /// A connected client by identity.
    pub fn get(&mut self, client: &ClientId) -> Option<&mut Client> {
        self.clients.get_mut(client)
    }

    /// All connected identities, in order.
    pub fn all(&self) -> Vec<ClientId> {
        let mut all: Vec<ClientId> = self.clients.keys().cloned().collect();
        all.sort();
        all
    }

    /// Some connected client that takes input messages and is not this one.
    pub fn other_receiver(&mut self, client: &ClientId) -> Option<&mut Client> {
        self.clients
            .iter_mut()
            .find(|(identity, state)| *identity != client && state.inputs && state.unacknowledged.is_none())
            .map(|(_, state)| state)
    }

    /// Connections of everybody who takes input messages.
    pub fn receivers(&self) -> impl Iterator<Item = ConnectionId> {
        self.clients.values().filter(|client| client.inputs).map(|client| client.connection)
    }

    /// Connections of all these.
    pub fn connections(&self, whose: impl Fn(&ClientId) -> bool) -> Vec<ConnectionId> {
        let whose = self.clients.iter().filter(|(client, _)| whose(client));
        whose.map(|(_, state)| state.connection).collect()
    }

    /// Connections of everybody who takes calls of methods.
    pub fn callees(&self) -> impl Iterator<Item = ConnectionId> {
        self.clients.values().filter(|client| client.listening.methods).map(|client| client.connection)
    }

    /// Whether an identity was ever connected.
    pub fn was_seen(&self, client: &ClientId) -> bool {
        self.seen.contains(client)
    }

    /// How many are connected.
    pub fn len(&self) -> usize {
        self.clients.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(name: &str) -> ClientId {
        ClientId::module("edge1", name)
    }

    #[test]
    fn the_newcomer_of_an_identity_wins() {
        let mut clients = Clients::new(9);
        assert!(matches!(clients.connect(ConnectionId(1), module("a"), Timestamp::default()), Arrival::New));
        let arrival = clients.connect(ConnectionId(2), module("a"), Timestamp::default());
        assert!(matches!(arrival, Arrival::TakesOver(older) if older.connection == ConnectionId(1)));
        assert!(clients.disconnect(ConnectionId(1)).is_none(), "the older connection is unknown by now");
        assert!(clients.get(&module("a")).is_some());
    }

    #[test]
    fn a_connection_that_is_told_of_late_does_not_displace_a_newer_one() {
        let mut clients = Clients::new(9);
        assert!(matches!(clients.connect(ConnectionId(2), module("a"), Timestamp::default()), Arrival::New));
        assert!(matches!(clients.connect(ConnectionId(1), module("a"), Timestamp::default()), Arrival::Superseded));
        assert!(clients.disconnect(ConnectionId(1)).is_none());
        assert!(clients.get(&module("a")).is_some());
    }

    #[test]
    fn an_identity_seen_before_passes_the_limit_again() {
        let mut clients = Clients::new(1);
        assert!(matches!(clients.connect(ConnectionId(1), module("a"), Timestamp::default()), Arrival::New));
        clients.disconnect(ConnectionId(1));
        assert!(matches!(clients.connect(ConnectionId(2), module("b"), Timestamp::default()), Arrival::New));
        assert!(matches!(clients.connect(ConnectionId(3), module("c"), Timestamp::default()), Arrival::OverLimit));
        assert!(matches!(clients.connect(ConnectionId(4), module("a"), Timestamp::default()), Arrival::New));
    }
}
