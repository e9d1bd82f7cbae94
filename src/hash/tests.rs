//! Properties over all formats. The vectors' verdicts are tested where the command reads them, in `cli::hash`.

use proptest::{collection, prelude::*, sample::Index};
use serde_json::{Value, json};

use super::{format::every_format, *};
use crate::clock::Deadline;

/// Small enough that a mutated parameter never makes a test slow.
fn low_ceilings() -> HashCeilings {
    HashCeilings {
        bcrypt_cost: 4,
        scrypt_memory_bytes: 1 << 20,
        argon2_memory_bytes: 1 << 20,
        argon2_passes: 2,
        pbkdf2_iterations: 300,
        sha_crypt_rounds: 1000,
        phpass_count_log2: 8,
        yescrypt_memory_bytes: 1 << 20,
        digest_iterations: 1000,
    }
}

/// Format, settings and hash of every vector.
fn vectors() -> Vec<(HashFormat, StoredHash)> {
    let read = |line: &str| -> Option<(HashFormat, StoredHash)> {
        let line: Value = serde_json::from_str(line).unwrap();
        let name = line["format"].as_str().unwrap();
        let settings = if takes_settings(name) {
            let mut settings = line["params"].clone();
            settings["format"] = json!(name);
            settings
        } else {
            json!(name)
        };
        // Some of the malformed ones are malformed in their settings.
        let format = HashFormat::from_settings(&settings).ok()?;
        Some((format, StoredHash::new(line["hash"].as_str().unwrap(), None)))
    };
    include_str!("../../tests/fixtures/password-hash-vectors.jsonl").lines().filter_map(read).collect()
}

/// One small damage to a text.
#[derive(Clone, Debug)]
enum Damage {
    Replace(Index, char),
    Insert(Index, char),
    Remove(Index),
    Cut(Index),
    Double(Index),
}

fn damages() -> impl Strategy<Value = Vec<Damage>> {
    // Mostly the characters that formats give a meaning to.
    let character = prop_oneof![
        4 => prop::sample::select("$,=:{}0123456789./+-_!*aAzZvmtpirl\u{0}é\u{10ffff} ".chars().collect::<Vec<_>>()),
        1 => any::<char>(),
    ];
    let damage = prop_oneof![
        (any::<Index>(), character.clone()).prop_map(|(at, with)| Damage::Replace(at, with)),
        (any::<Index>(), character).prop_map(|(at, with)| Damage::Insert(at, with)),
        any::<Index>().prop_map(Damage::Remove),
        any::<Index>().prop_map(Damage::Cut),
        any::<Index>().prop_map(Damage::Double),
    ];
    collection::vec(damage, 1..4)
}

fn damaged(text: &str, damages: &[Damage]) -> String {
    let mut text: Vec<char> = text.chars().collect();
    for damage in damages {
        let places = text.len() + 1;
        match damage {
            Damage::Replace(at, with) => {
                let at = at.index(places);
                text.splice(at..text.len().min(at + 1), [*with]);
            }
            Damage::Insert(at, with) => text.insert(at.index(places), *with),
            Damage::Remove(at) => {
                let at = at.index(places);
                text.splice(at..text.len().min(at + 1), []);
            }
            Damage::Cut(at) => text.truncate(at.index(places)),
            Damage::Double(at) => {
                let tail = text.split_at(at.index(places)).1.to_vec();
                text.extend(tail);
            }
        }
    }
    text.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_damage_to_a_hash_makes_it_panic(which in any::<Index>(), damages in damages(), auto in any::<bool>()) {
        thread_local! { static VECTORS: Vec<(HashFormat, StoredHash)> = vectors(); }
        VECTORS.with(|vectors| {
            let (format, stored) = which.get(vectors);
            let stored = StoredHash { text: damaged(&stored.text, &damages), salt: stored.salt.clone() };
            let auto_format = HashFormat::from_settings(&json!("auto")).unwrap();
            let format = if auto { &auto_format } else { format };
            let _ = format.inspect(&stored, &HashCeilings::default());
            let _ = identify(&stored.text);
            let _ = verify(format, &stored, &Password::unchecked(b"x".to_vec()), &low_ceilings());
        });
    }

    #[test]
    fn no_text_and_no_password_makes_a_format_panic(
        text in any::<String>(),
        salt in any::<Option<String>>(),
        password in any::<Vec<u8>>(),
    ) {
        let password = Password::unchecked(password);
        for format in every_format() {
            let format = HashFormat { format: Arc::new(format), kinds: Arc::default() };
            let stored = StoredHash { text: text.clone(), salt: salt.clone() };
            prop_assert_ne!(verify(&format, &stored, &password, &low_ceilings()), Ok(Judgement::Match));
        }
    }
}

#[test]
fn bombs_are_refused_before_any_work() {
    let digest_of = |length: usize| "A".repeat(length);
    let bombs = [
        ("auto", "$2b$31$DOX2KuvJzsqIsFxBalo2m.zxFpqR.HpEmjxZrZNpZUSqzddphmFvi".to_owned()),
        ("auto", format!("$argon2id$v=19$m=4194304,t=1,p=1$c2FsdHNhbHQ${}", digest_of(43))),
        ("auto", format!("$argon2id$v=19$m=64,t=4294967295,p=1$c2FsdHNhbHQ${}", digest_of(43))),
        ("auto", format!("$scrypt$ln=63,r=8,p=1$c2FsdA${}", digest_of(43))),
        ("auto", format!("$scrypt$ln=14,r=8,p=4294967295$c2FsdA${}", digest_of(43))),
        ("auto", format!("$scrypt$ln=1,r=4294967295,p=1$c2FsdA${}", digest_of(43))),
        ("auto", format!("pbkdf2_sha256$99999999999999999999999$salt${}", digest_of(43))),
        // Cheap in memory and in each round: the rounds are what costs, and a long result wants their whole output anew.
        ("auto", format!("$scrypt$ln=1,r=1,p=2097152$c2FsdA${}", digest_of(86))),
        ("auto", format!("$scrypt$ln=10,r=8,p=1$c2FsdA${}", digest_of(683))),
        ("auto", format!("$pbkdf2-sha512$i=2000000,l=255$c2FsdA${}", digest_of(340))),
        // A long key multiplies the iterations.
        ("auto", format!("$pbkdf2-sha256$i=2000000,l=300$c2FsdA${}", digest_of(400))),
        ("auto", format!("$6$rounds=999999999$salt${}", ".".repeat(86))),
        ("auto", format!("$P$S{}", ".".repeat(30))),
        ("auto", format!("$S$S{}", ".".repeat(51))),
        ("auto", format!("$y$jZT$salt${}", ".".repeat(43))),
        ("auto", format!("$7$z6..../....salt${}", ".".repeat(43))),
        ("auto", format!("$stormpath2$MD5$4294967295$AAAA${}==", digest_of(22))),
        ("werkzeug", format!("scrypt:1048576:8:1$salt${}", "0".repeat(128))),
    ];
    let deadline = Deadline::within(std::time::Duration::from_secs(2));
    for (format, text) in bombs {
        let format = HashFormat::from_settings(&json!(format)).unwrap();
        let found = verify(
            &format,
            &StoredHash::new(&text, None),
            &Password::unchecked(b"x".to_vec()),
            &HashCeilings::default(),
        );
        assert!(matches!(found, Err(HashError::CostLimit | HashError::Range)), "{text}: {found:?}");
    }
    assert!(!deadline.has_passed());
}

/// What real systems write stays below the ceilings.
#[test]
fn the_dearest_real_parameters_are_not_refused() {
    for (format, text) in [
        // Keycloak 24 asks for 64 bytes over SHA-1, which is four times the iterations.
        ("auto", format!("$pbkdf2-sha1$i=1300000,l=64$c2FsdA${}", "A".repeat(86))),
        ("auto", format!("$scrypt$ln=15,r=8,p=8$c2FsdA${}", "A".repeat(86))),
        ("auto", format!("$scrypt$ln=13,r=8,p=64$c2FsdA${}", "A".repeat(43))),
    ] {
        let format = HashFormat::from_settings(&json!(format)).unwrap();
        let found = format.inspect(&StoredHash::new(&text, None), &HashCeilings::default()).unwrap();
        assert_eq!(found.refused, None, "{text}");
    }
}

/// `crypt("password", "ab")`.
const DES_CRYPT: &str = "abJnggxhB/yWI";

/// DES crypt is within anybody's reach: only whoever names it has it (legacy-stores.md §9).
#[test]
fn des_crypt_is_taken_only_where_it_is_named() {
    let judge = |format: &str, text: &str| {
        let format = HashFormat::from_settings(&json!(format)).unwrap();
        let password = Password::unchecked(b"password".to_vec());
        verify(&format, &StoredHash::new(text, None), &password, &HashCeilings::default())
    };
    let (bare, wrapped) = (DES_CRYPT, format!("{{CRYPT}}{DES_CRYPT}"));
    assert_eq!(judge("auto", &wrapped), Err(HashError::Unsupported));
    assert_eq!(judge("ldap", &wrapped), Err(HashError::Unsupported));
    assert_eq!(judge("spring-delegating", &format!("{{ldap}}{wrapped}")), Err(HashError::Unsupported));
    for named in [bare, &wrapped, &wrapped.to_lowercase().replace(&DES_CRYPT.to_lowercase(), DES_CRYPT)] {
        assert_eq!(judge("descrypt", named), Ok(Judgement::Match), "{named}");
    }
    assert_eq!(judge("descrypt", "{SSHA}AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), Err(HashError::Syntax));
}

#[test]
fn nothing_falls_through_to_another_format() {
    let bcrypt = "$2b$04$8oTTnIJNueziAg8aQIeWCeTWwvsoTuEtGZzF659liNMDn.S2svHPW";
    let password = Password::unchecked(b"correct horse battery staple".to_vec());
    for format in every_format() {
        let format = HashFormat { format: Arc::new(format), kinds: Arc::default() };
        let found = verify(&format, &StoredHash::new(bcrypt, None), &password, &HashCeilings::default());
        let known = matches!(format.name(), "auto" | "bcrypt");
        assert_eq!(found == Ok(Judgement::Match), known, "{}: {found:?}", format.name());
    }
}

#[test]
fn a_salt_column_and_an_object_in_the_settings_meet() {
    let judge = |settings: Value, text: &str, salt: Option<&str>, password: &str| {
        let format = HashFormat::from_settings(&settings).unwrap();
        verify(
            &format,
            &StoredHash::new(text, salt),
            &Password::unchecked(password.into()),
            &HashCeilings::default(),
        )
    };
    // Values from the vectors, in the shape of a table with two columns.
    let digest = json!({"format": "digest", "algorithm": "sha1", "salt_position": "prefix"});
    let sha1 = "537a88275e252b1d00725c6ad0693db778e16fa1";
    let password = "correct horse battery staple";
    assert_eq!(judge(digest.clone(), sha1, Some("YIaI8L5OON"), password), Ok(Judgement::Match));
    assert_eq!(judge(digest, sha1, None, password), Err(HashError::Syntax), "the row lost its salt");
    let okta = json!({"format": "okta-hash", "hash": {"algorithm": "SHA-1", "saltOrder": "POSTFIX"}});
    let value = "l/zcunPhDBRjEHi2YpKrEYf1d6Q=";
    assert_eq!(
        judge(okta.clone(), value, Some("2+kPqPLhh4UVCp+H"), "秘密のパスワード"),
        Ok(Judgement::Match)
    );
    assert_eq!(judge(okta, value, Some("2+kPqPLhh4UVCp+H"), "x"), Ok(Judgement::NoMatch));
    // A row that is the whole object.
    let row = r#"{"hashedPassword":"7Ge2xd6sJcdOAQaBbpmcIA==","hashSettings":{"algorithm":"md5"}}"#;
    assert_eq!(judge(json!("gigya"), row, None, "p@ssW0rd_x"), Ok(Judgement::Match));
    let folded = r#"{"credentialData":"{\"hashIterations\":275,\"algorithm\":\"pbkdf2-sha256\",\"additionalParameters\":{}}","secretData":"{\"value\":\"KK+rxU/avk/kQ9nYNhdAm4vSrVylYhnXwiTZGmhzm+2GhkIej568RkqXbshC0NlEQiXQ21KxIe2YyCbA6bxUYA==\",\"salt\":\"GmXCafkc5Grm4K/itAebOg==\"}"}"#;
    assert_eq!(judge(json!("keycloak"), folded, None, "quote'\"back\\slash"), Ok(Judgement::Match));
}

#[test]
fn nothing_of_a_hash_or_its_settings_is_printed() {
    let format = HashFormat::from_settings(&json!({"format": "devise-bcrypt", "pepper": "canary"})).unwrap();
    assert_eq!(format!("{format:?}"), r#"HashFormat("devise-bcrypt")"#);
    assert_eq!(format!("{:?}", StoredHash::new("canary", Some("canary"))), "[redacted]");
}
