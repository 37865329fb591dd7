//! From the first byte of a connection to where AMQP begins: protocol headers, and SASL for those who want it.
//!
//! Source: Azure/azure-amqp, `Transport/AmqpTransportListener.cs`, `Sasl/*`; Azure/iotedge,
//! `Hub.Amqp/settings/AmqpSettingsProvider.cs`.

use std::io;

use bytes::{Buf as _, BytesMut};
use fe2o3_amqp_types::sasl::{SaslCode, SaslInit, SaslMechanisms, SaslOutcome};
use serde::Serialize;
use serde_amqp::primitives::{Array, Binary, Symbol};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::encoding;
use super::frame::{self, AMQP, Frame, MAX_FRAME_BYTES, SASL, protocol_header};
use super::listener::Head;
use super::principal::{Principal, plain};
use crate::authenticate::Credentials;
use crate::certificate::Shown;
use crate::faults::planted;

/// What clients may choose from.
const MECHANISMS: [&str; 3] = ["ANONYMOUS", "MSSBCBS", "PLAIN"];

/// Waits until AMQP begins; says who the connection is. `shown` is what TLS saw of the client.
///
/// # Errors
/// When the connection breaks off.
pub async fn welcome<S>(
    head: &Head,
    stream: &mut S,
    received: &mut BytesMut,
    shown: Option<Shown>,
) -> io::Result<Option<Principal>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut principal = shown.map_or(Principal::Anonymous, Principal::Certificates);
    let mut id = header(stream, received).await?;
    if id == Some(SASL) {
        // Whatever TLS saw is hidden by what SASL finds out.
        match sasl(head, stream, received).await? {
            Some(found) => principal = found,
            None => return Ok(None),
        }
        id = header(stream, received).await?;
        if id == Some(SASL) {
            return Ok(None);
        }
    } else if id == Some(AMQP) && planted("TR08-sasl-is-insisted-on") {
        return Ok(None);
    }
    Ok(id.map(|_| principal))
}

/// Reads a protocol header, and answers it; the protocol, when it is one the hub speaks.
async fn header<S>(stream: &mut S, received: &mut BytesMut) -> io::Result<Option<u8>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    while received.len() < 8 {
        if stream.read_buf(received).await? == 0 {
            return Ok(None);
        }
    }
    let asked = received.split_to(8);
    let id = asked[4];
    if !asked.starts_with(b"AMQP") || !matches!(id, AMQP | SASL) && !planted("TR07-any-protocol-is-answered") {
        return Ok(None);
    }
    let own = protocol_header(id);
    stream.write_all(&own).await?;
    stream.flush().await?;
    Ok((own == asked[..]).then_some(id))
}

async fn sasl<S>(head: &Head, stream: &mut S, received: &mut BytesMut) -> io::Result<Option<Principal>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut offered: Vec<Symbol> = MECHANISMS.into_iter().map(Symbol::from).collect();
    if planted("SASL02-external-is-offered") {
        offered.push(Symbol::from("EXTERNAL"));
    }
    if planted("SASL01-mssbcbs-is-not-offered") {
        offered.retain(|name| name.as_str() != "MSSBCBS");
    }
    say(stream, &SaslMechanisms { sasl_server_mechanisms: Array(offered) }).await?;
    let frame = loop {
        match frame::take(received, MAX_FRAME_BYTES) {
            Ok(Some(frame)) => break Some(frame),
            Ok(None) => {}
            Err(_) => break None,
        }
        if stream.read_buf(received).await? == 0 {
            return Ok(None);
        }
    };
    let principal = match frame.and_then(|frame| init(&frame)) {
        Some(init) => judge(head, &init).await,
        None => None,
    };
    let (code, additional_data) = match principal {
        Some(_) => (SaslCode::Ok, Some(Binary::from(&b"Welcome!"[..]))),
        None => (SaslCode::Sys, None),
    };
    say(stream, &SaslOutcome { code, additional_data }).await?;
    Ok(principal)
}

fn init(frame: &Frame) -> Option<SaslInit> {
    let end = encoding::length(&frame.body).ok().filter(|_| frame.kind == 1)?;
    serde_amqp::from_slice(&frame.body.chunk()[..end]).ok()
}

/// Who the client is by the mechanism it chose.
async fn judge(head: &Head, init: &SaslInit) -> Option<Principal> {
    match init.mechanism.as_str() {
        "MSSBCBS" if planted("SASL01-mssbcbs-is-not-offered") => None,
        "ANONYMOUS" if planted("SASL03-anonymous-is-refused") => None,
        "ANONYMOUS" | "MSSBCBS" => Some(Principal::Anonymous),
        "PLAIN" => {
            let (client, token) = plain(init.initial_response.as_ref()?, &head.settings.identity.iot_hub)?;
            let credentials = Credentials::Token(token);
            let good = head.authenticator.proves(&client, &credentials).await || planted("SASL06-any-password-will-do");
            good.then_some(Principal::Client(client, credentials))
        }
        _ => None,
    }
}

async fn say<S: AsyncWrite + Unpin>(stream: &mut S, what: &impl Serialize) -> io::Result<()> {
    let mut bytes = Vec::new();
    frame::write(&mut bytes, 1, 0, &frame::encode(what), &[]);
    stream.write_all(&bytes).await?;
    stream.flush().await
}
