use std::io::Write as _;

use serde_json::json;

use super::*;
use crate::{
    config::{HashCeilings, SourceKind},
    hash::{self, HashError, HashFormat, Judgement, PoolError, StoredHash},
    identity::Password,
    legacy::{
        passwords::Hashing,
        tests::{PlainHashes, attempt, columns, name, passwords, soon, source},
    },
    login::{Rejection, StayReason},
};

struct Opened {
    store: HashFile,
    hashes: Arc<PlainHashes>,
}

/// A file of its own for each test, gone with it.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new(content: &str) -> Self {
        let path = std::env::temp_dir().join(format!("crossfade-hash-file-{}", uuid::Uuid::now_v7()));
        File::create(&path).unwrap().write_all(content.as_bytes()).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn open(kind: HashFileKind, content: &str) -> Opened {
    try_open(kind, content).unwrap()
}

fn try_open(kind: HashFileKind, content: &str) -> Result<Opened, String> {
    let file = Scratch::new(content);
    let hashes = Arc::new(PlainHashes::default());
    let passwords = passwords(hashes.clone());
    let settings =
        HashFileSource { path: file.0.clone(), kind, columns: columns(), hash_format: json!("auto") };
    let rows = Arc::new(load(&passwords.reader, &settings)?);
    Ok(Opened { store: HashFile::new(&source(SourceKind::HashFile(settings)), rows, passwords), hashes })
}

fn json_lines(rows: &[serde_json::Value]) -> Opened {
    let lines: Vec<String> = rows.iter().map(ToString::to_string).collect();
    open(HashFileKind::JsonLines, &lines.join("\n"))
}

fn person(id: &str, login: &str, email: &str) -> serde_json::Value {
    json!({ "id": id, "login": login, "email": email, "password_hash": "right:horse", "active": true, "mfa": false })
}

fn rows_left_out(store: &HashFile) -> Vec<(u64, &str)> {
    let rows = store.rows.problems().iter().filter(|problem| problem.row > 0);
    rows.map(|problem| (problem.row, problem.problem.as_str())).collect()
}

#[tokio::test]
async fn a_person_is_found_by_login_email_and_id() {
    let Opened { store, hashes } =
        json_lines(&[person("1", "ann", "Ann@example.com"), person("2", "bob", "bob@example.com")]);
    for typed in ["ann", "ANN", "ann@EXAMPLE.com"] {
        let verdict = store.verify(&attempt(typed, "horse"), soon()).await.unwrap();
        assert!(matches!(verdict, Verdict::Verified(record) if record.id.as_str() == "1"), "{typed}");
        assert_eq!(store.look_up(&name(typed), soon()).await.unwrap().unwrap().id.as_str(), "1");
    }
    let record = store.read(&LegacyId::parse("2").unwrap(), soon()).await.unwrap().unwrap();
    assert_eq!((record.email.address.as_deref(), record.email.verified), (Some("bob@example.com"), None));
    assert!(store.read(&LegacyId::parse("ann").unwrap(), soon()).await.unwrap().is_none());
    hashes.taken();
    let unknown = store.verify(&attempt("an", "horse"), soon()).await.unwrap();
    assert_eq!((unknown, hashes.taken()), (Verdict::Rejected(Rejection::Unknown), 1));
    assert!(store.look_up(&name("an"), soon()).await.unwrap().is_none());
}

#[tokio::test]
async fn what_cannot_be_read_is_left_out_and_told() {
    let mut lines: Vec<String> = vec![
        person("1", "ann", "ann@example.com").to_string(),
        "{\"id\": 2, \"email\"".into(),
        json!({ "id": "3", "login": "cleo", "password_hash": "right:x", "locked": "canary" }).to_string(),
        json!({ "login": "dan", "email": "dan@example.com", "password_hash": "right:x" }).to_string(),
        "[]".into(),
    ];
    lines.push(person("6", "fay", "fay@example.com").to_string());
    let Opened { store, .. } = open(HashFileKind::JsonLines, &lines.join("\n"));
    let problems = rows_left_out(&store);
    assert_eq!(problems.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [2, 3, 4, 5]);
    assert_eq!(problems[1].1, "column locked: is not a boolean");
    assert_eq!(problems[2].1, "column id: is empty");
    assert_eq!(store.rows.len(), 2);
    assert!(store.look_up(&name("fay"), soon()).await.unwrap().is_some());
}

#[tokio::test]
async fn a_name_of_several_people_is_left_to_the_application() {
    let Opened { store, .. } = json_lines(&[
        person("1", "ann", "ann@example.com"),
        person("2", "ann2", "ANN@example.com"),
        person("3", "Eve", "eve@example.com"),
        person("4", "eve", "eve@example.org"),
        person("5", "zoe@example.com", "other@example.com"),
        person("6", "zoe", "zoe@example.com"),
    ]);
    for typed in ["ann@example.com", "EVE", "zoe@example.com"] {
        let verdict = store.verify(&attempt(typed, "horse"), soon()).await.unwrap();
        assert_eq!(verdict, Verdict::StayOnLegacy(StayReason::Ambiguous), "{typed}");
        assert!(store.look_up(&name(typed), soon()).await.unwrap().is_none(), "{typed}");
    }
    for (typed, id) in [("Eve", "3"), ("eve", "4"), ("ann2", "2")] {
        assert_eq!(store.look_up(&name(typed), soon()).await.unwrap().unwrap().id.as_str(), id, "{typed}");
    }
    let holders =
        async |text: &str| store.holders(&CanonicalEmail::parse(text).unwrap(), soon()).await.unwrap();
    assert_eq!(holders("ann@example.com").await, Holders::Several);
    assert_eq!(holders("eve@example.com").await, Holders::One(LegacyId::parse("3").unwrap()));
    assert_eq!(holders("nobody@example.com").await, Holders::Nobody);
}

#[test]
fn two_rows_with_one_id_are_both_left_out() {
    let Opened { store, .. } = json_lines(&[
        person("1", "ann", "ann@example.com"),
        person("2", "bob", "bob@example.com"),
        person("1", "cleo", "cleo@example.com"),
    ]);
    let same = "column id: another row has the same id";
    assert_eq!(rows_left_out(&store), [(1, same), (3, same)]);
    assert_eq!(store.rows.len(), 1);
}

#[tokio::test]
async fn a_table_is_read_by_its_header() {
    let csv = "email,id,login,password_hash,active,locked,mfa,extra\r\n\
               ann@example.com,1,ann,\"right:horse\",t,f,0,x\r\n\
               bob@example.com,2,bob,right:horse,t,,0,x\r\n";
    let Opened { store, .. } = open(HashFileKind::Csv, csv);
    let state = async |login| store.look_up(&name(login), soon()).await.unwrap().unwrap().state;
    // A cell with nothing in it says nothing; nor does a column that is not there.
    assert_eq!(state("bob").await, crate::identity::AccountState::Unknown);
    assert_eq!(state("ann").await, crate::identity::AccountState::Unknown);
    let missing: Vec<&str> = store.rows.problems().iter().map(|problem| problem.problem.as_str()).collect();
    assert!(missing.contains(&"column disabled: no row has a value in it"), "{missing:?}");
    assert!(!missing.iter().any(|problem| problem.contains("column locked")));
}

#[test]
fn a_file_that_would_lose_people_is_refused() {
    let ann = "id,email,password_hash\n1,ann@example.com,right:x\n";
    for (content, part) in [
        ("", "header row: missing"),
        ("id;email;password_hash\n1;a;b\n", "columns are parted by commas"),
        ("id,email,password_hash\n", "has no usable row"),
        ("id,mail,password_hash\n1,ann@example.com,x\n", "has no usable row (row 1: column email: is empty"),
        (&format!("{ann}2,\"bob@example.com,right:x\n3,cleo@example.com,right:x\n"), "beyond row 2"),
    ] {
        let told = try_open(HashFileKind::Csv, content).err().unwrap();
        assert!(told.starts_with("path: ") && told.contains(part), "{content:?}: {told}");
    }
    assert!(try_open(HashFileKind::Csv, ann).is_ok());
}

/// The hash room itself, on the calling thread.
struct RealHashes;

#[async_trait]
impl Hashing for RealHashes {
    async fn judge(
        &self,
        format: &HashFormat,
        stored: Option<StoredHash>,
        password: Arc<Password>,
        _deadline: Deadline,
    ) -> Result<Result<Judgement, HashError>, PoolError> {
        let stored = stored.ok_or(PoolError::Stopped)?;
        Ok(hash::verify(format, &stored, &password, &HashCeilings::default()))
    }
}

/// Values from the vectors of room `hash`: a text, a digest with its salt in another column, an object.
#[tokio::test]
async fn real_hashes_come_through_the_columns_unharmed() {
    let horse = "correct horse battery staple";
    let digest = json!({ "format": "digest", "algorithm": "sha1", "salt_position": "prefix" });
    for (format, row, password) in [
        (
            json!("auto"),
            json!({ "password_hash": "$2b$04$8oTTnIJNueziAg8aQIeWCeTWwvsoTuEtGZzF659liNMDn.S2svHPW  " }),
            horse,
        ),
        (
            digest,
            json!({ "password_hash": "537a88275e252b1d00725c6ad0693db778e16fa1", "salt": "YIaI8L5OON" }),
            horse,
        ),
        (
            json!({ "format": "okta-hash" }),
            json!({ "password_hash": { "hash": {
                "algorithm": "BCRYPT", "workFactor": 4, "salt": "q5IcnXZtXxY2lDxuplsQBO",
                "value": "ew0FgJvPIU81Rk0J18vuNNOs1SM/jGC",
            } } }),
            "naïve café",
        ),
    ] {
        let mut person = person("1", "ann", "ann@example.com");
        person.as_object_mut().unwrap().extend(row.as_object().unwrap().clone());
        let file = Scratch::new(&person.to_string());
        let settings = HashFileSource {
            path: file.0.clone(),
            kind: HashFileKind::JsonLines,
            columns: columns(),
            hash_format: format.clone(),
        };
        let source = source(SourceKind::HashFile(settings.clone()));
        let passwords = Passwords {
            reader: Reader::new(&source, &settings.columns, &format),
            source: source.name.clone(),
            format: HashFormat::from_settings(&format).unwrap(),
            hashing: Arc::new(RealHashes),
        };
        let rows = Arc::new(load(&passwords.reader, &settings).unwrap());
        let store = HashFile::new(&source, rows, passwords);
        let verdict = store.verify(&attempt("ann", password), soon()).await.unwrap();
        assert!(matches!(verdict, Verdict::Verified(_)), "{format}: {verdict:?}");
        let verdict = store.verify(&attempt("ann", "wrong"), soon()).await.unwrap();
        assert_eq!(verdict, Verdict::Rejected(Rejection::WrongPassword), "{format}");
    }
}
