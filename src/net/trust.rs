//! Whom we believe in a TLS handshake of ours: the system's trust store and what the operator adds.

use std::{path::Path, sync::Arc};

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

/// The roots cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TrustError {
    #[error("`ca_file` cannot be read")]
    CaFile(#[source] rustls_pki_types::pem::Error),
    #[error("`ca_file` holds a certificate that is not usable")]
    Certificate(#[source] rustls::Error),
    #[error("no TLS protocol version is usable")]
    Tls(#[source] rustls::Error),
}

/// The client's side of TLS for HTTP/1.1, with the system's roots and those of a file.
pub(crate) fn trust(ca_file: Option<&Path>) -> Result<ClientConfig, TrustError> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    for error in &native.errors {
        tracing::warn!(%error, "a certificate of the system's trust store could not be read");
    }
    roots.add_parsable_certificates(native.certs);
    if let Some(file) = ca_file {
        for certificate in CertificateDer::pem_file_iter(file).map_err(TrustError::CaFile)? {
            roots.add(certificate.map_err(TrustError::CaFile)?).map_err(TrustError::Certificate)?;
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut settings = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TrustError::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    settings.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(settings)
}
