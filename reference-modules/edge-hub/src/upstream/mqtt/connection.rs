//! One MQTT connection to IoT Hub.

use std::io;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::core::Timestamp;
use crate::identity::ClientId;
use crate::percent::escape;
use crate::sas;
use crate::scope::Authentication;
use crate::scope::client::own_token;
use crate::upstream::{Context, Duplex, PRODUCT, auth_chain};
use crate::wire::{self, Packet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const PORT: u16 = 8883;

const KEEP_ALIVE_SECS: u16 = 300;

/// Largest packet accepted from IoT Hub.
const MAX_PACKET: usize = 1 << 20;

/// Lifetime of tokens, in seconds.
const TOKEN_SECS: u64 = 3600;

/// An open connection.
pub struct Connection {
    stream: Box<dyn Duplex>,
    received: BytesMut,
    last_id: u16,
    /// Whether IoT Hub remembers filters of an earlier connection.
    pub resumed: bool,
}

impl Connection {
    /// Opens the connection of an identity. A `clean` one has IoT Hub forget what earlier ones subscribed.
    ///
    /// # Errors
    /// When IoT Hub cannot be reached, or refuses.
    pub async fn open(context: &Context, client: &ClientId, clean: bool, now: Timestamp) -> io::Result<Connection> {
        let identity = &context.settings.identity;
        let own = ClientId::module(identity.device_id.clone(), identity.module_id.clone());
        let password = if *client == own {
            own_token(&context.workload, &context.settings).await?
        } else {
            token(context, client, now)?
        };
        let user = format!(
            "{}/{client}/?api-version=2020-09-30&DeviceClientType={}&auth-chain={}",
            identity.upstream_host(),
            escape(PRODUCT),
            escape(&auth_chain(identity, client))
        );
        let connect = wire::write_connect(&client.to_string(), &user, &password, KEEP_ALIVE_SECS, clean);
        let mut connection = Connection {
            stream: context.dial(PORT, "mqtt").await?,
            received: BytesMut::new(),
            last_id: 0,
            resumed: false,
        };
        connection.write(&connect.map_err(io::Error::other)?).await?;
        match connection.next().await? {
            Packet::Connack { code: 0, present } => Ok(Connection { resumed: present, ..connection }),
            Packet::Connack { code, .. } => {
                let why = format!("IoT Hub refused {client} with code {code}");
                Err(io::Error::new(io::ErrorKind::PermissionDenied, why))
            }
            _ => Err(io::Error::other("IoT Hub did not answer CONNECT with CONNACK")),
        }
    }

    /// The next packet. Can be abandoned at any time without a loss.
    ///
    /// # Errors
    /// When the connection ends, or what comes is no packet.
    pub async fn next(&mut self) -> io::Result<Packet> {
        loop {
            if let Some(packet) = wire::take(&mut self.received, MAX_PACKET).map_err(io::Error::other)? {
                return Ok(packet);
            }
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Writes bytes, and lets them go.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// A packet id that has not been used for a while.
    pub fn fresh_id(&mut self) -> u16 {
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        self.last_id
    }
}

/// A token for another identity, signed with its key.
fn token(context: &Context, client: &ClientId, now: Timestamp) -> io::Result<String> {
    let stored = context.scope.identities.get(client);
    let Some(Authentication::Sas { primary, .. }) = stored.map(|identity| identity.authentication) else {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("no key for {client}")));
    };
    let key = STANDARD.decode(primary).map_err(io::Error::other)?;
    let host = &context.settings.identity.iot_hub;
    let device = escape(&client.device);
    let audience = match &client.module {
        Some(module) => format!("{host}/devices/{device}/modules/{}", escape(module)),
        None => format!("{host}/devices/{device}"),
    };
    let expiry = now.as_millis() / 1000 + TOKEN_SECS;
    let signature = sas::sign(&key, sas::string_to_sign(&audience, expiry).as_bytes());
    Ok(sas::token(&audience, expiry, &signature))
}
