//! Real neighbours: nginx and HAProxy in front of Crossfade, and nginx beside it asking its check route.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use crate::{
    edge::figures,
    support::{
        backend::Backend,
        crossfade::Crossfade,
        neighbour::{Neighbour, nginx, started},
        parts::parts,
        plain::{self, HOST},
        ports, process,
        scene::{Cast, PASSWORD, Person, Scene},
        scratch::Scratch,
        wait,
        wire::Wire,
    },
};

fn haproxy(crossfade: SocketAddr) -> Neighbour {
    let scratch = Scratch::new();
    let address = SocketAddr::from(([127, 0, 0, 1], ports::free()));
    let text = format!(
        "global
  maxconn 4000
defaults
  mode http
  timeout connect 2s
  timeout client 60s
  timeout server 60s
  option http-keep-alive
  http-reuse always
frontend public
  bind {address}
  default_backend crossfade
backend crossfade
  option forwardfor
  http-request set-header X-Forwarded-Proto https
  server one {crossfade}
"
    );
    let file = scratch.write("haproxy.cfg", &text);
    let mut command = process::command(&parts().haproxy);
    command.args(["-db", "-f"]).arg(file);
    started("haproxy", command, address, scratch)
}

fn nginx_before(crossfade: SocketAddr) -> Neighbour {
    nginx(&format!(
        "  upstream crossfade {{ server {crossfade}; keepalive 16; }}
  server {{
    listen LISTEN;
    location / {{
      proxy_pass http://crossfade;
      proxy_http_version 1.1;
      proxy_request_buffering off;
      proxy_set_header Connection \"\";
      proxy_set_header Host {HOST};
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto https;
    }}
  }}"
    ))
}

const TRUSTING: &str = "  trusted_proxies: [127.0.0.1]";

/// Above this a body is refused.
const BODY: usize = 256 * 1024;

fn behind(backend: &Backend, more: &str) -> Crossfade {
    plain::proxy(backend.address, &format!("body_bytes: {BODY}"), more)
}

fn request(method: &str, path: &str, body: usize) -> String {
    let length = if method == "GET" { String::new() } else { format!("Content-Length: {body}\r\n") };
    format!("{method} {path} HTTP/1.1\r\nHost: {HOST}\r\n{length}\r\n{}", "x".repeat(body))
}

/// What one client of the mix counts.
#[derive(Default)]
struct Counts {
    asked: AtomicUsize,
    refused_by_us: AtomicUsize,
    early: AtomicUsize,
    /// Pipelined ones among the others.
    pipelined: AtomicUsize,
}

/// Requests of all kinds over kept connections; every one must get its own right answer.
fn mix(front: SocketAddr, client: usize, rounds: usize, counts: &Counts) {
    let mut wire = Wire::to(front);
    let count = |counter: &AtomicUsize| counter.fetch_add(1, Ordering::Relaxed);
    for round in 0..rounds {
        let path = |kind: &str| format!("/{kind}-{client}-{round}");
        let (kind, method, body, status) = match (round * 7 + client) % 20 {
            0 | 1 => ("upload", "POST", 100_000, 200),
            2 => ("large", "POST", BODY + 50_000, 413),
            3 => ("early", "POST", 40_000, 403),
            4 => ("close", "GET", 0, 200),
            5..=8 => ("form", "POST", 300, 200),
            9 => ("put", "PUT", 5_000, 200),
            10 | 11 => {
                let (first, second) = (path("one"), path("two"));
                let both = request("GET", &first, 0) + &request("POST", &second, 10);
                wire.send(both).unwrap();
                for line in [format!("GET {first} "), format!("POST {second} ")] {
                    let told = wire.told().unwrap_or_else(|error| panic!("{line}: {error}"));
                    assert!(told.status == 200 && told.body.starts_with(&line), "{line}: {told:?}");
                    count(&counts.asked);
                    count(&counts.pipelined);
                }
                continue;
            }
            _ => ("page", "GET", 0, 200),
        };
        let path = path(kind);
        let sent = wire.send(request(method, &path, body));
        // Who is refused before it has sent all may find the connection closed; the answer is there all the same.
        assert!(sent.is_ok() || status >= 400, "{method} {path}: {sent:?}");
        let told = wire.told().unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        assert_eq!(told.status, status, "{method} {path}: {}", told.body);
        count(&counts.asked);
        match status {
            200 => {
                assert!(told.body.starts_with(&format!("{method} {path} ")), "another answer: {}", told.body);
                assert_eq!(told.asked("body-bytes"), Some(body.to_string().as_str()));
            }
            413 => drop(count(&counts.refused_by_us)),
            _ => drop(count(&counts.early)),
        }
        if told.closes() || status >= 400 {
            wire = Wire::to(front);
        }
    }
}

fn nothing_is_lost_behind(name: &str, front: impl Fn(SocketAddr) -> Neighbour) {
    let backend = Backend::start();
    let crossfade = behind(&backend, TRUSTING);
    let front = front(crossfade.public);
    let rounds = if figures::long() { 2_000 } else { 300 };
    let counts = Counts::default();
    thread::scope(|scope| {
        for client in 0..8 {
            let (counts, address) = (&counts, front.address);
            scope.spawn(move || mix(address, client, rounds, counts));
        }
    });
    let [asked, large, early, pipelined] =
        [counts.asked, counts.refused_by_us, counts.early, counts.pipelined].map(AtomicUsize::into_inner);
    figures::note(&format!(
        "{name} in front: {asked} requests answered rightly ({large} refused as too large, {early} answered early, \
         {pipelined} pipelined), none lost"
    ));
    assert!(large > 0 && early > 0 && pipelined > 0);
    drop(front);
}

#[test]
fn behind_nginx_no_request_is_lost() {
    nothing_is_lost_behind("nginx", nginx_before);
}

#[test]
fn behind_haproxy_no_request_is_lost() {
    nothing_is_lost_behind("HAProxy", haproxy);
}

/// SEC-17: the client is who the trusted neighbour says, and nobody believes what the client itself said.
#[test]
fn a_neighbour_says_who_the_client_is_only_when_it_is_trusted() {
    let backend = Backend::start();
    let asked = |front: SocketAddr, name: &str| -> Vec<Option<String>> {
        let request = format!(
            "GET /{name} HTTP/1.1\r\nHost: {HOST}\r\nX-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: ftp\r\n\
             X-Forwarded-User: mallory\r\nForwarded: for=203.0.113.9\r\n\r\n"
        );
        let told = Wire::to(front).ask(request).unwrap();
        assert_eq!(told.status, 200, "{}", told.body);
        let names =
            ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-user", "forwarded"];
        names.map(|name| told.asked(name).map(str::to_owned)).to_vec()
    };
    let told = |chain: &str, proto: &str| {
        vec![Some(chain.to_owned()), Some(proto.to_owned()), Some(HOST.to_owned()), None, None]
    };
    // The client's address is the neighbour's too, and trusted: so the next one in the list counts.
    let trusting = behind(&backend, TRUSTING);
    let wary = behind(&backend, "");
    for (name, before) in [
        ("nginx", nginx_before as fn(SocketAddr) -> Neighbour),
        ("haproxy", haproxy as fn(SocketAddr) -> Neighbour),
    ] {
        let front = before(trusting.public);
        assert_eq!(
            asked(front.address, name),
            told("203.0.113.9, 127.0.0.1, 127.0.0.1", "https"),
            "behind a trusted {name}"
        );
        let front = before(wary.public);
        assert_eq!(asked(front.address, name), told("127.0.0.1", "http"), "behind an untrusted {name}");
    }
    assert_eq!(asked(wary.public, "direct"), told("127.0.0.1", "http"));
}

/// nginx beside Crossfade: it asks the check route before it passes a request on by itself.
#[test]
fn nginx_asks_the_check_route_who_may_pass() {
    let ann = Person::new("ann");
    let scene = Scene::set(&Cast { people: vec![ann.clone()], ..Cast::default() });
    let crossfade = scene.start(&[]);
    let backend = Backend::start();
    let (public, application) = (crossfade.public, backend.address);
    let beside = nginx(&format!(
        "  server {{
    listen LISTEN;
    location / {{
      auth_request /check;
      auth_request_set $user $upstream_http_x_forwarded_user;
      auth_request_set $email $upstream_http_x_auth_request_email;
      auth_request_set $assertion $upstream_http_x_crossfade_assertion;
      proxy_pass http://{application};
      proxy_set_header X-Forwarded-User $user;
      proxy_set_header X-Forwarded-Email $email;
      proxy_set_header X-Crossfade-Assertion $assertion;
    }}
    location = /check {{
      internal;
      proxy_pass http://{public}/.crossfade/check;
      proxy_pass_request_body off;
      proxy_set_header Content-Length \"\";
      proxy_set_header Host {public};
    }}
  }}"
    ));
    let ask = |method: &str, cookie: &str| {
        let body = if method == "POST" { "Content-Length: 5\r\n\r\nhello" } else { "\r\n" };
        let request = format!(
            "{method} /guarded HTTP/1.1\r\nHost: a.test\r\n{cookie}X-Forwarded-User: mallory\r\n\
             X-Crossfade-Assertion: mallory\r\n{body}"
        );
        Wire::to(beside.address).ask(request).unwrap()
    };
    for method in ["GET", "POST", "DELETE"] {
        assert_eq!(ask(method, "").status, 401, "{method} without a session");
        assert_eq!(ask(method, "Cookie: crossfade=AAAA\r\n").status, 401, "{method} with a made-up session");
    }
    assert_eq!(backend.open(), 0, "nobody came through");
    let visitor = scene.visitor();
    let handed_over = scene.sign_in(&visitor, &ann.email, PASSWORD);
    assert_eq!(scene.confirm_mailbox(&visitor, &handed_over, &ann.email).status, 303);
    let cookie = format!("Cookie: crossfade={}\r\n", visitor.cookie("crossfade").expect("a session"));
    for method in ["GET", "POST", "DELETE"] {
        let told = ask(method, &cookie);
        assert_eq!(told.status, 200, "{method}: {}", told.body);
        assert!(told.body.starts_with(&format!("{method} /guarded ")), "{}", told.body);
        assert_eq!(told.asked("x-forwarded-email"), Some(ann.email.as_str()));
        assert!(told.asked("x-forwarded-user").is_some_and(|user| user != "mallory"), "{}", told.body);
        assert!(told.asked("x-crossfade-assertion").is_some_and(|token| token.starts_with("eyJ")));
    }
    // The end of the session is seen within the second that a session is believed.
    assert_eq!(visitor.get("/.crossfade/logout").status, 303);
    wait::until("nobody passes any more", || (ask("GET", &cookie).status == 401).then_some(()));
}
