use serde_json::{Value, json};

use super::*;
use crate::legacy::{
    cells::{Cell, cell_of},
    tests::{PlainHashes, attempt, passwords, soon},
};

fn row(passwords: &Passwords, changes: &Value) -> Fields {
    let mut row = json!({
        "id": 7, "login": "ann", "email": "ann@example.com", "email_verified": true,
        "password_hash": "right:horse", "mfa": false, "active": true,
    });
    row.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    let wanted = passwords.reader.wanted();
    Fields::new(wanted, wanted.iter().map(|name| row.get(name).map_or(Cell::Absent, cell_of)).collect())
}

async fn judge(hashes: &Arc<PlainHashes>, row_of: Option<Value>, password: &str) -> Verdict {
    let passwords = passwords(hashes.clone());
    let found = row_of.map_or(Found::Nobody, |changes| Found::One(row(&passwords, &changes)));
    passwords.verdict(found, &attempt("ann", password), soon()).await.unwrap()
}

/// SEC-40: the state of an account costs no work more or less, and is not told before the password was right.
#[tokio::test]
async fn every_guess_costs_one_hash() {
    let hashes = Arc::new(PlainHashes::default());
    let rejected = |why| Verdict::Rejected(why);
    for (row, password, verdict) in [
        (None, "horse", rejected(Rejection::Unknown)),
        (Some(json!({})), "wrong", rejected(Rejection::WrongPassword)),
        (Some(json!({ "locked": true })), "horse", rejected(Rejection::Locked)),
        (Some(json!({ "locked": true })), "wrong", rejected(Rejection::WrongPassword)),
        (Some(json!({ "active": false })), "horse", rejected(Rejection::Disabled)),
        (Some(json!({ "disabled": 1 })), "wrong", rejected(Rejection::WrongPassword)),
        (Some(json!({ "password_hash": null })), "horse", rejected(Rejection::NoUsablePassword)),
        (Some(json!({ "must_change": 1 })), "wrong", rejected(Rejection::WrongPassword)),
        (Some(json!({ "must_change": 1 })), "horse", Verdict::StayOnLegacy(StayReason::MustChangePassword)),
    ] {
        assert_eq!(judge(&hashes, row.clone(), password).await, verdict, "{row:?}");
        assert_eq!(hashes.taken(), 1, "{row:?}");
    }
}

#[tokio::test]
async fn a_right_password_gives_the_record_of_its_row() {
    let hashes = Arc::new(PlainHashes::default());
    let verdict =
        judge(&hashes, Some(json!({ "salt": "s", "password_hash": "right:shorse" })), "horse").await;
    let Verdict::Verified(record) = verdict else { panic!("{verdict:?}") };
    assert_eq!((record.id.as_str(), record.state), ("7", AccountState::Active));
    // A state that is not told is no state to refuse in; the heart does not migrate from it.
    let verdict = judge(&hashes, Some(json!({ "active": null })), "horse").await;
    assert!(matches!(verdict, Verdict::Verified(record) if record.state == AccountState::Unknown));
}

#[tokio::test]
async fn a_hash_that_cannot_be_read_is_neither_yes_nor_free() {
    let hashes = Arc::new(PlainHashes::default());
    for text in ["broken", "locked:!"] {
        let verdict = judge(&hashes, Some(json!({ "password_hash": text })), "horse").await;
        assert_eq!(verdict, Verdict::Rejected(Rejection::NoUsablePassword));
    }
    // The pool hashes against nothing what it refuses unhashed; a second hash here would show.
    assert_eq!(*hashes.stored.lock().unwrap(), [true, true]);
}

#[tokio::test]
async fn several_rows_are_left_to_the_application() {
    let hashes = Arc::new(PlainHashes::default());
    let passwords = passwords(hashes.clone());
    let verdict = passwords.verdict(Found::Several, &attempt("ann", "horse"), soon()).await.unwrap();
    assert_eq!(verdict, Verdict::StayOnLegacy(StayReason::Ambiguous));
    assert_eq!(hashes.taken(), 1);
}

#[tokio::test]
async fn an_empty_password_is_never_tried() {
    let hashes = Arc::new(PlainHashes::default());
    let verdict = judge(&hashes, Some(json!({ "password_hash": "right:" })), "").await;
    assert_eq!(verdict, Verdict::Rejected(Rejection::WrongPassword));
    assert_eq!(hashes.taken(), 0);
}

#[tokio::test]
async fn busy_threads_are_no_wrong_password() {
    for (fails, retry_after) in
        [(PoolError::Full, Some(BUSY)), (PoolError::TooLate, Some(BUSY)), (PoolError::Stopped, None)]
    {
        let passwords = passwords(Arc::new(PlainHashes { fails: Some(fails), ..PlainHashes::default() }));
        for found in [Found::Nobody, Found::One(row(&passwords, &json!({})))] {
            let error = passwords.verdict(found, &attempt("ann", "horse"), soon()).await.unwrap_err();
            assert_eq!(error.class, ErrorClass::Transient { retry_after }, "{fails:?}");
        }
    }
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_an_error_that_names_its_column() {
    let hashes = Arc::new(PlainHashes::default());
    let passwords = passwords(hashes);
    let found = Found::One(row(&passwords, &json!({ "locked": "canary" })));
    let error = passwords.verdict(found, &attempt("ann", "horse"), soon()).await.unwrap_err();
    assert_eq!(error.to_string(), "legacy store crm: column locked: is not a boolean");
}

/// What a test's log lines went into.
#[derive(Clone, Default)]
struct Log(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// SEC-50: the operator is told which row, and nothing of what is in it.
#[tokio::test]
async fn the_log_names_a_broken_row_and_not_its_hash() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let hashes = Arc::new(PlainHashes::default());
    let row = json!({ "id": "row-7", "password_hash": "canary-hash", "salt": "canary-salt" });
    let _ = judge(&hashes, Some(row), "canary-password").await;
    let _ = passwords(hashes).verdict(Found::Several, &attempt("canary-name", "x"), soon()).await;
    let told = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(told.contains("row-7") && told.contains("not a hash of this format"), "{told}");
    assert!(told.contains("several rows"), "{told}");
    assert!(!told.contains("canary"), "{told}");
}
