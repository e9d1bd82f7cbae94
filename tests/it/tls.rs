//! TLS and HTTP/2 towards browsers, with other people's clients: openssl, curl, and one that keeps asking.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
};

use reqwest::{Certificate, ClientBuilder, Version};
use tokio::task::JoinSet;

use crate::support::{
    certificates::{Authority, curl, handshake, serial_at},
    crossfade::{Crossfade, crossfade_with},
    draft::Draft,
    http::{Visitor, block_on},
    scene::{Cast, PASSWORD, Person, SECRETS, Scene},
    scratch::Scratch,
    wait,
};

/// A scene that is reached by https.
struct Stage {
    scene: Scene,
    crossfade: Crossfade,
    authority: Authority,
    ann: Person,
}

fn stage(changes: &[(&str, &str)]) -> Stage {
    let ann = Person::new("ann");
    let scene = Scene::set(&Cast { people: vec![ann.clone()], ..Cast::default() });
    let authority = Authority::new();
    authority.issue("0A", "30");
    authority.show("0A");
    let crossfade = Scene::start_as(&encrypted(&scene, &authority), changes);
    Stage { scene, crossfade, authority, ann }
}

/// The scene's configuration with the authority's certificate.
fn encrypted(scene: &Scene, authority: &Authority) -> String {
    let (certificate, key) = authority.pair();
    let tls = format!(
        "  tls: {{certificate_file: '{}', key_file: '{}'}}\n  threads: 2\n",
        certificate.display(),
        key.display()
    );
    let public = scene.public();
    let draft = Draft::of(scene.configuration())
        .put(&format!("  url: http://{public}\n"), &format!("  url: https://{public}\n"))
        .put("  threads: 2\n", &tls);
    draft.0
}

impl Stage {
    fn address(&self) -> SocketAddr {
        self.crossfade.public
    }

    fn origin(&self) -> String {
        format!("https://{}", self.address())
    }

    fn visitor(&self, kind: impl FnOnce(ClientBuilder) -> ClientBuilder) -> Visitor {
        let trusted = std::fs::read(self.authority.certificate()).unwrap();
        let trusted = Certificate::from_pem(&trusted).unwrap();
        Visitor::with(&self.origin(), |client| kind(client.tls_certs_only([trusted])))
    }

    fn metric(&self, name: &str) -> Option<String> {
        let metrics = self.crossfade.admin_visitor().get("/metrics").text();
        metrics.lines().find_map(|line| line.strip_prefix(name).map(|rest| rest.trim().to_owned()))
    }
}

#[test]
fn openssl_and_curl_are_served() {
    let stage = stage(&[]);
    let address = stage.address();
    for (options, spoken) in [
        (&["-tls1_2"][..], Some("TLSv1.2")),
        (&["-tls1_3"], Some("TLSv1.3")),
        (&["-tls1_1", "-cipher", "DEFAULT:@SECLEVEL=0"], None),
        (&["-tls1", "-cipher", "DEFAULT:@SECLEVEL=0"], None),
        (&["-alpn", "http/1.0"], None),
    ] {
        let said = handshake(address, options);
        assert_eq!(said.is_some(), spoken.is_some(), "{options:?}: {said:?}");
        if let (Some(said), Some(spoken)) = (said, spoken) {
            assert!(said.contains(spoken), "{options:?}: {said}");
        }
    }
    let said = handshake(address, &["-alpn", "http/1.1,h2"]).unwrap();
    assert!(said.contains("ALPN protocol: h2"), "{said}");
    let trust = stage.authority.certificate();
    let url = format!("{}/login", stage.origin());
    for (option, version) in [("--http2", "2"), ("--http1.1", "1.1"), ("--tlsv1.3", "2")] {
        let printed = curl(&trust, &[option, "--write-out", "\n%{http_version} %{http_code}", &url]);
        let (page, last) = printed.rsplit_once('\n').unwrap();
        assert_eq!(last, format!("{version} 200"), "{option}");
        assert!(page.contains("csrf"), "{page}");
    }
    // A body of some size, both ways of saying how long it is, to a route that reads it all: this curl takes an early
    // answer for a broken stream.
    let scratch = Scratch::new();
    let file = scratch.write("upload", &"x".repeat(200_000));
    let upload = format!("@{}", file.display());
    for field in ["content-length: 200000", "transfer-encoding: chunked"] {
        let told = [
            "--http2",
            "--header",
            field,
            "--data-binary",
            &upload,
            "--output",
            "/dev/null",
            "--write-out",
            "%{http_version} %{http_code}",
            &format!("{}/upload", stage.origin()),
        ];
        let printed = curl(&trust, &told);
        assert_eq!(printed, "2 200");
    }
    let end = stage.metric("crossfade_tls_certificate_not_after_seconds").unwrap();
    assert!(end.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap() > 1_700_000_000, "{end}");
}

#[test]
fn a_sign_in_over_http2_gets_protected_cookies() {
    let stage = stage(&[("CROSSFADE_ROLLOUT__CUTOVER", "100%"), ("CROSSFADE_ROLLOUT__MIGRATE", "100%")]);
    let visitor = stage.visitor(|client| client);
    let page = visitor.get("/login?next=/");
    let csrf = page.form_value("csrf");
    let fields = [("csrf", &*csrf), ("email", &*stage.ann.email), ("password", PASSWORD), ("next", "/")];
    let request =
        visitor.request(reqwest::Method::POST, "/login").header("origin", stage.origin()).form(&fields);
    let answer = visitor.send(request);
    assert!(stage.scene.is_handed_over(&answer), "{} {}", answer.status, answer.text());
    let back = format!("redirect_uri=https%3A%2F%2F{}", stage.address().to_string().replace(':', "%3A"));
    assert!(answer.location().contains(&back), "{}", answer.location());
    let cookies: Vec<_> = answer.headers.iter().filter(|(name, _)| name == "set-cookie").collect();
    let ours: Vec<_> = cookies.iter().filter(|(_, value)| value.contains("crossfade")).collect();
    assert!(!ours.is_empty(), "{cookies:?}");
    assert!(
        ours.iter().all(|(_, value)| value.starts_with("__Host-") && value.contains("; Secure")),
        "{ours:?}"
    );
}

#[test]
fn a_swapped_certificate_fails_no_request_and_a_bad_one_is_not_taken() {
    let stage = stage(&[]);
    let authority = &stage.authority;
    authority.issue("0B", "30");
    authority.issue("0C", "30");
    authority.mix("mixed", "0C", "0B");
    let (answered, failed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let stop = Arc::new(AtomicBool::new(false));
    let mut load = JoinSet::new();
    block_on(async {
        for number in 0..8 {
            // Kept connections of both kinds, and a new one for every request.
            let (visitor, version) = match number % 3 {
                0 => (stage.visitor(|client| client), Version::HTTP_2),
                1 => (stage.visitor(ClientBuilder::http1_only), Version::HTTP_11),
                _ => {
                    (stage.visitor(|client| client.http1_only().pool_max_idle_per_host(0)), Version::HTTP_11)
                }
            };
            let (answered, failed, stop) = (Arc::clone(&answered), Arc::clone(&failed), Arc::clone(&stop));
            load.spawn(async move {
                while !stop.load(Relaxed) {
                    let answer = visitor.request(reqwest::Method::GET, "/login").send().await;
                    let good = match answer {
                        Ok(answer) => {
                            assert_eq!(answer.version(), version);
                            answer.status() == 200 && answer.bytes().await.is_ok()
                        }
                        Err(_) => false,
                    };
                    if good { &answered } else { &failed }.fetch_add(1, Relaxed);
                }
            });
        }
    });
    let more = |count: usize| {
        let goal = answered.load(Relaxed) + count;
        wait::until("the load goes on", || (answered.load(Relaxed) >= goal).then_some(()));
    };
    let address = stage.address();
    more(200);
    assert_eq!(serial_at(address), "0A");
    authority.show("0B");
    wait::until("the new certificate is shown", || (serial_at(address) == "0B").then_some(()));
    more(200);
    authority.show("mixed");
    wait::until("the bad pair is refused", || {
        stage.metric("crossfade_config_reloads_total{result=\"refused\"}").filter(|count| count != "0")
    });
    let said = stage.crossfade.process.said();
    assert!(said.contains("public.tls.key_file: is not the key of the certificate"), "{said}");
    assert_eq!(serial_at(address), "0B", "the old one stays");
    more(200);
    authority.show("0C");
    // At once, whatever the watch makes of it.
    stage.crossfade.process.signal("HUP");
    wait::until("the next certificate is shown", || (serial_at(address) == "0C").then_some(()));
    more(200);
    stop.store(true, Relaxed);
    block_on(load.join_all());
    assert_eq!(failed.load(Relaxed), 0, "of {}", answered.load(Relaxed));
    assert!(!stage.crossfade.process.said().contains("needs a restart"));
}

#[test]
fn check_reads_the_certificate() {
    let scene = Scene::set(&Cast::default());
    let authority = Authority::new();
    authority.issue("0A", "5");
    authority.issue("0B", "30");
    authority.mix("mixed", "0A", "0B");
    let scratch = Scratch::new();
    let file = scratch.write("crossfade.yaml", &encrypted(&scene, &authority));
    let check = |folder: &str| {
        authority.show(folder);
        crossfade_with(&["check", "--config", file.to_str().unwrap()], &SECRETS)
    };
    let (code, said, warned) = check("0A");
    assert_eq!(code, Some(0), "{warned}");
    assert!(said.contains("certificate_file") && said.contains("http2: true"), "{said}");
    assert!(warned.contains("public.tls.certificate_file: expires soon, on 20"), "{warned}");
    let (code, said, warned) = check("0B");
    assert_eq!(code, Some(0), "{warned}");
    assert!(!warned.contains("public.tls") && !said.contains("PRIVATE"), "{warned}");
    let (code, said, problem) = check("mixed");
    assert_eq!((code, said.as_str()), (Some(2), ""));
    assert!(problem.contains("error: public.tls.key_file: is not the key of the certificate"), "{problem}");
}
