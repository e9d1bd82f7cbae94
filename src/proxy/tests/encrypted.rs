//! TLS towards browsers: versions, names, renewal, handshakes that come to nothing.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    thread::park_timeout,
    time::Duration,
};

use rustls::{
    HandshakeKind, ProtocolVersion,
    version::{TLS12, TLS13},
};

use super::{
    secure::{BOTH, Wire, certificate, plane, settings, tls, wait_for_count},
    support::{Application, HOST, PATIENCE, Running, has},
};
use crate::config::TlsVersion;

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n")
}

/// The certificate that a handshake with this name shows.
fn shown(running: &Running, name: &str) -> Vec<u8> {
    let wire = Wire::open(running, &settings(BOTH, &[]), name).unwrap();
    wire.stream.conn.peer_certificates().unwrap()[0].to_vec()
}

fn file(name: &str) -> Vec<u8> {
    certificate(name, 0).pair.cert[0].to_vec()
}

/// Which certificate ends when, as the metrics say.
fn ends(running: &Running) -> Vec<String> {
    let metrics = running.metrics.encode().unwrap();
    let lines =
        metrics.lines().filter(|line| line.starts_with("crossfade_tls_certificate_not_after_seconds{"));
    let short = lines.map(|line| {
        let (file, end) = line.rsplit_once(".pem\"} ").unwrap();
        format!("{} {end}", file.rsplit('/').next().unwrap())
    });
    let mut all: Vec<String> = short.collect();
    all.sort();
    all
}

#[test]
fn both_versions_are_spoken_and_the_oldest_can_be_chosen() {
    let application = Application::mirror();
    let any = plane(application.address, |_, _| {});
    let new = Running::with(application.address, |public, _| {
        let mut tls = tls(vec![certificate("localhost", 1)]);
        tls.min_version = TlsVersion::Tls13;
        public.tls = Some(tls);
    });
    for (version, spoken) in [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)] {
        let mut wire = Wire::open(&any, &settings(&[version], &[]), HOST).unwrap();
        assert_eq!(wire.stream.conn.protocol_version(), Some(spoken));
        let (status, text) = wire.ask(&get("/a"));
        assert_eq!(status, 200);
        assert!(text.contains("x-forwarded-proto: https\n") && text.contains("via: 1.1 "), "{text}");
        assert_eq!(Wire::open(&new, &settings(&[version], &[]), HOST).is_ok(), version == &TLS13);
    }
    wait_for_count(&new, "tls_handshake_failures", "incompatible", 1);
}

#[test]
fn http2_is_spoken_when_both_want_it() {
    let application = Application::mirror();
    let both = plane(application.address, |_, _| {});
    let old = Running::with(application.address, |public, _| {
        public.tls = Some(tls(vec![certificate("localhost", 1)]));
        public.http2 = false;
    });
    for (running, offers, agreed) in [
        (&both, &["h2", "http/1.1"][..], Some("h2")),
        (&both, &["http/1.1", "h2"], Some("h2")),
        (&both, &["http/1.1"], Some("http/1.1")),
        (&both, &[], None),
        (&old, &["h2", "http/1.1"], Some("http/1.1")),
    ] {
        let wire = Wire::open(running, &settings(BOTH, offers), HOST).unwrap();
        let protocol = wire.stream.conn.alpn_protocol().map(|name| std::str::from_utf8(name).unwrap());
        assert_eq!(protocol, agreed, "{offers:?}");
    }
    assert!(Wire::open(&old, &settings(BOTH, &["h2"]), HOST).is_err());
    wait_for_count(&old, "tls_handshake_failures", "incompatible", 1);
}

#[test]
fn the_server_name_chooses_the_certificate_and_nothing_else() {
    let application = Application::mirror();
    let running = Running::with(application.address, |public, _| {
        public.tls = Some(tls(vec![certificate("localhost", 7), certificate("other", 5)]));
    });
    for (name, expected) in [
        ("localhost", "localhost"),
        ("other.example.test", "other"),
        ("nobody.test", "localhost"),
        ("127.0.0.1", "localhost"),
    ] {
        assert_eq!(shown(&running, name), file(expected), "{name}");
    }
    assert_eq!(ends(&running), ["localhost 7", "other 5"]);
    // Whatever name the connection was opened with: the request says which host it is for.
    let mut wire = Wire::open(&running, &settings(BOTH, &[]), "other.example.test").unwrap();
    assert_eq!(wire.ask(&get("/")).0, 200);
    assert_eq!(wire.ask("GET / HTTP/1.1\r\nHost: other.example.test\r\n\r\n").0, 421);
}

#[test]
fn a_new_certificate_is_shown_to_new_connections_and_old_ones_go_on() {
    let application = Application::mirror();
    let running = plane(application.address, |_, _| {});
    let mut kept = Wire::plain(&running);
    assert_eq!(kept.ask(&get("/")).0, 200);
    assert_eq!(shown(&running, HOST), file("localhost"));
    running.plane.renew(&tls(vec![certificate("other", 9)]));
    assert_eq!(shown(&running, HOST), file("other"));
    assert_eq!(kept.ask(&get("/")).0, 200);
    assert_eq!(ends(&running), ["other 9"]);
}

#[test]
fn sessions_are_resumed_in_both_versions() {
    let application = Application::mirror();
    let running = plane(application.address, |_, _| {});
    for version in [&TLS12, &TLS13] {
        let settings = settings(&[version], &[]);
        let kinds = [(); 2].map(|()| {
            let mut wire = Wire::open(&running, &settings, HOST).unwrap();
            // The tickets of TLS 1.3 come with the first answer.
            assert_eq!(wire.ask(&get("/")).0, 200);
            wire.stream.conn.handshake_kind()
        });
        assert_eq!(kinds, [Some(HandshakeKind::Full), Some(HandshakeKind::Resumed)], "{version:?}");
    }
}

#[test]
fn a_slow_handshake_ends_in_time_holds_up_nobody_and_has_a_place() {
    let application = Application::mirror();
    let running = Running::with(application.address, |public, _| {
        let mut tls = tls(vec![certificate("localhost", 1)]);
        tls.handshake_timeout = Duration::from_secs(2);
        public.tls = Some(tls);
        public.limits.connections_per_address = 3;
    });
    let mut slow = [(); 2].map(|()| TcpStream::connect(running.address()).unwrap());
    slow[0].write_all(&[22, 3, 1]).unwrap();
    let mut wire = Wire::plain(&running);
    assert_eq!(wire.ask(&get("/")).0, 200, "others are served meanwhile");
    assert!(Wire::open(&running, &settings(BOTH, &[]), HOST).is_err(), "a handshake takes a place");
    assert_eq!(running.counted("connections_turned_away")[""], 1);
    for stream in &mut slow {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        assert_eq!(stream.read(&mut [0; 100]).unwrap(), 0, "closed without a word");
    }
    wait_for_count(&running, "tls_handshake_failures", "timeout", 2);
    assert_eq!(wire.ask(&get("/")).0, 200);
}

#[test]
fn what_is_no_handshake_is_closed_and_counted() {
    let application = Application::mirror();
    let running = plane(application.address, |_, _| {});
    for bytes in [get("/").into_bytes(), vec![0; 100], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()] {
        let mut stream = TcpStream::connect(running.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&bytes).unwrap();
        // An alert, then the end; or a reset because of what was not read.
        let _ = stream.read_to_end(&mut Vec::new());
    }
    drop(TcpStream::connect(running.address()).unwrap());
    assert_eq!(Wire::plain(&running).ask(&get("/")).0, 200);
    wait_for_count(&running, "tls_handshake_failures", "invalid", 3);
    wait_for_count(&running, "tls_handshake_failures", "gone", 1);
    assert_eq!(application.opened(), 1);
}

#[test]
fn a_web_socket_works_over_tls() {
    let application = Application::run(|guest| {
        guest.head();
        guest.send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello",
        );
        while guest.more() {
            let bytes = guest.take_read();
            guest.send(bytes.to_ascii_uppercase());
        }
    });
    let running = plane(application.address, |_, _| {});
    let mut wire = Wire::plain(&running);
    wire.send(format!(
        "GET /live HTTP/1.1\r\nHost: {HOST}\r\nOrigin: https://{HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    ));
    assert!(wire.head().unwrap().starts_with("http/1.1 101"));
    assert_eq!(wire.take(5).unwrap(), b"hello");
    wire.send("raw\0bytes");
    assert_eq!(wire.take(9).unwrap(), b"RAW\0BYTES");
    drop(wire);
    application.wait_for(|events| format!("{events:?}").contains("Closed"));
}

#[test]
fn a_connection_that_lay_idle_goes_on_over_tls() {
    let application = Application::mirror();
    let running = plane(application.address, |_, _| {});
    let mut wire = Wire::plain(&running);
    for number in 0..3 {
        assert_eq!(wire.ask(&get(&format!("/{number}"))).0, 200);
        // Longer than a connection keeps its buffers.
        park_timeout(Duration::from_millis(1300));
    }
    application.wait_for(|events| has(events, "GET /2"));
}
