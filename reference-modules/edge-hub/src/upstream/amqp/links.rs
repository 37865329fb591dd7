//! The links of one identity.

use std::io;

use fe2o3_amqp::link::receiver::CreditMode;
use fe2o3_amqp::link::{ReceiverAttachError, SenderAttachError};
use fe2o3_amqp::session::SessionHandle;
use fe2o3_amqp::types::definitions::{self, AmqpError, ErrorCondition, Fields, ReceiverSettleMode, SenderSettleMode};
use fe2o3_amqp::types::messaging::Body;
use fe2o3_amqp::types::primitives::{Symbol, Value};
use fe2o3_amqp::{Receiver, Sender};
use uuid::Uuid;

use super::CLOUD_SETTLES;
use crate::identity::ClientId;
use crate::percent::escape;
use crate::settings::Identity;
use crate::upstream::{PRODUCT, auth_chain};

/// Messages a receiver takes ahead.
pub const PREFETCH: u32 = 50;

/// Something that came over a link.
pub type Delivery = fe2o3_amqp::Delivery<Body<Value>>;

/// How links of an identity are attached.
pub struct Links {
    /// Where its nodes are.
    root: String,
    auth_chain: String,
}

impl Links {
    /// Links of `client`.
    pub fn new(hub: &Identity, client: &ClientId) -> Links {
        let host = hub.upstream_host();
        let device = escape(&client.device);
        let root = match &client.module {
            Some(module) => format!("amqps://{host}:5671/devices/{device}/modules/{}", escape(module)),
            None => format!("amqps://{host}:5671/devices/{device}"),
        };
        Links { root, auth_chain: auth_chain(hub, client) }
    }

    /// For events.
    pub async fn telemetry(&self, session: &mut SessionHandle<()>) -> io::Result<Sender> {
        self.sender(session, "TelemetrySenderLink", "messages/events", SenderSettleMode::Mixed, None).await
    }

    /// For requests about the twin, and for answers and notifications.
    pub async fn twin(&self, session: &mut SessionHandle<()>) -> io::Result<(Sender, Receiver)> {
        self.pair(session, ["TwinSenderLink", "TwinReceiverLink"], "twin", "twin").await
    }

    /// For answers to calls of methods, and for calls.
    pub async fn methods(&self, session: &mut SessionHandle<()>) -> io::Result<(Sender, Receiver)> {
        self.pair(session, ["MethodsSenderLink", "MethodsReceiverLink"], "methods/deviceBound", "methods").await
    }

    /// For messages of the cloud.
    pub async fn cloud_to_device(&self, session: &mut SessionHandle<()>) -> io::Result<Receiver> {
        let mode = (SenderSettleMode::Mixed, CLOUD_SETTLES);
        self.receiver(session, "TelemetryReceiverLink", "messages/deviceBound", mode, None).await
    }

    async fn pair(
        &self,
        session: &mut SessionHandle<()>,
        [sending, receiving]: [&str; 2],
        node: &str,
        kind: &str,
    ) -> io::Result<(Sender, Receiver)> {
        let correlation = format!("{kind}:{}", Uuid::new_v4());
        let mode = (SenderSettleMode::Settled, ReceiverSettleMode::First);
        let mut receiver = self.receiver(session, receiving, node, mode, Some(&correlation)).await?;
        // Credit grows by itself with each settlement, of which there are none here.
        receiver.set_credit_mode(CreditMode::Manual);
        let sender = self.sender(session, sending, node, SenderSettleMode::Settled, Some(&correlation)).await?;
        Ok((sender, receiver))
    }

    async fn sender(
        &self,
        session: &mut SessionHandle<()>,
        name: &str,
        node: &str,
        mode: SenderSettleMode,
        correlation: Option<&str>,
    ) -> io::Result<Sender> {
        let attached = Sender::builder()
            .name(name)
            .target(format!("{}/{node}", self.root))
            .sender_settle_mode(mode)
            .properties(self.properties(correlation))
            .attach(session);
        attached.await.map_err(|error| match &error {
            SenderAttachError::RemoteClosedWithError(cause) if is_refusal(cause) => refused(&error),
            _ => io::Error::other(error),
        })
    }

    async fn receiver(
        &self,
        session: &mut SessionHandle<()>,
        name: &str,
        node: &str,
        (sender, receiver): (SenderSettleMode, ReceiverSettleMode),
        correlation: Option<&str>,
    ) -> io::Result<Receiver> {
        let attached = Receiver::builder()
            .name(name)
            .source(format!("{}/{node}", self.root))
            .sender_settle_mode(sender)
            .receiver_settle_mode(receiver)
            .credit_mode(CreditMode::Auto(PREFETCH))
            .properties(self.properties(correlation))
            .attach(session);
        attached.await.map_err(|error| match &error {
            ReceiverAttachError::RemoteClosedWithError(cause) if is_refusal(cause) => refused(&error),
            _ => io::Error::other(error),
        })
    }

    fn properties(&self, correlation: Option<&str>) -> Fields {
        let mut properties = Fields::new();
        let mut insert = |name: &str, value: &str| {
            properties.insert(Symbol::from(format!("com.microsoft:{name}")), Value::String(value.to_owned()))
        };
        insert("client-version", PRODUCT);
        insert("api-version", "2020-09-30");
        insert("auth-chain", &self.auth_chain);
        if let Some(correlation) = correlation {
            insert("channel-correlation-id", correlation);
        }
        properties
    }
}

fn is_refusal(error: &definitions::Error) -> bool {
    error.condition == ErrorCondition::AmqpError(AmqpError::UnauthorizedAccess)
}

fn refused(error: &dyn std::error::Error) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, error.to_string())
}
