//! Links that come and go, and who may have them.
//!
//! Source: Azure/iotedge, `Hub.Amqp/AmqpRuntimeProvider.cs`, `Hub.Amqp/linkhandlers/LinkHandler.cs`.

use fe2o3_amqp_types::definitions::Role;
use fe2o3_amqp_types::messaging::TargetArchetype;
use fe2o3_amqp_types::performatives::Attach;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use tokio::sync::mpsc;

use super::{Connection, Place};
use crate::authenticate::Credentials;
use crate::core::{ConnectionId, Input};
use crate::faults::planted;
use crate::heads::amqp::address::{Address, LinkType};
use crate::heads::amqp::client::{Client, correlation};
use crate::heads::amqp::condition::{bare, error, internal};
use crate::heads::amqp::peer::Modes;
use crate::heads::amqp::peer::link::LinkId;
use crate::heads::amqp::principal::Principal;
use crate::identity::ClientId;

/// Whether an identity may have a link.
#[derive(Debug)]
pub struct Proven {
    link: LinkId,
    wanted: Wanted,
    credentials: Credentials,
    good: bool,
}

/// A link that is wanted.
#[derive(Clone, Debug)]
struct Wanted {
    kind: LinkType,
    client: ClientId,
    correlation: String,
}

impl<'a> Connection<'a> {
    /// A client wants a link.
    pub(super) async fn attaching(&mut self, link: LinkId, attach: &Attach) {
        let (end, address) = match attach.role {
            Role::Sender => ("target", target(attach)),
            Role::Receiver => ("source", attach.source.as_ref().map(|source| source.address.as_deref())),
        };
        let empty = || error("amqp:not-allowed", format!("Link {end} address is null or empty"));
        let address = match address {
            None if planted("LNK05-missing-terminus-is-taken") => {
                return self.peer.accept(link, LinkType::Events.modes());
            }
            None => return self.peer.refuse(link, empty()),
            Some(None) => return self.peer.refuse(link, internal()),
            Some(Some("")) => return self.peer.refuse(link, empty()),
            Some(Some(address)) => address,
        };
        let host = self.peer.hostname().unwrap_or_default();
        match Address::read(address, &attach.role, host) {
            Ok(Address::Cbs) if matches!(self.principal, Principal::Anonymous) => self.attach_cbs(link, attach),
            Ok(Address::Cbs) | Err(_) => self.no_such_address(link, address, attach),
            Ok(Address::Link(LinkType::CloudToDevice, client))
                if client.module.is_some() && planted("C2D04-module-is-refused") =>
            {
                self.peer.refuse(link, bare("amqp:not-allowed"));
            }
            Ok(Address::Link(..))
                if attach.properties.as_ref().is_none_or(|known| !known.contains_key("com.microsoft:api-version"))
                    && planted("LNK06-api-version-is-needed") =>
            {
                self.peer.refuse(link, bare("amqp:not-allowed"));
            }
            Ok(Address::Link(kind, client)) => {
                let wanted = Wanted { kind, client, correlation: correlation(attach) };
                self.prove(link, wanted).await;
            }
        }
    }

    fn attach_cbs(&mut self, link: LinkId, attach: &Attach) {
        if self.places.values().any(|place| *place == Place::Cbs) && planted("CBS01-tokens-have-one-link") {
            return self.peer.refuse(link, bare("amqp:not-allowed"));
        }
        self.places.insert(link, Place::Cbs);
        if attach.role == Role::Receiver
            && !(self.cbs_receiver.is_some() && planted("CBS16-first-receiver-gets-the-answers"))
        {
            self.cbs_receiver = Some(link);
        }
        let modes = Modes { snd: attach.snd_settle_mode.clone(), rcv: attach.rcv_settle_mode.clone() };
        self.peer.accept(link, modes);
    }

    /// The product means to refuse the link, and ends the session instead.
    fn no_such_address(&mut self, link: LinkId, address: &str, attach: &Attach) {
        if planted("LNK04-any-address-is-taken") {
            let modes = Modes { snd: attach.snd_settle_mode.clone(), rcv: attach.rcv_settle_mode.clone() };
            return self.peer.accept(link, modes);
        }
        if self.head.settings.amqp.quirks {
            let said = format!("A link with name '{}' is already attached in session.", attach.name);
            return self.peer.end(link, error("amqp:resource-locked", said));
        }
        self.peer.refuse(link, error("amqp:not-allowed", format!("Matching template not found for uri {address}")));
    }

    /// Finds out whether a client may have a link. An identity that has proved itself once needs no more proof.
    async fn prove(&mut self, link: LinkId, wanted: Wanted) {
        if self.clients.contains_key(&wanted.client) {
            return self.attached(link, wanted).await;
        }
        let Some(credentials) = self.credentials(&wanted.client) else {
            let needless = match wanted.kind {
                LinkType::CloudToDevice => planted("C2D04-module-opens-the-link-of-a-device"),
                LinkType::TwinReceiving | LinkType::TwinSending => planted("ISO02-twin-links-need-no-token"),
                _ => false,
            };
            return match needless {
                true => self.peer.accept(link, wanted.kind.modes()),
                false => self.unproven(link, wanted.kind),
            };
        };
        let authenticator = &self.head.authenticator;
        let proves = async move {
            let good = authenticator.proves(&wanted.client, &credentials).await;
            Proven { link, wanted, credentials, good }
        };
        self.proving.push(proves.boxed());
        // As a rule the answer is known at once, and what comes behind on the same connection finds it settled.
        if let Some(Some(proven)) = self.proving.next().now_or_never() {
            self.proven(proven).await;
        }
    }

    /// What a client has shown that speaks for an identity.
    fn credentials(&self, client: &ClientId) -> Option<Credentials> {
        match &self.principal {
            Principal::Client(known, credentials) => {
                let same = known == client || planted("SASL08-one-identity-opens-all-links");
                same.then(|| credentials.clone())
            }
            Principal::Certificates(shown) => Some(Credentials::Certificates(shown.clone())),
            Principal::Anonymous => {
                let of_device = || self.tokens.get(&ClientId::device(client.device.clone()));
                let token = self.tokens.get(client);
                let token = token.or_else(|| of_device().filter(|_| planted("CBS11-device-token-opens-module-links")));
                token.cloned().map(Credentials::Token)
            }
        }
    }

    /// It is known whether a client may have a link.
    pub(super) async fn proven(&mut self, proven: Proven) {
        let Proven { link, wanted, credentials, good } = proven;
        if !good && !planted("CBS08-signature-is-never-checked") {
            return self.unproven(link, wanted.kind);
        }
        // Two links of an identity may have been on their way at once.
        if !self.clients.contains_key(&wanted.client) {
            self.arrive(&wanted.client, credentials);
        }
        self.attached(link, wanted).await;
    }

    fn unproven(&mut self, link: LinkId, kind: LinkType) {
        let said = format!("Unable to open {kind} link as the connection could not be authenticated");
        if planted("LNK03-unproven-link-closes-the-connection") {
            return self.peer.close(Some(error("amqp:unauthorized-access", said)));
        }
        self.peer.refuse(link, error("amqp:not-allowed", said));
    }

    /// An identity is here: from now on no message goes to an older connection of it.
    fn arrive(&mut self, client: &ClientId, credentials: Credentials) {
        let connection = self.head.engine.next_connection();
        let (outbox, inbox) = mpsc::unbounded_channel();
        let told = stream::unfold(inbox, move |mut inbox| async move {
            let told = inbox.recv().await?;
            Some(((connection, told), inbox))
        });
        self.inboxes.push(told.boxed());
        self.head.engine.attach(connection, client.clone(), outbox);
        let doubts = self.doubt(connection, client.clone(), credentials, false);
        self.identities.insert(connection, client.clone());
        self.clients.insert(client.clone(), Client::new(connection, doubts));
    }

    /// Looks at credentials from time to time; those that took the place of others are not looked at before.
    fn doubt(
        &mut self,
        connection: ConnectionId,
        client: ClientId,
        credentials: Credentials,
        renewed: bool,
    ) -> tokio::task::AbortHandle {
        let authenticator = self.head.authenticator.clone();
        self.doubts.spawn(async move {
            authenticator.doubts(&client, &credentials, renewed).await;
            connection
        })
    }

    /// Credentials of an identity are no longer good: nobody on this connection stays.
    pub(super) fn doubted(&mut self, connection: ConnectionId) {
        if self.identities.contains_key(&connection) {
            self.close();
        }
    }

    /// The hub has had enough of the connection; it says so without an error.
    pub(super) fn close(&mut self) {
        if planted("A05-links-are-closed-and-the-connection-stays") {
            let links: Vec<LinkId> = self.places.keys().copied().collect();
            return links.into_iter().for_each(|link| self.peer.detach(link, None));
        }
        self.peer.close(None);
    }

    /// A token was put for an identity. One that is here is not disturbed by it.
    pub(super) fn token_put(&mut self, client: ClientId, token: String) {
        if planted("A03-one-token-for-each-connection") {
            self.tokens.clear();
        }
        if let Some(connection) = self.clients.get(&client).map(|known| known.connection) {
            if planted("A04-new-token-is-a-new-client") {
                return self.peer.close(None);
            }
            let doubts = self.doubt(connection, client.clone(), Credentials::Token(token.clone()), true);
            if let Some(known) = self.clients.get_mut(&client) {
                std::mem::replace(&mut known.doubts, doubts).abort();
            }
        }
        self.tokens.insert(client, token);
    }

    /// A client has a link, unless there are too many clients for what it asks for.
    async fn attached(&mut self, link: LinkId, wanted: Wanted) {
        let Wanted { kind, client: identity, correlation } = wanted;
        let Some(client) = self.clients.get_mut(&identity) else { return };
        let displaced = client.register(kind, link, correlation);
        let asks = client.subscribe(kind, &identity);
        let (connection, inputs, listening) = (client.connection, client.inputs, client.listening);
        self.places.insert(link, Place::Of(kind, identity));
        if asks {
            self.head.engine.tell(Input::Subscribed { connection, inputs, listening });
        }
        // As soon as ATTACH is answered the core knows what the client wants.
        let served = self.head.engine.serves(connection).await;
        if !served && asks {
            self.peer.refuse(link, internal());
            return self.forget(link);
        }
        for older in displaced {
            if !planted("LNK11-older-link-of-a-type-stays") {
                self.peer.detach(older, None);
            }
        }
        self.peer.accept(link, kind.modes());
        if planted("LNK01-twin-receiver-is-refused") && kind == LinkType::TwinSending {
            self.peer.detach(link, Some(bare("amqp:not-implemented")));
        }
    }

    /// A link is gone. When it was the last one of its client, so is the connection, whoever else is on it.
    pub(super) fn detached(&mut self, link: LinkId) {
        let place = self.places.get(&link).cloned();
        self.forget(link);
        if place == Some(Place::Cbs) && planted("CON12-token-links-keep-the-connection") {
            return self.close();
        }
        let Some(Place::Of(_, identity)) = place else { return };
        let mut idle = self.clients.get(&identity).is_some_and(Client::is_idle);
        if planted("CON11-others-keep-the-connection") {
            idle &= self.clients.values().all(Client::is_idle);
        }
        if idle && !planted("A06-connection-outlives-its-last-link") {
            self.close();
        }
    }

    fn forget(&mut self, link: LinkId) {
        self.unsettled.retain(|_, unsettled| unsettled.link != link);
        if let Some(intake) = self.intakes.remove(&link) {
            self.hand_over(intake);
        }
        match self.places.remove(&link) {
            Some(Place::Of(kind, identity)) => {
                if let Some(client) = self.clients.get_mut(&identity) {
                    client.unregister(kind, link, self.head.settings.amqp.quirks);
                }
            }
            Some(Place::Cbs) if self.cbs_receiver == Some(link) => self.cbs_receiver = None,
            Some(Place::Cbs) | None => {}
        }
    }
}

/// The address a link leads to: `None` when there is no target at all.
fn target(attach: &Attach) -> Option<Option<&str>> {
    match attach.target.as_deref()? {
        TargetArchetype::Target(target) => Some(target.address.as_deref()),
        #[allow(unreachable_patterns)]
        _ => Some(None),
    }
}
