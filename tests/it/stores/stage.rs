//! Three legacy stores behind one Crossfade: a table, a Stormpath, an HTTP endpoint.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{
    crossfade::Crossfade,
    http::{Answer, block_on},
    scene::{Cast, PASSWORD, Scene},
    scratch::Scratch,
    simulator::Simulator,
};

/// The hash of everybody's password that is quick to check.
const PASSWORD_HASH: &str = "$2b$04$8oTTnIJNueziAg8aQIeWCeTWwvsoTuEtGZzF659liNMDn.S2svHPW";

pub(super) const KEY_SECRET: &str = "canary-stormpath-secret-2Wq8Zx";
pub(super) const TOKEN: &str = "canary-endpoint-token-7Yb3Kd";

/// Where the stores are asked for a name, and where for a password.
pub(super) const ATTEMPTS: &str = "/v1/applications/1simulatedApplication/loginAttempts";
pub(super) const ACCOUNTS: &str = "/v1/applications/1simulatedApplication/accounts";
pub(super) const USERS: &str = "/legacy/users/";

const SOURCES: &str = r"  sources:
    - name: table
      sql:
        dialect: sqlite
        url: {env: TABLE_URL}
        query: SELECT * FROM people WHERE login = ? LIMIT 2
        twins_query: SELECT * FROM people WHERE lower(email) = ? LIMIT 3
        id_query: SELECT * FROM people WHERE id = ?
        columns: {id: id, login: login, email: email, email_verified: verified, password_hash: hash, given_name: given,
          disabled: disabled, locked: locked}
      mfa: none
    - name: storm
      stormpath:
        url: http://STORMPATH_ADDRESS/v1/applications/1simulatedApplication
        api_key_id: {env: STORMPATH_ID}
        api_key_secret: {env: STORMPATH_SECRET}
        organization_field: /company
      mfa: {field: /mfa}
      roles: {staff: member}
    - name: remote
      http:
        url: http://ENDPOINT_ADDRESS/legacy
        auth: {bearer: {env: ENDPOINT_TOKEN}}
        find: /users/{name}
        find_by_id: /by-id/{id}
        find_by_email: /users?email={email}
        check:
          path: /check
          name: login
          names_person: true
          answers:
            - {status: [200], json: {pointer: /valid, equals: true}, means: right}
            - {status: [200], json: {pointer: /valid, equals: false}, means: wrong}
            - {status: [423], means: locked}
        fields: {id: /id, login: /username, email: /email, email_verified: /emailVerified, given_name: /firstName,
          active: /enabled, must_change: /requiredActions}
      mfa: {field: /totps}
";

/// The play.
pub(super) struct Stage {
    pub(super) scene: Scene,
    pub(super) storm: Simulator,
    pub(super) endpoint: Simulator,
    configuration: String,
    table_url: String,
    _scratch: Scratch,
}

/// Somebody of the table; `more` are further columns.
pub(super) fn row(id: &str, email: &str, more: &Value) -> Value {
    merged(
        json!({ "id": id, "login": email, "email": email, "verified": 1, "hash": PASSWORD_HASH, "given": "Tara",
            "disabled": 0, "locked": 0 }),
        more,
    )
}

/// Somebody of the Stormpath.
pub(super) fn account(id: &str, email: &str, more: &Value) -> Value {
    merged(
        json!({ "id": id, "email": email, "password": PASSWORD, "given_name": "Storm", "surname": id,
            "email_verification_status": "VERIFIED", "custom_data": { "mfa": false } }),
        more,
    )
}

/// Somebody of the HTTP endpoint.
pub(super) fn user(id: &str, email: &str, more: &Value) -> Value {
    merged(
        json!({ "id": id, "email": email, "password": PASSWORD, "first_name": "Remo", "email_verified": true }),
        more,
    )
}

fn merged(mut whole: Value, more: &Value) -> Value {
    whole.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    whole
}

impl Stage {
    /// People whom the stores accept are people of the application, too: it has the last word on whoever stays.
    pub(super) fn set(rows: &[Value], accounts: &[Value], users: &[Value]) -> Self {
        let everybody = rows.iter().chain(accounts).chain(users);
        let mut emails: Vec<String> =
            everybody.map(|person| person["email"].as_str().unwrap().to_lowercase()).collect();
        emails.sort();
        emails.dedup();
        let more_people = emails.iter().map(
            |email| json!({ "id": email, "email": email, "email_verified": true, "password": PASSWORD }),
        );
        let scene = Scene::set(&Cast { more_people: more_people.collect(), ..Cast::default() });
        let storm = Simulator::start(
            "stormpath",
            &json!({ "accounts": accounts, "api_key_secret": KEY_SECRET, "lock_out_after": 0 }),
        );
        let endpoint = Simulator::start(
            "http-store",
            &json!({ "users": users, "auth": { "bearer": TOKEN }, "lock_out_after": 0 }),
        );
        let scratch = Scratch::new();
        let table = scratch.path().join("people.db");
        block_on(write_table(&table, rows));
        let whole = scene.configuration();
        let (head, rest) = whole.split_once("  who_am_i:\n").unwrap();
        let (_, rest) = rest.split_once("  logout_routes:").unwrap();
        let (middle, rest) = rest.split_once("  sources:\n").unwrap();
        let (_, tail) = rest.split_once("scalekit:\n").unwrap();
        let sources = SOURCES
            .replace("STORMPATH_ADDRESS", &storm.address.to_string())
            .replace("ENDPOINT_ADDRESS", &endpoint.address.to_string());
        let configuration = format!("{head}  logout_routes:{middle}{sources}scalekit:\n{tail}");
        let table_url = format!("sqlite:{}?mode=ro", table.display());
        Self { scene, storm, endpoint, configuration, table_url, _scratch: scratch }
    }

    /// Starts Crossfade with a configuration changed by `change`.
    pub(super) fn start_with(&self, change: impl FnOnce(&str) -> String) -> Crossfade {
        let variables = [
            ("TABLE_URL", self.table_url.as_str()),
            ("STORMPATH_ID", "2SIMULATEDKEYID"),
            ("STORMPATH_SECRET", KEY_SECRET),
            ("ENDPOINT_TOKEN", TOKEN),
            ("CROSSFADE_MIGRATION__LEGACY_BUDGET", "2s"),
        ];
        Scene::start_as(&change(&self.configuration), &variables)
    }

    pub(super) fn start(&self) -> Crossfade {
        self.start_with(str::to_owned)
    }

    pub(super) fn sign_in(&self, name: &str, password: &str) -> Answer {
        self.scene.sign_in(&self.scene.visitor(), name, password)
    }

    pub(super) fn users_with(&self, email: &str) -> Vec<Value> {
        self.scene.users_with(email)
    }

    pub(super) fn has_no_users(&self) -> bool {
        self.scene.scalekit.users()["users"].as_array().unwrap().is_empty()
    }

    /// How many passwords the Stormpath and the endpoint have seen.
    pub(super) fn checks(&self) -> (u64, u64) {
        let sum = |simulator: &Simulator| {
            let counts = simulator.counts();
            counts["password_checks"].as_object().unwrap().values().filter_map(Value::as_u64).sum()
        };
        (sum(&self.storm), sum(&self.endpoint))
    }
}

async fn write_table(file: &Path, rows: &[Value]) {
    use sqlx::Connection as _;
    let url = format!("sqlite:{}?mode=rwc", file.display());
    let mut database = sqlx::SqliteConnection::connect(&url).await.unwrap();
    let columns = ["id", "login", "email", "verified", "hash", "given", "disabled", "locked"];
    let create = "CREATE TABLE people (id TEXT, login TEXT, email TEXT, verified INT, hash TEXT, given TEXT, \
                  disabled INT, locked INT)";
    sqlx::query(create).execute(&mut database).await.unwrap();
    for row in rows {
        let mut insert = sqlx::query("INSERT INTO people VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
        for column in columns {
            insert = match &row[column] {
                Value::String(text) => insert.bind(text.clone()),
                other => insert.bind(other.as_i64()),
            };
        }
        insert.execute(&mut database).await.unwrap();
    }
    database.close().await.unwrap();
}
