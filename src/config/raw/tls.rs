//! Section `public.tls`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Span;

/// TLS towards browsers. Without it Crossfade speaks plain HTTP behind a load balancer that has the certificate.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Tls {
    /// The certificate (PEM) followed by its intermediate ones. A changed file is taken into use without a restart.
    #[schemars(required, with = "String")]
    pub(in crate::config) certificate_file: Option<String>,
    /// Its private key (PEM): PKCS#8, SEC1 or PKCS#1, not encrypted.
    #[schemars(required, with = "String")]
    pub(in crate::config) key_file: Option<String>,
    /// Further certificates, chosen by the server name that the browser asks for. Default none.
    pub(in crate::config) more_certificates: Option<Vec<CertificatePair>>,
    /// The oldest version that is spoken. Default `tls1.2`.
    pub(in crate::config) min_version: Option<TlsVersion>,
    /// How long a handshake may take. Default `10s`.
    pub(in crate::config) handshake_timeout: Option<Span>,
}

/// A certificate and its key.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct CertificatePair {
    /// The certificate (PEM) followed by its intermediate ones.
    #[schemars(required, with = "String")]
    pub(in crate::config) certificate_file: Option<String>,
    /// Its private key (PEM).
    #[schemars(required, with = "String")]
    pub(in crate::config) key_file: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub(in crate::config) enum TlsVersion {
    /// TLS 1.2 and 1.3.
    #[serde(rename = "tls1.2")]
    Tls12,
    /// TLS 1.3 only.
    #[serde(rename = "tls1.3")]
    Tls13,
}
