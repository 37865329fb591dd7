//! Trust in the hub's certificate, from the bundle the workload API hands out.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

/// A TLS configuration that trusts the certificates of `bundle`, PEM, and no others.
pub(crate) fn in_bundle(bundle: &str) -> Result<Arc<ClientConfig>, Distrust> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
        roots.add(certificate?)?;
    }
    if roots.is_empty() {
        return Err(Distrust::Empty);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Why a bundle is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Distrust {
    #[error("there is no certificate in it")]
    Empty,
    #[error("it is not PEM: {0}")]
    Pem(#[from] rustls_pki_types::pem::Error),
    #[error(transparent)]
    Certificate(#[from] rustls::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_without_a_certificate_is_of_no_use() {
        assert!(matches!(in_bundle(""), Err(Distrust::Empty)));
        assert!(matches!(in_bundle("not PEM"), Err(Distrust::Empty)));
    }

    #[test]
    fn a_bundle_with_something_else_in_it_is_of_no_use() {
        let bundle = "-----BEGIN CERTIFICATE-----\nYWJj\n-----END CERTIFICATE-----\n";
        assert!(matches!(in_bundle(bundle), Err(Distrust::Certificate(_))));
    }
}
