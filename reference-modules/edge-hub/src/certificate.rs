//! Certificates of clients. The TLS handshake takes any; what one is worth is decided at CONNECT.
//!
//! - [`AnyCertificate`]: asks for a certificate, and refuses none.
//! - [`Shown`]: what a client showed, and what it proves.
//! - `der`: the few fields of a certificate that count.
//!
//! Source: Azure/iotedge, `Hub.CloudProxy/authenticators/DeviceScopeCertificateAuthenticator.cs`,
//! `Edge.Util/CertificateHelper.cs`.

use std::sync::Arc;
use std::time::Duration;

use ring::digest;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, UnixTime};

mod der;

use crate::faults::planted;
use crate::identity::ClientId;
use crate::scope::{Authentication, ServiceIdentity};
use der::Fields;

/// Asks clients for a certificate. Whoever shows one must have its key; who issued it does not matter here.
#[derive(Debug)]
pub struct AnyCertificate(pub Arc<CryptoProvider>);

impl ClientCertVerifier for AnyCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        shown: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let own = Fields::read(shown).is_some_and(|fields| fields.issuer == fields.subject);
        if own && planted("TLS03-unknown-certificate-fails-the-handshake") {
            return Err(rustls::CertificateError::UnknownIssuer.into());
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, shown, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, shown, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Certificates a client showed: its own, then those that lead to its authority.
#[derive(Clone, Debug)]
pub struct Shown(pub Vec<CertificateDer<'static>>);

/// Authorities that are trusted to say who a device is.
pub struct Authorities(Option<Arc<dyn ClientCertVerifier>>);

impl Authorities {
    /// Those of a trust bundle, in PEM.
    pub fn of_bundle(bundle: &str) -> Authorities {
        let mut roots = RootCertStore::empty();
        // What cannot be read is trusted by nobody.
        roots.add_parsable_certificates(CertificateDer::pem_slice_iter(bundle.as_bytes()).filter_map(Result::ok));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        Authorities(WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().ok())
    }

    fn vouch_for(&self, shown: &Shown, now_secs: u64) -> bool {
        let (Some(verifier), Some((own, others))) = (&self.0, shown.0.split_first()) else { return false };
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now_secs));
        verifier.verify_client_cert(own, others, now).is_ok()
    }
}

impl Shown {
    /// Whether these certificates prove a device. Modules cannot sign in this way.
    pub fn proves(
        &self,
        client: &ClientId,
        stored: &ServiceIdentity,
        authorities: &Authorities,
        now_secs: u64,
    ) -> bool {
        let Some(own) = self.0.first() else { return false };
        let Some(fields) = Fields::read(own) else { return false };
        if client.module.is_some() {
            return planted("AUTH06-module-may-show-a-certificate");
        }
        if !stored.enabled {
            return false;
        }
        match &stored.authentication {
            Authentication::Thumbprints { primary, secondary } => {
                let good = fields.valid.contains(&now_secs) || planted("AUTH05-expired-certificate-is-accepted");
                let mut prints = vec![hex(&digest::SHA256, own)];
                if !planted("AUTH013-older-thumbprints-are-not-known") {
                    prints.push(hex(&digest::SHA1_FOR_LEGACY_USE_ONLY, own));
                }
                let known = if planted("AUTH05-second-thumbprint-is-ignored") {
                    vec![primary]
                } else {
                    vec![primary, secondary]
                };
                good && known.iter().any(|known| prints.contains(&known.to_uppercase()))
            }
            Authentication::Authority => {
                let named = fields.common_name.as_deref() == Some(client.device.as_str());
                (named || planted("AUTH05-name-in-the-certificate-is-not-read"))
                    && authorities.vouch_for(self, now_secs)
            }
            Authentication::Sas { .. } | Authentication::Other => false,
        }
    }
}

fn hex(algorithm: &'static digest::Algorithm, bytes: &[u8]) -> String {
    digest::digest(algorithm, bytes).as_ref().iter().map(|byte| format!("{byte:02X}")).collect()
}
