//! An application that speaks https.

use std::{net::SocketAddr, path::Path, sync::Arc};

use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::support::{HOST, Running};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tls");

/// Answers every request with 200; its certificate is for `localhost`, signed by the test CA.
fn application() -> SocketAddr {
    let folder = Path::new(FIXTURES);
    let certificates = CertificateDer::pem_file_iter(folder.join("localhost.pem"))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.join("localhost.key")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let settings = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(settings));
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                // A client that does not trust us ends the handshake.
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut buffer = [0; 4096];
                while stream.read(&mut buffer).await.unwrap_or(0) > 0 {
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret").await.unwrap();
                }
            }
        });
    });
    told.recv().unwrap()
}

fn before(application: SocketAddr, host: &str, ca_file: Option<&str>) -> Running {
    Running::with(application, |_, upstream| {
        upstream.url = format!("https://{host}:{}", application.port()).parse().unwrap();
        upstream.ca_file = ca_file.map(|name| Path::new(FIXTURES).join(name));
    })
}

#[test]
fn an_https_application_is_believed_only_with_a_trusted_certificate_for_its_name() {
    let application = application();
    let request = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
    for (host, ca_file, status) in [
        ("localhost", Some("ca.pem"), 200),
        ("127.0.0.1", Some("ca.pem"), 200),
        ("localhost", None, 502),
        ("127.0.0.2", Some("ca.pem"), 502),
    ] {
        let running = before(application, host, ca_file);
        assert_eq!(running.ask(&request).status, status, "{host} {ca_file:?}");
        let failed = running.counted("upstream_failures").get("tls") == Some(&1);
        assert_eq!(failed, status == 502, "{host} {ca_file:?}");
    }
}
