//! The first packet, and who is behind it.

use bytes::BytesMut;
use mqtt_protocol_core::mqtt::packet::v3_1_1::Connect;
use mqtt_protocol_core::mqtt::result_code::ConnectReturnCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::server::TlsStream;

use super::listener::Head;
use super::subscriptions::Subscriptions;
use super::user_name::UserName;
use crate::core::ConnectionId;
use crate::engine::ToClient;
use crate::identity::ClientId;
use crate::wire::{self, Packet, Undecodable};

/// A connection whose CONNECT was read.
pub struct Arrived {
    stream: TlsStream<TcpStream>,
    received: BytesMut,
    connect: Box<Connect>,
}

/// A connection whose client is known, and was told so.
pub struct Accepted {
    /// To and from the client.
    pub stream: TlsStream<TcpStream>,
    /// What came behind CONNECT.
    pub received: BytesMut,
    /// Who it is.
    pub client: ClientId,
    /// What the client asked for.
    pub connect: Box<Connect>,
    /// Restored, or none.
    pub subscriptions: Subscriptions,
    /// What the engine tells the connection.
    pub inbox: mpsc::UnboundedReceiver<ToClient>,
}

/// Waits for CONNECT. A wrong level is told; anything else that is no CONNECT ends the connection.
pub async fn arrive(mut stream: TlsStream<TcpStream>, limit: usize) -> Option<Arrived> {
    let mut received = BytesMut::new();
    loop {
        match wire::take(&mut received, limit) {
            Ok(Some(Packet::Connect(connect))) => {
                return Some(Arrived { stream, received, connect });
            }
            Ok(None) => {}
            Err(Undecodable::Level) => {
                refuse(stream, ConnectReturnCode::UnacceptableProtocolVersion).await;
                return None;
            }
            Ok(Some(_)) | Err(_) => return None,
        }
        if stream.read_buf(&mut received).await.ok()? == 0 {
            return None;
        }
    }
}

/// Decides whether the client may come in, and tells it.
pub async fn judge(head: &Head, id: ConnectionId, arrived: Arrived) -> Option<Accepted> {
    let Arrived { mut stream, received, connect } = arrived;
    let client = match admitted(head, &connect).await {
        Ok(client) => client,
        Err(code) => {
            refuse(stream, code).await;
            return None;
        }
    };
    let name = document(&client);
    let mut stored = None;
    if connect.clean_session() {
        head.engine.remember(name, None).await;
    } else {
        stored = head.engine.document(name).await;
    }
    let subscriptions: Option<Subscriptions> = stored.and_then(|stored| serde_json::from_slice(&stored).ok());
    // Known before it is told: a client that is told and comes again at once must be the newcomer.
    let (outbox, inbox) = mpsc::unbounded_channel();
    head.engine.attach(id, client.clone(), outbox);
    let connack = wire::write_connack(subscriptions.is_some(), ConnectReturnCode::Accepted);
    let told = async {
        stream.write_all(&connack).await?;
        stream.flush().await
    };
    if told.await.is_err() {
        head.engine.detach(id);
        return None;
    }
    Some(Accepted { stream, received, client, connect, subscriptions: subscriptions.unwrap_or_default(), inbox })
}

/// Name of the stored session of a client.
pub fn document(client: &ClientId) -> String {
    format!("session/{client}")
}

async fn admitted(head: &Head, connect: &Connect) -> Result<ClientId, ConnectReturnCode> {
    let name = connect.user_name().and_then(UserName::read).ok_or(ConnectReturnCode::ServerUnavailable)?;
    if connect.client_id().trim().is_empty() {
        return Err(ConnectReturnCode::ServerUnavailable);
    }
    if connect.client_id() != name.client.to_string() {
        return Err(ConnectReturnCode::NotAuthorized);
    }
    let password = connect.password().map(String::from_utf8_lossy).unwrap_or_default();
    if password.is_empty() || !head.authenticator.proves(&name.client, &password).await {
        return Err(ConnectReturnCode::NotAuthorized);
    }
    if super::connection::is_barred(&name.client) {
        return Err(ConnectReturnCode::ServerUnavailable);
    }
    Ok(name.client)
}

async fn refuse(mut stream: TlsStream<TcpStream>, code: ConnectReturnCode) {
    // The client learns it from the end of the connection too.
    let _ = stream.write_all(&wire::write_connack(false, code)).await;
    let _ = stream.shutdown().await;
}
