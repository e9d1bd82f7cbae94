//! Section `public.tls`: which pairs can be used, which are worth a warning, and how they change.

use std::{fs, os::unix::fs::symlink, path::Path, time::Duration};

use crate::config::{
    Loaded, Problems, TlsVersion, Watch, load,
    testing::{MINIMAL, Scratch, environment},
};

/// Files of the fixtures under the names that a mounted secret has.
fn pair(folder: &Scratch, to: &str, certificate: &str, key: &str) {
    let read = |name: &str| {
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls").join(name))
            .unwrap()
    };
    folder.write(&format!("{to}/tls.crt"), &read(certificate));
    folder.write(&format!("{to}/tls.key"), &read(key));
}

fn text(more: &str) -> String {
    MINIMAL.replace(
        "public:\n",
        &format!("public:\n  tls: {{certificate_file: a/tls.crt, key_file: a/tls.key{more}}}\n"),
    )
}

fn loaded(folder: &Scratch, text: &str) -> Result<Loaded, Problems> {
    load(&folder.write("crossfade.yaml", text), &environment())
}

fn problems(folder: &Scratch, text: &str) -> Vec<String> {
    let problems = loaded(folder, text).expect_err("it is refused").0;
    problems.into_iter().map(|problem| format!("{}: {}", problem.path, problem.text)).collect()
}

fn warnings(loaded: &Loaded) -> Vec<String> {
    let all = loaded.warnings.iter().map(ToString::to_string);
    all.filter(|warning| warning.starts_with("public.tls")).collect()
}

#[test]
fn every_usual_kind_of_key_is_taken_and_the_defaults_are_safe() {
    let folder = Scratch::new();
    // PKCS#8, PKCS#1 and SEC1.
    for (name, key) in [("localhost", "BEGIN PRIVATE"), ("other", "BEGIN RSA"), ("expired", "BEGIN EC")] {
        pair(&folder, "a", &format!("{name}.pem"), &format!("{name}.key"));
        assert!(fs::read_to_string(folder.path("a/tls.key")).unwrap().contains(key));
        let config = loaded(&folder, &text("")).unwrap_or_else(|problems| panic!("{problems}")).config;
        let tls = config.public.tls.unwrap();
        assert_eq!((tls.certificates.len(), tls.min_version), (1, TlsVersion::Tls12), "{name}");
        assert_eq!(tls.handshake_timeout, Duration::from_secs(10));
        assert!(config.public.http2);
        assert!(!format!("{tls:?}").contains("key:"), "{tls:?}");
    }
    pair(&folder, "b", "other.pem", "other.key");
    let more =
        ", min_version: tls1.3, more_certificates: [{certificate_file: b/tls.crt, key_file: b/tls.key}]";
    let good = loaded(&folder, &text(more)).unwrap_or_else(|problems| panic!("{problems}"));
    let shown = good.effective();
    assert!(shown.contains("min_version: tls1.3"), "{shown}");
    assert!(!shown.contains("PRIVATE KEY"), "{shown}");
    let again = crate::config::parse(&shown, folder.root(), &environment()).unwrap();
    assert_eq!(again.effective(), shown);
    let tls = good.config.public.tls.unwrap();
    assert_eq!((tls.certificates.len(), tls.min_version), (2, TlsVersion::Tls13));
}

#[test]
fn what_browsers_will_refuse_is_only_a_warning() {
    let folder = Scratch::new();
    pair(&folder, "a", "expired.pem", "expired.key");
    let url = |host: &str| text("").replace("app.example.com", host);
    assert_eq!(
        warnings(&loaded(&folder, &url("app.example.test")).unwrap()),
        ["public.tls.certificate_file: has expired on 2026-11-24: browsers refuse it (line 3, column 27)"]
    );
    pair(&folder, "a", "localhost.pem", "localhost.key");
    assert_eq!(warnings(&loaded(&folder, &url("localhost")).unwrap()), Vec::<String>::new());
    assert_eq!(warnings(&loaded(&folder, &url("127.0.0.1")).unwrap()), Vec::<String>::new());
    let elsewhere = warnings(&loaded(&folder, &text("")).unwrap());
    assert_eq!(elsewhere.len(), 1);
    assert!(elsewhere[0].contains("is not for app.example.com, the host of public.url"), "{elsewhere:?}");
}

#[test]
fn a_pair_that_cannot_be_used_is_refused_with_its_reason() {
    let folder = Scratch::new();
    let begins = |found: Vec<String>, expected: &[&str]| {
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (problem, begin) in found.iter().zip(expected) {
            assert!(problem.starts_with(begin), "{begin}\n{found:#?}");
        }
    };
    begins(
        problems(&folder, &text("")),
        &["public.tls.certificate_file: cannot read ", "public.tls.key_file: cannot read "],
    );
    pair(&folder, "a", "localhost.pem", "expired.key");
    begins(problems(&folder, &text("")), &["public.tls.key_file: is not the key of the certificate"]);
    pair(&folder, "a", "localhost.key", "localhost.pem");
    begins(problems(&folder, &text("")), &["public.tls.certificate_file: holds no certificate"]);
    pair(&folder, "a", "localhost.pem", "localhost.pem");
    begins(problems(&folder, &text("")), &["public.tls.key_file: holds no private key"]);
    folder.write(
        "a/tls.key",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    begins(problems(&folder, &text("")), &["public.tls.key_file: holds no private key"]);
    pair(&folder, "a", "localhost.pem", "localhost.key");
    folder.write("a/tls.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    begins(problems(&folder, &text("")), &["public.tls.certificate_file: begins with a certificate"]);
    folder.write("a/tls.crt", &"x".repeat(300 * 1024));
    begins(problems(&folder, &text("")), &["public.tls.certificate_file: "]);
    pair(&folder, "a", "localhost.pem", "localhost.key");
    let more =
        ", min_version: tls1.1, handshake_timeout: 0s, more_certificates: [{key_file: a/tls.key}], extra: 1";
    let found = problems(&folder, &text(more));
    for begin in [
        "public.tls.min_version: must be one of tls1.2, tls1.3",
        "public.tls.handshake_timeout: must be longer than 0s",
        "public.tls.more_certificates[0].certificate_file: is missing",
        "public.tls.extra: unknown key",
    ] {
        assert!(found.iter().any(|problem| problem.starts_with(begin)), "{begin}\n{found:#?}");
    }
    let plain = text("").replace("url: https://app", "development: true\n  url: http://app");
    begins(problems(&folder, &plain), &["public.tls: speaks https, but public.url is http"]);
}

#[test]
fn a_file_that_is_half_written_is_refused_at_every_length() {
    let folder = Scratch::new();
    pair(&folder, "a", "localhost.pem", "localhost.key");
    for name in ["a/tls.crt", "a/tls.key"] {
        let whole = fs::read_to_string(folder.path(name)).unwrap();
        for length in (0..whole.trim_end().len()).step_by(7) {
            folder.write(name, &whole[..length]);
            assert_eq!(problems(&folder, &text("")).len(), 1, "{name} {length}");
        }
        folder.write(name, &whole);
    }
    assert!(loaded(&folder, &text("")).is_ok());
}

#[tokio::test]
async fn a_mounted_pair_changes_when_its_data_link_is_swapped() {
    let folder = Scratch::new();
    pair(&folder, "secret/..1", "localhost.pem", "localhost.key");
    pair(&folder, "secret/..2", "localhost.pem", "other.key");
    pair(&folder, "secret/..3", "other.pem", "other.key");
    let swap = |to: &str| {
        symlink(to, folder.path("secret/..tmp")).unwrap();
        fs::rename(folder.path("secret/..tmp"), folder.path("secret/..data")).unwrap();
    };
    swap("..1");
    for name in ["tls.crt", "tls.key"] {
        symlink(format!("..data/{name}"), folder.path(&format!("secret/{name}"))).unwrap();
    }
    let path = folder.write("crossfade.yaml", &text("").replace("a/tls.", "secret/tls."));
    let first = load(&path, &environment()).unwrap();
    let mut watch = Watch::new(&path, environment(), &first).unwrap();
    let end =
        |loaded: &Loaded| loaded.config.public.tls.as_ref().unwrap().certificates[0].pair.cert[0].to_vec();
    let mut next =
        async || tokio::time::timeout(Duration::from_secs(20), watch.next()).await.expect("a change");
    swap("..2");
    let refused = next().await.unwrap_err();
    assert!(
        refused.to_string().contains("public.tls.key_file: is not the key of the certificate"),
        "{refused}"
    );
    swap("..3");
    assert_ne!(end(&next().await.unwrap()), end(&first));
}
