use serde_json::{Value, json};

use super::*;
use crate::{
    config::SourceKind,
    legacy::{
        cells::cell_of,
        tests::{columns, source},
    },
};

fn reader() -> Reader {
    Reader::new(&source(SourceKind::Upstream), &columns(), &json!("auto"))
}

/// A usable row with these members changed; a member of value `"-"` is left out.
fn row(changes: &Value) -> Fields {
    let mut row = json!({
        "id": 7, "login": "ann", "email": "Ann@example.com", "email_verified": true,
        "password_hash": "right:x", "mfa": false, "active": true, "disabled": false, "locked": false,
        "must_change": false,
    });
    row.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    let reader = reader();
    let cell = |name: &String| match row.get(name) {
        None => Cell::Absent,
        Some(value) if value == "-" => Cell::Absent,
        Some(value) => cell_of(value),
    };
    Fields::new(reader.wanted(), reader.wanted().iter().map(cell).collect())
}

fn with(column: &str, cell: &Cell) -> Fields {
    let fields = row(&json!({}));
    let cell_of = |name: &String| if name == column { cell.clone() } else { fields.get(name).clone() };
    let cells = fields.columns.iter().map(cell_of);
    Fields::new(&fields.columns, cells.collect())
}

fn record(changes: &Value) -> LegacyRecord {
    reader().record(&row(changes)).unwrap()
}

#[test]
fn a_row_becomes_a_record() {
    let record = record(&json!({
        "given_name": "Ann", "family_name": "Archer ", "full_name": "", "locale": "de_AT", "organization": 12,
        "roles": "staff, guests,root,staff",
    }));
    assert_eq!(record.id.as_str(), "7");
    assert_eq!(record.login, "ann");
    assert_eq!(
        (record.email.address.as_deref(), record.email.verified),
        (Some("Ann@example.com"), Some(true))
    );
    assert_eq!(record.state, AccountState::Active);
    assert_eq!(record.mfa, MfaState::None);
    assert_eq!(record.name.family.as_deref(), Some("Archer"));
    assert_eq!((record.name.full, record.name.locale.as_deref()), (None, Some("de-AT")));
    assert_eq!(record.organization.as_deref(), Some("12"));
    assert_eq!(record.roles, ["admin", "member"]);
}

#[test]
fn booleans_have_many_spellings_and_no_guesses() {
    for (spelling, verified) in [
        (json!(true), Some(true)),
        (json!("t"), Some(true)),
        (json!("TRUE"), Some(true)),
        (json!(1), Some(true)),
        (json!("1"), Some(true)),
        (json!("f"), Some(false)),
        (json!("false"), Some(false)),
        (json!(0), Some(false)),
        (json!(null), None),
        (json!("-"), None),
        (json!(""), None),
    ] {
        assert_eq!(record(&json!({ "email_verified": spelling })).email.verified, verified, "{spelling}");
    }
    for column in ["email_verified", "active", "disabled", "locked", "mfa"] {
        for garbage in [json!(2), json!(-1), json!("verified"), json!("2024-02-29"), json!({}), json!(0.5)] {
            let why = reader().record(&row(&json!({ column: garbage }))).unwrap_err();
            assert_eq!((why.column.as_str(), why.problem), (column, "is not a boolean"), "{garbage}");
        }
    }
    let bit = |byte| reader().record(&with("active", &Cell::Bytes(vec![byte]))).unwrap().state;
    assert_eq!((bit(1), bit(0)), (AccountState::Active, AccountState::Disabled));
}

#[test]
fn a_state_that_is_not_told_is_unknown() {
    for (changes, state) in [
        (json!({ "active": null }), AccountState::Unknown),
        (json!({ "active": "-" }), AccountState::Unknown),
        (json!({ "locked": null }), AccountState::Unknown),
        (json!({ "locked": "-", "disabled": "-" }), AccountState::Active),
        (json!({ "active": false }), AccountState::Disabled),
        (json!({ "disabled": 1, "locked": null }), AccountState::Disabled),
        (json!({ "locked": "t" }), AccountState::Locked),
        (json!({ "locked": "t", "active": null }), AccountState::Locked),
    ] {
        assert_eq!(record(&changes).state, state, "{changes}");
    }
    for (changes, must_change) in [
        (json!({ "must_change": 1 }), true),
        (json!({ "must_change": null }), true),
        (json!({ "must_change": "-" }), false),
        (json!({ "must_change": "f" }), false),
    ] {
        assert_eq!(reader().must_change(&row(&changes)), Ok(must_change), "{changes}");
    }
    assert!(reader().must_change(&row(&json!({ "must_change": "soon" }))).is_err());
}

#[test]
fn a_second_factor_is_declared_or_read() {
    for (value, state) in [
        (json!(true), MfaState::Enrolled),
        (json!(0), MfaState::None),
        (json!(null), MfaState::Unknown),
        (json!("-"), MfaState::Unknown),
        (json!([]), MfaState::None),
        (json!(["totp"]), MfaState::Enrolled),
    ] {
        assert_eq!(record(&json!({ "mfa": value })).mfa, state, "{value}");
    }
    for (declared, state) in [
        (MfaDeclaration::None, MfaState::None),
        (MfaDeclaration::Unknown { accepted_by: None }, MfaState::Unknown),
    ] {
        let mut source = source(SourceKind::Upstream);
        source.mfa = declared;
        let reader = Reader::new(&source, &columns(), &json!("auto"));
        assert_eq!(reader.record(&row(&json!({ "mfa": true }))).unwrap().mfa, state);
    }
}

#[test]
fn an_id_has_one_text_whatever_its_type() {
    let id = |cell| reader().id(&with("id", &cell)).map(|id| id.as_str().to_owned());
    assert_eq!(id(Cell::whole(u64::MAX.into())).unwrap(), "18446744073709551615");
    assert_eq!(id(Cell::Text("a-7 ".into())).unwrap(), "a-7");
    // Bytes that happen to be letters are still bytes.
    assert_eq!(id(Cell::Bytes(b"abcd".to_vec())).unwrap(), "61626364");
    for bad in [Cell::Null, Cell::Absent, Cell::Other, Cell::Bool(true), Cell::Text("a\nb".into())] {
        assert!(id(bad).is_err());
    }
}

#[test]
fn a_hash_loses_its_padding_and_nothing_else() {
    let hash = |cell| {
        let read = reader().stored_hash(&with("password_hash", &cell));
        read.map(|stored| stored.map(|stored| stored.text))
    };
    assert_eq!(hash(Cell::Text("$2b$10$x   ".into())), Ok(Some("$2b$10$x".into())));
    assert_eq!(hash(Cell::Bytes(b"$2b$10$x\0\0".to_vec())), Ok(Some("$2b$10$x".into())));
    assert_eq!(hash(Cell::Bytes(vec![0xab, 0x01, 0x00])), Ok(Some("ab0100".into())));
    assert_eq!(hash(Cell::Text("  ".into())), Ok(None));
    assert_eq!(hash(Cell::Null), Ok(None));
    let object = json!({ "algorithm": "BCRYPT", "value": "x" });
    assert_eq!(hash(cell_of(&object)), Ok(Some(object.to_string())));
    assert!(hash(Cell::Int(5)).is_err());
    let salted = |cell| reader().stored_hash(&with("salt", &cell)).unwrap().unwrap().salt;
    assert_eq!(salted(Cell::Text(" pepper ".into())).as_deref(), Some(" pepper "));
    assert_eq!(salted(Cell::Bytes(vec![0x80, 0])).as_deref(), Some("8000"));
    assert_eq!(salted(Cell::Null), None);
}

#[test]
fn a_salt_of_bytes_is_hex_where_the_format_wants_hex() {
    let settings = json!({ "format": "digest", "salt_encoding": "hex" });
    let reader = Reader::new(&source(SourceKind::Upstream), &columns(), &settings);
    let salt = |bytes: &[u8]| {
        reader.stored_hash(&with("salt", &Cell::Bytes(bytes.to_vec()))).unwrap().unwrap().salt.unwrap()
    };
    assert_eq!(salt(b"salty"), "73616c7479");
    assert_eq!(salt(b"0a1b"), "0a1b");
}

#[test]
fn roles_come_as_a_list_or_as_text() {
    for roles in [json!(["root", 7, "unmapped"]), json!("root,unmapped"), json!("[\"root\"]")] {
        assert_eq!(record(&json!({ "roles": roles })).roles, ["admin"], "{roles}");
    }
    assert!(reader().record(&row(&json!({ "roles": "[root" }))).is_err());
}

#[test]
fn the_address_is_the_login_where_there_is_none() {
    assert_eq!(record(&json!({ "login": null })).login, "Ann@example.com");
    assert_eq!(record(&json!({ "email": null })).email.address, None);
    assert!(reader().record(&row(&json!({ "login": null, "email": "" }))).is_err());
}

#[test]
fn a_problem_never_holds_the_value() {
    let why = reader().record(&row(&json!({ "locked": "canary" }))).unwrap_err();
    assert_eq!(why.to_string(), "column locked: is not a boolean");
}
