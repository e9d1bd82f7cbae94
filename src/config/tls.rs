//! Section `public.tls`: the certificates that browsers see.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use rustls::sign::CertifiedKey;

use crate::clock::Timestamp;

/// TLS towards browsers.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    /// Never empty. The first is for clients whose server name fits none, or who send none.
    pub(crate) certificates: Vec<Certificate>,
    pub(crate) min_version: TlsVersion,
    /// From the connection to the end of the handshake.
    pub(crate) handshake_timeout: Duration,
}

/// The oldest protocol version that is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TlsVersion {
    Tls12,
    Tls13,
}

/// A certificate with the key that belongs to it: read, checked, ready for handshakes.
#[derive(Clone)]
pub(crate) struct Certificate {
    /// The certificate and its intermediate ones.
    pub(crate) file: PathBuf,
    pub(crate) key_file: PathBuf,
    pub(crate) pair: Arc<CertifiedKey>,
    /// When browsers stop believing it.
    pub(crate) not_after: Timestamp,
}

/// Never the pair: a key has no place in any output.
impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("file", &self.file)
            .field("key_file", &self.key_file)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}
