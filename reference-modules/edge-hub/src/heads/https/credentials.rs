//! Who asks, and whether that is so.
//!
//! A certificate shown in the handshake decides, then one that the API proxy forwards, then the token in
//! `Authorization`. Source: Azure/iotedge, `Hub.Http/controllers/HttpRequestAuthenticator.cs`,
//! `Hub.Http/Extensions/HttpContextExtensions.cs`, `Hub.Http/HttpProxiedCertificateExtractor.cs`.

use hyper::header::AUTHORIZATION;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use super::listener::{Asked, Head};
use crate::authenticate::Credentials;
use crate::certificate::Shown;
use crate::engine::now;
use crate::faults::planted;
use crate::identity::ClientId;
use crate::percent::unescape;
use crate::sas::Token;

/// A client certificate in PEM, escaped as in a URL.
const FORWARDED: &str = "x-ms-edge-clientcert";

/// The module that may forward certificates.
const PROXY: &str = "IoTEdgeAPIProxy";

/// What a token begins with, in any letter case.
const SCHEME: &str = "SharedAccessSignature";

/// Whether a request comes from this identity.
///
/// # Errors
/// Why not, as its sender is told.
pub async fn prove(head: &Head, asked: &Asked, actor: &ClientId) -> Result<(), String> {
    let has_token = asked.header(AUTHORIZATION.as_str()).is_some();
    let shown = asked.shown.clone().filter(|_| !(has_token && planted("HTTP06-token-outranks-the-certificate")));
    if let Some(shown) = shown {
        return by_certificate(head, actor, shown).await;
    }
    let Some(forwarded) = asked.header(FORWARDED) else { return by_token(head, asked, actor).await };
    if planted("HTTP07-whoever-forwards-a-certificate-is-believed") {
        return Ok(());
    }
    let proxy = ClientId::module(head.settings.identity.device_id.clone(), PROXY);
    if let Err(why) = by_token(head, asked, &proxy).await {
        return Err(format!("Unable to authenticate {proxy} to forward the certificate of {actor} - {why}"));
    }
    let chain = CertificateDer::pem_slice_iter(unescape(forwarded).as_bytes()).filter_map(Result::ok).collect();
    by_certificate(head, actor, Shown(chain)).await
}

async fn by_certificate(head: &Head, actor: &ClientId, shown: Shown) -> Result<(), String> {
    proven(head, actor, Credentials::Certificates(shown)).await
}

/// A token in the query is not taken, and one in the header neither when there is one in the query.
async fn by_token(head: &Head, asked: &Asked, actor: &ClientId) -> Result<(), String> {
    let header = asked.header(AUTHORIZATION.as_str()).filter(|header| !header.trim().is_empty());
    let Some(token) = header.filter(|_| !asked.has_parameter(AUTHORIZATION.as_str())) else {
        let missing = String::from("Authorization header missing");
        return match in_query(asked).filter(|_| planted("HTTP08-token-in-the-query-will-do")) {
            Some(token) => proven(head, actor, Credentials::Token(token)).await,
            None => Err(missing),
        };
    };
    let scheme = token.get(..SCHEME.len()).unwrap_or_default();
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return Err(format!("Invalid Authorization header. Only {SCHEME} is supported."));
    }
    if let Err(why) = Token::read(token, now().as_millis()) {
        return Err(format!("Cannot parse {SCHEME} because of the following error - {why}"));
    }
    proven(head, actor, Credentials::Token(token.to_owned())).await
}

async fn proven(head: &Head, actor: &ClientId, credentials: Credentials) -> Result<(), String> {
    if head.authenticator.proves(actor, &credentials).await {
        return Ok(());
    }
    if planted("MAUTH04-any-module-speaks-for-any") {
        for known in head.scope.identities.all() {
            if known.client.module.is_some() && head.authenticator.proves(&known.client, &credentials).await {
                return Ok(());
            }
        }
    }
    Err(format!("Unable to authenticate device with Id {actor}"))
}

fn in_query(asked: &Asked) -> Option<String> {
    let mut pairs = asked.parts.uri.query()?.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(name, _)| name.eq_ignore_ascii_case(AUTHORIZATION.as_str())).map(|(_, value)| unescape(value))
}
