//! SEC-30 … SEC-34 through the whole command: every refusal and every kind of twin is found.

use serde_json::{Value, json};

use super::*;
use crate::identity::EmailRefusal;

fn names() -> FieldNames {
    FieldNames {
        email: "email".into(),
        ids: vec!["external_id".into(), "id".into()],
        verified: "email_verified".into(),
        hash: "password_hash".into(),
        given_name: "given_name".into(),
        family_name: "family_name".into(),
        metadata: "metadata".into(),
    }
}

fn report(text: &[u8], kind: bulk::Kind) -> Report {
    let auto = HashFormat::from_settings(&"auto".into()).unwrap();
    examine(bulk::read(text, kind), &names(), &auto)
}

fn json_lines(rows: impl Iterator<Item = Value>) -> String {
    rows.map(|row| row.to_string()).collect::<Vec<_>>().join("\n")
}

/// The lines that `--json` prints: rows, then the summary.
fn lines(report: &Report) -> (Vec<Value>, Value) {
    let mut out = Vec::new();
    show::json(report, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let summary = lines.pop().unwrap()["summary"].clone();
    (lines, summary)
}

/// One address for each reason; a new reason does not compile until it is here.
fn refused(why: EmailRefusal) -> String {
    use EmailRefusal as R;
    match why {
        R::Empty => " \t ".into(),
        R::TooLong => format!("a@{}com", "bcdefghi.".repeat(30)),
        R::ForbiddenCharacter => "ann\u{200b}@example.com".into(),
        R::NoAt => "ann.example.com".into(),
        R::SeveralAts => "ann@home@example.com".into(),
        R::LocalPartEmpty => "@example.com".into(),
        R::LocalPartTooLong => format!("{}@example.com", "a".repeat(65)),
        R::LocalPartNotAscii => "änn@example.com".into(),
        R::LocalPartNotDotAtom => "\"ann\"@example.com".into(),
        R::DomainEmpty => "ann@".into(),
        R::DomainIsAddress => "ann@[127.0.0.1]".into(),
        R::DomainTrailingDot => "ann@example.com.".into(),
        R::DomainSingleLabel => "ann@localhost".into(),
        R::DomainEmptyLabel => "ann@example..com".into(),
        R::DomainLabelTooLong => format!("ann@{}.com", "b".repeat(64)),
        R::DomainLookAlike => "ann@ｅxample.com".into(),
        R::DomainInvalid => "ann@xn--a.com".into(),
    }
}

const REASONS: [EmailRefusal; 17] = [
    EmailRefusal::Empty,
    EmailRefusal::TooLong,
    EmailRefusal::ForbiddenCharacter,
    EmailRefusal::NoAt,
    EmailRefusal::SeveralAts,
    EmailRefusal::LocalPartEmpty,
    EmailRefusal::LocalPartTooLong,
    EmailRefusal::LocalPartNotAscii,
    EmailRefusal::LocalPartNotDotAtom,
    EmailRefusal::DomainEmpty,
    EmailRefusal::DomainIsAddress,
    EmailRefusal::DomainTrailingDot,
    EmailRefusal::DomainSingleLabel,
    EmailRefusal::DomainEmptyLabel,
    EmailRefusal::DomainLabelTooLong,
    EmailRefusal::DomainLookAlike,
    EmailRefusal::DomainInvalid,
];

#[test]
fn every_refusal_is_found_and_named() {
    let text = json_lines(REASONS.iter().map(|why| json!({"email": refused(*why), "id": "x"})));
    let (rows, summary) = lines(&report(text.as_bytes(), bulk::Kind::JsonLines));
    assert_eq!(rows.len(), REASONS.len());
    for (row, why) in rows.iter().zip(REASONS) {
        assert_eq!(row["refused"], why.to_string(), "{row}");
        assert_eq!(row["canonical"], Value::Null);
        assert_eq!(row["twins"], json!([]));
        assert_eq!(summary["refused"][why.to_string()], 1, "{why}");
    }
    assert_eq!(summary["canonical"], 0);
}

#[test]
fn every_kind_of_twin_is_found_and_nothing_else_is_one() {
    let addresses = [
        "ann@example.com",           // 1
        "ANN@example.com",           // 2: case before the @
        "ann@EXAMPLE.com",           // 3: case after it
        " ann@example.com\t",        // 4: blanks around it
        "bob@bücher.example",        // 5
        "bob@xn--bcher-kva.example", // 6: A-label
        "bob@XN--BCHER-KVA.example", // 7: A-label in capitals
        "bob@BÜCHER.example",        // 8: case beyond ASCII
        "bob@bu\u{308}cher.example", // 9: decomposed
        "ann+tag@example.com",       // never merged (SEC-33) …
        "a.nn@example.com",
        "ann@example.net",
        "ann@mail.example.com",
        "bob@bucher.example",
        "bob@strasse.example",
        "bob@straße.example", // … and the sharp s is a letter of its own (non-transitional)
        "\u{430}nn@example.com", // Cyrillic: refused, no twin
    ];
    let text = json_lines(addresses.iter().map(|email| json!({"email": email})));
    let (rows, summary) = lines(&report(text.as_bytes(), bulk::Kind::JsonLines));
    let twins = |row: usize| rows[row - 1]["twins"].clone();
    for row in 1..=4 {
        assert_eq!(rows[row - 1]["canonical"], "ann@example.com");
        let others: Vec<usize> = (1..=4).filter(|other| *other != row).collect();
        assert_eq!(twins(row), json!(others), "row {row}");
    }
    for row in 5..=9 {
        assert_eq!(rows[row - 1]["canonical"], "bob@xn--bcher-kva.example");
        let others: Vec<usize> = (5..=9).filter(|other| *other != row).collect();
        assert_eq!(twins(row), json!(others), "row {row}");
    }
    for row in 10..=addresses.len() {
        assert_eq!(twins(row), json!([]), "row {row}");
    }
    assert_eq!(rows[16]["refused"], EmailRefusal::LocalPartNotAscii.to_string());
    assert_eq!(summary["twins"], json!({"groups": 2, "rows": 9, "largest_group": 5}));
}

#[test]
fn a_row_is_printed_in_the_promised_shape() {
    let text = br#"{"email":"Ann@Example.com","id":7,"email_verified":true,"password_hash":"$2b$10$8oTTnIJNueziAg8aQIeWCeTWwvsoTuEtGZzF659liNMDn.S2svHPW"}
not json
{"id":"8"}
{"email":["ann@example.com"],"external_id":"7"}
"#;
    let report = report(text, bulk::Kind::JsonLines);
    let mut out = Vec::new();
    show::json(&report, &mut out).unwrap();
    insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r#"
    {"row":1,"canonical":"ann@example.com","refused":null,"twins":[],"hash_format":"bcrypt"}
    {"row":2,"canonical":null,"refused":"unreadable row: not valid JSON at column 2","twins":[],"hash_format":null}
    {"row":3,"canonical":null,"refused":"no e-mail","twins":[],"hash_format":null}
    {"row":4,"canonical":null,"refused":"not text","twins":[],"hash_format":null}
    {"summary":{"canonical":1,"complete":true,"email_verified":{"no":0,"unknown":2,"yes":1},"external_id":{"duplicates":[[1,4]],"missing":0,"unusable":0},"hash_formats":{"bcrypt":1},"hashes_missing":2,"hashes_refused":{},"hashes_unidentified":0,"left_out":{},"over_limits":{},"refused":{"no e-mail":1,"not text":1},"rows":4,"twins":{"groups":0,"largest_group":0,"rows":0},"unreadable":1}}
    "#);
}

#[test]
fn csv_says_the_same_as_json_lines() {
    let csv = b"email,external_id,email_verified,password_hash\r\nAnn@Example.com,7,t,$2b$10$8oTTnIJNueziAg8aQIeWCeTWwvsoTuEtGZzF659liNMDn.S2svHPW\r\nbob@example.com,7,,md5\r\nshort\r\nc@x,,0,\r\n";
    let (rows, summary) = lines(&report(csv, bulk::Kind::Csv));
    assert_eq!(
        rows[0],
        json!({"row": 1, "canonical": "ann@example.com", "refused": null, "twins": [], "hash_format": "bcrypt"})
    );
    assert_eq!(rows[2]["refused"], "unreadable row: 1 cells where the header has 4");
    assert_eq!(rows[3]["refused"], EmailRefusal::DomainSingleLabel.to_string());
    assert_eq!(summary["email_verified"], json!({"yes": 1, "no": 1, "unknown": 1}));
    assert_eq!(summary["external_id"], json!({"missing": 1, "unusable": 0, "duplicates": [[1, 2]]}));
    assert_eq!(summary["hash_formats"], json!({"bcrypt": 1}));
    assert_eq!((&summary["hashes_unidentified"], &summary["hashes_missing"]), (&json!(1), &json!(1)));
}

/// A hash counts as known where a guess would be judged by it.
#[test]
fn hashes_are_read_as_at_a_sign_in() {
    let bcrypt = "$2b$10$8oTTnIJNueziAg8aQIeWCeTWwvsoTuEtGZzF659liNMDn.S2svHPW";
    let folded = json!({"credentialData": "{}", "secretData": "{}"});
    let hashes = [
        (json!(bcrypt), Some("bcrypt")),
        (json!(format!("{bcrypt}  ")), Some("bcrypt")),
        (json!("$argon2id$v=19$m=16,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2g"), Some("phc-argon2")),
        (json!("$2b$12$short"), Some("bcrypt")),
        (json!(bcrypt.replace("$10$", "$31$")), Some("bcrypt")),
        (json!("{noop}pw"), Some("spring-delegating")),
        (json!("{CLEARTEXT}pw"), Some("ldap")),
        (json!("!locked"), None),
        (json!("*"), None),
        (json!("5f4dcc3b5aa765d61d8327deb882cf99"), None),
        // Those of Keycloak, Okta and Gigya: only a setting says which.
        (folded, None),
        (json!(""), None),
        (json!(null), None),
        (json!(true), None),
    ];
    let text =
        json_lines(hashes.iter().map(|(hash, _)| json!({"email": "a@example.com", "password_hash": hash})));
    let (rows, summary) = lines(&report(text.as_bytes(), bulk::Kind::JsonLines));
    for (row, (hash, format)) in rows.iter().zip(hashes) {
        assert_eq!(row["hash_format"], json!(format), "{hash}");
    }
    assert_eq!(summary["hash_formats"], json!({"bcrypt": 2, "phc-argon2": 1}));
    let refused = json!({"syntax": 1, "cost_limit": 1, "unsupported": 2, "unusable": 2});
    assert_eq!(summary["hashes_refused"], refused);
    assert_eq!((&summary["hashes_unidentified"], &summary["hashes_missing"]), (&json!(2), &json!(2)));
    assert_eq!(summary["left_out"], json!({"password_hash is not text": 1}));
}

#[test]
fn flags_and_ids_are_read_as_at_a_sign_in() {
    let text = json_lines(
        [json!("yes"), json!(" TRUE "), json!("N"), json!(0), json!("maybe"), json!([true]), json!("")]
            .into_iter()
            .enumerate()
            .map(|(id, flag)| json!({"email": "a@example.com", "id": id, "email_verified": flag})),
    );
    let more = "{\"id\":true}\n{\"id\":1e3}\n{\"id\":18446744073709551616}\n{\"id\":18446744073709551615,\"given_name\":[1]}";
    let (_, summary) = lines(&report(format!("{text}\n{more}").as_bytes(), bulk::Kind::JsonLines));
    assert_eq!(summary["email_verified"], json!({"yes": 2, "no": 2, "unknown": 7}));
    // A number that was rounded is nobody's id: two people's must never become the same.
    assert_eq!(summary["external_id"], json!({"missing": 0, "unusable": 3, "duplicates": []}));
    let left_out = json!({"email_verified is not a boolean": 2, "given_name is not text": 1});
    assert_eq!(summary["left_out"], left_out);
}

#[test]
fn what_scalekit_would_refuse_is_counted() {
    let many: serde_json::Map<String, Value> = (0..21).map(|n| (format!("key{n}"), json!("v"))).collect();
    let rows = [
        json!({"email": "a@example.com", "id": "x".repeat(510)}),
        json!({"email": "a@example.com", "id": "y".repeat(511)}),
        json!({"email": "a@example.com", "id": "a\nb", "given_name": "ü".repeat(255)}),
        json!({"email": "a@example.com", "id": "1", "given_name": "ü".repeat(256), "family_name": "x".repeat(256)}),
        json!({"email": "a@example.com", "id": "2", "metadata": many}),
        json!({"email": "a@example.com", "id": "3", "metadata": {"ab": "v"}}),
        json!({"email": "a@example.com", "id": "4", "metadata": {"abc": ""}}),
        json!({"email": "a@example.com", "id": "5", "metadata": {"abc": 1}}),
        json!({"email": "a@example.com", "id": "6", "metadata": {"abc": "v".repeat(256)}}),
    ];
    let text = json_lines(rows.into_iter());
    let (_, summary) = lines(&report(text.as_bytes(), bulk::Kind::JsonLines));
    assert_eq!(
        summary["over_limits"],
        json!({
            "external_id longer than 510 bytes": 1,
            "given name longer than 255 characters": 1,
            "family name longer than 255 characters": 1,
            "more than 20 metadata pairs": 1,
            "metadata key not of 3 to 25 characters": 1,
            "metadata value not text of 1 to 256 characters": 2,
        })
    );
    assert_eq!(summary["external_id"]["unusable"], 3);
}

#[test]
fn no_hash_and_no_refused_address_is_shown() {
    let text = br#"{"email":"canary one@example.com","id":"canary-id","password_hash":"canary-hash","given_name":"canary"}
{"email":"ann@example.com","password_hash":"canary-hash"
"#;
    let report = report(text, bulk::Kind::JsonLines);
    let mut out = Vec::new();
    show::json(&report, &mut out).unwrap();
    show::table(&report, &mut out).unwrap();
    assert!(!String::from_utf8(out).unwrap().contains("canary"));
}

#[test]
fn the_table_is_for_people() {
    let text = br#"{"email":"a@example.com","id":"1","email_verified":true,"password_hash":"$2b$10$8oTTnIJNueziAg8aQIeWCeTWwvsoTuEtGZzF659liNMDn.S2svHPW"}
{"email":"A@example.com","id":"1","email_verified":false}
{"email":"nobody","password_hash":"5f4dcc3b5aa765d61d8327deb882cf99"}
{
"#;
    let mut out = Vec::new();
    show::table(&report(text, bulk::Kind::JsonLines), &mut out).unwrap();
    insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r"
    rows                                                         4
    unreadable                                                   1
      row 4: not valid JSON at column 1                          1
    addresses refused                                            1
      no @                                                       1  rows 3
    addresses that several rows share (twins)                    1
      one address                                                2  rows 1, 2
    ids that several rows share                                  1
      one id                                                     2  rows 1, 2
    rows without an id                                           1
    ids that cannot be a key (over 255 bytes, controls)          0
    verified by the export                                       1
    not verified                                                 1
    verified or not: not known                                   1
    password hashes of a known format                            1
      bcrypt                                                     1
    password hashes that would be refused                        0
    password hashes that do not say their format                 1
    rows without a password hash                                 1
    values for which a row is left out                           0
    limits broken                                                0
    ");
}

#[test]
fn a_file_that_says_nothing_is_bad_input() {
    let problem = |text: &[u8], kind| report(text, kind).unusable(&names());
    assert!(problem(b"mail,id\na@example.com,1\n", bulk::Kind::Csv).unwrap().contains("--email-field"));
    assert!(problem(b"a,a\n1,2\n", bulk::Kind::Csv).unwrap().contains("same name"));
    assert!(problem(b"", bulk::Kind::Csv).unwrap().contains("empty"));
    assert!(problem(b"\x1f\x8b\x08", bulk::Kind::JsonLines).unwrap().contains("gzip"));
    assert_eq!(problem(b"", bulk::Kind::JsonLines), None);
    assert_eq!(problem(b"email\nx\n", bulk::Kind::Csv), None);
    let broken = report(b"email\na@example.com\n\"b@example.com\n", bulk::Kind::Csv);
    assert_eq!(broken.broken_off, Some((2, "a quote is opened and never closed".into())));
    assert_eq!(lines(&broken).1["complete"], false);
}
