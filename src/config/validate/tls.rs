//! Section `public.tls`: certificates are read and checked here, so that nothing unusable ever comes into force.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rustls::{
    client::verify_server_name, crypto::CryptoProvider, server::ParsedCertificate, sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};
use url::{Host, Url};
use zeroize::Zeroizing;

use super::{Check, reason};
use crate::{
    clock::{SystemClock, Timestamp},
    config::{
        Certificate, Tls, TlsVersion,
        problem::At,
        raw::{self, CertificatePair},
        validity::{Validity, validity},
    },
};

/// Longer than any renewal is late by accident: whoever is warned then has time to act.
const EXPIRES_SOON: Duration = Duration::from_hours(24 * 14);

/// A file larger than this is the wrong file.
const LARGEST_PEM_BYTES: u64 = 256 * 1024;

impl Check<'_> {
    pub(super) fn tls(&mut self, at: &At, raw: Option<raw::Tls>, url: Option<&Url>) -> Option<Tls> {
        let raw = raw?;
        if url.is_some_and(|url| url.scheme() == "http") {
            self.problem(at, "speaks https, but public.url is http: make it https, or remove this section");
        }
        let first = self.certificate(
            at,
            CertificatePair { certificate_file: raw.certificate_file, key_file: raw.key_file },
        );
        let mut certificates: Vec<Certificate> = first.into_iter().collect();
        if let Some(first) = certificates.first() {
            self.warn_of_name(at, &first.pair, url);
        }
        for (n, pair) in raw.more_certificates.unwrap_or_default().into_iter().enumerate() {
            certificates.extend(self.certificate(&at.key("more_certificates").index(n), pair));
        }
        let handshake_timeout =
            self.span(&at.key("handshake_timeout"), raw.handshake_timeout, Duration::from_secs(10));
        let min_version = match raw.min_version {
            None | Some(raw::TlsVersion::Tls12) => TlsVersion::Tls12,
            Some(raw::TlsVersion::Tls13) => TlsVersion::Tls13,
        };
        // Without one there is a problem already.
        (!certificates.is_empty()).then_some(Tls { certificates, min_version, handshake_timeout })
    }

    fn certificate(&mut self, at: &At, raw: CertificatePair) -> Option<Certificate> {
        let certificate_at = at.key("certificate_file");
        let key_at = at.key("key_file");
        let chain = self.pem(&certificate_at, raw.certificate_file);
        let key = self.pem(&key_at, raw.key_file);
        let (certificate_file, chain) = chain?;
        let chain: Vec<_> = match CertificateDer::pem_slice_iter(&chain).collect() {
            Ok(chain) => chain,
            Err(error) => {
                self.problem(&certificate_at, format!("is no PEM file: {error}"));
                return None;
            }
        };
        let Some(leaf) = chain.first() else {
            self.problem(&certificate_at, "holds no certificate: the file must be PEM (BEGIN CERTIFICATE)");
            return None;
        };
        let Some(valid) = validity(leaf) else {
            self.problem(&certificate_at, "begins with a certificate that cannot be read: make a new one");
            return None;
        };
        let (key_file, key) = key?;
        let Ok(key) = PrivateKeyDer::from_pem_slice(&key) else {
            self.problem(
                &key_at,
                "holds no private key: it must be PEM (PKCS#8, SEC1 or PKCS#1) and not encrypted",
            );
            return None;
        };
        let pair = match CertifiedKey::from_der(chain, key, &provider()) {
            Ok(pair) => Arc::new(pair),
            Err(rustls::Error::InconsistentKeys(_)) => {
                self.problem(&key_at, "is not the key of the certificate: give both from one issue");
                return None;
            }
            Err(rustls::Error::InvalidCertificate(error)) => {
                self.problem(&certificate_at, format!("begins with an unusable certificate: {error:?}"));
                return None;
            }
            Err(error) => {
                self.problem(&key_at, format!("cannot be used: {error}"));
                return None;
            }
        };
        self.warn_of_dates(&certificate_at, valid);
        Some(Certificate { file: certificate_file, key_file, pair, not_after: valid.not_after })
    }

    /// Reads a file whose content becomes part of the configuration.
    fn pem(&mut self, at: &At, name: Option<String>) -> Option<(PathBuf, Zeroizing<Vec<u8>>)> {
        let name = self.text(at, name)?;
        let path = self.path(&name);
        self.files.push(path.clone());
        let read = read_pem(&path);
        match &read {
            Ok(bytes) => self.seen.add(bytes),
            Err(text) => self.seen.add(text.as_bytes()),
        }
        match read {
            Ok(bytes) => Some((path, bytes)),
            Err(text) => {
                self.problem(at, text);
                None
            }
        }
    }

    /// Only warnings: refusing would take a site down that still works for some.
    fn warn_of_dates(&mut self, at: &At, valid: Validity) {
        let now = SystemClock::shared().now();
        let day = |moment: Timestamp| moment.to_string().chars().take(10).collect::<String>();
        if valid.not_after <= now {
            self.warn(at, format!("has expired on {}: browsers refuse it", day(valid.not_after)));
        } else if valid.not_after < now.after(EXPIRES_SOON) {
            self.warn(at, format!("expires soon, on {}: renew it", day(valid.not_after)));
        }
        if valid.not_before > now {
            self.warn(at, format!("is valid only from {}: browsers refuse it", day(valid.not_before)));
        }
    }

    fn warn_of_name(&mut self, at: &At, pair: &CertifiedKey, url: Option<&Url>) {
        let Some(host) = url.and_then(Url::host) else { return };
        let name = match host {
            Host::Domain(name) => ServerName::try_from(name.to_owned()).ok(),
            Host::Ipv4(address) => Some(std::net::IpAddr::V4(address).into()),
            Host::Ipv6(address) => Some(std::net::IpAddr::V6(address).into()),
        };
        let leaf = pair.end_entity_cert().ok().and_then(|leaf| ParsedCertificate::try_from(leaf).ok());
        let fits = leaf.zip(name).is_some_and(|(leaf, name)| verify_server_name(&leaf, &name).is_ok());
        if !fits {
            self.warn(
                &at.key("certificate_file"),
                format!("is not for {host}, the host of public.url: browsers refuse it there"),
            );
        }
    }
}

fn provider() -> CryptoProvider {
    rustls::crypto::aws_lc_rs::default_provider()
}

fn read_pem(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    let cannot = |error: &std::io::Error| format!("cannot read {}: {}", path.display(), reason(error));
    let found = fs::metadata(path).map_err(|error| cannot(&error))?;
    if !found.is_file() {
        return Err(format!("{} is not a file", path.display()));
    }
    if found.len() > LARGEST_PEM_BYTES {
        return Err(format!("{} is larger than 256 KiB: this is no certificate and no key", path.display()));
    }
    fs::read(path).map(Zeroizing::new).map_err(|error| cannot(&error))
}
