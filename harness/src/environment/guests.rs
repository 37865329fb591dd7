//! Guests: clients that no stage connects, how they prove who they are, and what raw connections show in TLS.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pki::{DeviceCertificate, Issued};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::{Blueprint, StartError};
use crate::observe::history::Identity;

/// How long certificates of guests are valid.
const CERTIFICATE_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// How a guest proves who it is, and whether it may connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credential {
    /// By a token.
    Keys,
    /// By a token, if it were not disabled.
    Disabled,
    /// By a certificate it signed itself, known by its thumbprint.
    Thumbprint,
    /// As [`Credential::Thumbprint`], known by the second of two thumbprints.
    SecondThumbprint,
    /// As [`Credential::Thumbprint`], known by its SHA-1.
    OlderThumbprint,
    /// As [`Credential::Thumbprint`], with a certificate that has expired.
    ExpiredThumbprint,
    /// By a certificate in its name from the authority of this world.
    Authority,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    /// 1.2.
    V1_2,
    /// 1.3.
    V1_3,
}

/// What a raw connection shows in the TLS handshake.
#[derive(Debug, Clone, Copy, Default)]
pub struct Handshake<'a> {
    /// The only version offered; all there are, without one.
    pub version: Option<TlsVersion>,
    /// A certificate of the client.
    pub certificate: Option<&'a Issued>,
}

/// The certificates of guests that have one.
pub(super) fn certificates(
    blueprint: &Blueprint,
    authority: &pki::Authority,
) -> Result<BTreeMap<Identity, Issued>, StartError> {
    let mut certificates = BTreeMap::new();
    for (guest, credential) in &blueprint.guests {
        let (Identity::LeafDevice(name) | Identity::Module(name)) = guest;
        let lifetime = (*credential != Credential::ExpiredThumbprint).then_some(CERTIFICATE_LIFETIME);
        let device = DeviceCertificate { common_name: name.clone(), lifetime, is_authority: false };
        let issued = match credential {
            Credential::Keys | Credential::Disabled => continue,
            Credential::Authority => authority.issue_to_device(&device),
            _ => device.self_signed(),
        };
        certificates.insert(guest.clone(), issued.map_err(StartError::Pki)?);
    }
    Ok(certificates)
}

/// A digest of a certificate, in hexadecimal.
fn thumbprint(issued: &Issued, algorithm: &'static ring::digest::Algorithm) -> Option<String> {
    let certificate = CertificateDer::from_pem_slice(issued.certificate_chain_pem.as_bytes()).ok()?;
    let digest = ring::digest::digest(algorithm, &certificate);
    Some(digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A registry in the making, with the guests of a blueprint.
pub(super) fn registered(
    mut builder: registry::Builder,
    blueprint: &Blueprint,
    certificates: &BTreeMap<Identity, Issued>,
) -> registry::Builder {
    for (guest, credential) in &blueprint.guests {
        builder = match guest {
            Identity::Module(module) => builder.module(module),
            Identity::LeafDevice(device) => {
                let print = |algorithm| {
                    certificates.get(guest).and_then(|issued| thumbprint(issued, algorithm)).unwrap_or_default()
                };
                let (recent, none) = (print(&ring::digest::SHA256), "0".repeat(64));
                let proof = match credential {
                    Credential::Keys | Credential::Disabled => registry::Credential::Keys,
                    Credential::Authority => registry::Credential::Authority,
                    Credential::Thumbprint | Credential::ExpiredThumbprint => {
                        registry::Credential::Thumbprints { primary: recent, secondary: none }
                    }
                    Credential::SecondThumbprint => {
                        registry::Credential::Thumbprints { primary: none, secondary: recent }
                    }
                    Credential::OlderThumbprint => {
                        let older = print(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY);
                        registry::Credential::Thumbprints { primary: older, secondary: none }
                    }
                };
                builder.leaf_device(device).device(device, *credential != Credential::Disabled, proof)
            }
        };
    }
    builder
}

/// Trust in one root, as PEM, and what the client shows itself.
pub(super) fn trust(pem: &str, handshake: Handshake<'_>) -> Result<Arc<rustls::ClientConfig>, StartError> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let added = certificate.ok().and_then(|certificate| roots.add(certificate).ok());
        added.ok_or(StartError::Trust)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions: Vec<_> = match handshake.version {
        Some(TlsVersion::V1_2) => vec![&rustls::version::TLS12],
        Some(TlsVersion::V1_3) => vec![&rustls::version::TLS13],
        None => rustls::ALL_VERSIONS.to_vec(),
    };
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions)
        .expect("ring has TLS 1.2 and 1.3")
        .with_root_certificates(roots);
    let Some(issued) = handshake.certificate else { return Ok(Arc::new(builder.with_no_client_auth())) };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(issued.certificate_chain_pem.as_bytes()).collect();
    let key = PrivateKeyDer::from_pem_slice(issued.private_key_pem.as_bytes());
    let (Ok(chain), Ok(key)) = (chain, key) else { return Err(StartError::Trust) };
    builder.with_client_auth_cert(chain, key).map(Arc::new).map_err(|_| StartError::Trust)
}
