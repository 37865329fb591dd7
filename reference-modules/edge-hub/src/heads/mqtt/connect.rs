//! The first packet, and who is behind it.

use bytes::BytesMut;
use mqtt_protocol_core::mqtt::packet::v3_1_1::Connect;
use mqtt_protocol_core::mqtt::result_code::ConnectReturnCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;

use super::listener::Head;
use super::subscriptions::Subscriptions;
use super::user_name::UserName;
use crate::authenticate::Credentials;
use crate::certificate::Shown;
use crate::core::ConnectionId;
use crate::engine::ToClient;
use crate::faults::planted;
use crate::heads::Stream;
use crate::identity::ClientId;
use crate::wire::{self, Packet, Undecodable};

/// A stream that is open, and the certificates its client showed in TLS.
pub struct Opened<S> {
    /// To and from the client.
    pub stream: S,
    /// Certificates, if any.
    pub shown: Option<Shown>,
}

/// CONNECT, and what was read behind it.
pub struct First {
    connect: Box<Connect>,
    received: BytesMut,
}

/// A connection whose client is known, and was told so.
pub struct Accepted<S> {
    /// Its name.
    pub connection: ConnectionId,
    /// To and from the client.
    pub stream: S,
    /// What came behind CONNECT.
    pub received: BytesMut,
    /// Who it is.
    pub client: ClientId,
    /// How it proved that.
    pub credentials: Credentials,
    /// What the client asked for.
    pub connect: Box<Connect>,
    /// Restored, or none.
    pub subscriptions: Subscriptions,
    /// What the engine tells the connection.
    pub inbox: mpsc::UnboundedReceiver<ToClient>,
}

/// Waits for CONNECT. A wrong level is told; anything else that is no CONNECT ends the connection.
pub async fn arrive(stream: &mut impl Stream, limit: usize) -> Option<First> {
    let mut received = BytesMut::new();
    loop {
        match wire::take(&mut received, limit) {
            Ok(Some(Packet::Connect(connect))) => {
                return Some(First { connect, received });
            }
            Ok(None) => {}
            Ok(Some(_)) if planted("CONN12-packets-before-connect-are-ignored") => continue,
            Err(Undecodable::Level) if planted("CONN10-another-level-just-closes") => return None,
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
pub async fn judge<S: Stream>(head: &Head, opened: Opened<S>, first: First) -> Option<Accepted<S>> {
    let Opened { mut stream, shown } = opened;
    let First { connect, mut received } = first;
    let (client, credentials) = match admitted(head, &connect, shown).await {
        Ok(admitted) => admitted,
        Err(code) => {
            refuse(&mut stream, code).await;
            return None;
        }
    };
    let name = document(&client);
    let mut stored = None;
    if connect.clean_session() {
        if !planted("SESS01-clean-session-keeps-the-stored-one") {
            head.engine.remember(name, None).await;
        }
    } else {
        stored = head.engine.document(name).await;
    }
    let mut subscriptions: Option<Subscriptions> = stored.and_then(|stored| serde_json::from_slice(&stored).ok());
    let present = subscriptions.is_some() && !planted("SESS02-session-present-is-never-told")
        || !connect.clean_session() && planted("SESS03-session-present-without-a-session");
    if planted("SESS02-filters-are-not-restored") {
        subscriptions = None;
    }
    if planted("CONN14-packets-behind-connect-are-discarded") {
        received.clear();
    }
    let connection = head.engine.next_connection();
    let connack = wire::write_connack(present, ConnectReturnCode::Accepted);
    stream.write_all(&connack).await.ok()?;
    stream.flush().await.ok()?;
    // Told first, known then, as in the product: a newcomer has its CONNACK before the older connection ends.
    let (outbox, inbox) = mpsc::unbounded_channel();
    head.engine.attach(connection, client.clone(), outbox);
    let subscriptions = subscriptions.unwrap_or_default();
    Some(Accepted { connection, stream, received, client, credentials, connect, subscriptions, inbox })
}

/// Name of the stored session of a client.
pub fn document(client: &ClientId) -> String {
    if planted("SESS04-sessions-end-with-the-hub") {
        return format!("session/{}/{client}", std::process::id());
    }
    format!("session/{client}")
}

async fn admitted(
    head: &Head,
    connect: &Connect,
    shown: Option<Shown>,
) -> Result<(ClientId, Credentials), ConnectReturnCode> {
    let malformed = if planted("CONN06-malformed-user-name-is-0x05") {
        ConnectReturnCode::NotAuthorized
    } else {
        ConnectReturnCode::ServerUnavailable
    };
    let name = connect.user_name().and_then(UserName::read).ok_or(malformed)?;
    if connect.client_id().trim().is_empty() {
        return Err(if planted("CONN07-empty-client-id-is-0x02") {
            ConnectReturnCode::IdentifierRejected
        } else {
            ConnectReturnCode::ServerUnavailable
        });
    }
    let same = if planted("CONN08-client-id-in-any-case") {
        connect.client_id().eq_ignore_ascii_case(&name.client.to_string())
    } else {
        connect.client_id() == name.client.to_string()
    };
    if !same {
        return Err(ConnectReturnCode::NotAuthorized);
    }
    let credentials = credentials(connect, shown, head.settings.client_certificates).ok_or(nothing_shown())?;
    if !head.authenticator.proves(&name.client, &credentials).await {
        return Err(ConnectReturnCode::NotAuthorized);
    }
    if super::connection::is_barred(&name.client) {
        return Err(ConnectReturnCode::ServerUnavailable);
    }
    Ok((name.client, credentials))
}

/// A password outranks a certificate.
fn credentials(connect: &Connect, shown: Option<Shown>, takes_certificates: bool) -> Option<Credentials> {
    let shown = shown.filter(|_| takes_certificates).map(Credentials::Certificates);
    let password = connect.password().map(String::from_utf8_lossy).filter(|password| !password.is_empty());
    let token = password.map(|password| Credentials::Token(password.into_owned()));
    if planted("AUTH07-certificate-outranks-the-token") { shown.or(token) } else { token.or(shown) }
}

fn nothing_shown() -> ConnectReturnCode {
    if planted("CONN09-no-password-is-0x04") {
        ConnectReturnCode::BadUserNameOrPassword
    } else {
        ConnectReturnCode::NotAuthorized
    }
}

async fn refuse(stream: &mut impl Stream, code: ConnectReturnCode) {
    // The client learns it from the end of the connection too.
    let _ = stream.write_all(&wire::write_connack(false, code)).await;
    let _ = stream.shutdown().await;
}
