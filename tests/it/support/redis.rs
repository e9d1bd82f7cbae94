//! A Redis of a test's own, with TLS, a password and a file, so that it can be killed and come back.

use std::{net::TcpStream, path::Path};

use serde_json::Value;

use super::{
    parts::parts,
    ports,
    process::{self, Process},
    scratch::Scratch,
    wait,
};

const TLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tls");

/// The password, which Crossfade takes from the variable `REDIS_PASSWORD`.
pub(crate) const PASSWORD: &str = "canary-redis-password-8Kp2Wd";

/// Where the ledger keeps the names of its rows, and each row.
const ROWS: &str = "crossfade:{ledger}:rows";
const ROW: &str = "crossfade:{ledger}:row:";

pub(crate) struct Redis {
    port: u16,
    pub(crate) process: Process,
    scratch: Scratch,
}

impl Redis {
    pub(crate) fn start() -> Self {
        let (port, scratch) = (ports::free(), Scratch::new());
        let process = start(port, scratch.path());
        Self { port, process, scratch }
    }

    /// Section `store` of a configuration that uses it.
    pub(crate) fn section(&self) -> String {
        format!(
            "redis: {{url: 'rediss://localhost:{}/1', password: {{env: REDIS_PASSWORD}}, ca_file: '{TLS}/ca.pem'}}",
            self.port
        )
    }

    /// Starts it again without anything it kept.
    pub(crate) fn start_empty(&mut self) {
        self.process.kill();
        self.scratch = Scratch::new();
        self.process = start(self.port, self.scratch.path());
    }

    /// Every row of the ledger, as it is stored.
    pub(crate) fn ledger(&self) -> Vec<Value> {
        let mut connection = self.connect();
        let names: Vec<String> = redis::cmd("SMEMBERS").arg(ROWS).query(&mut connection).unwrap();
        let row = |name: &String| {
            let row: Vec<u8> =
                redis::cmd("HGET").arg(format!("{ROW}{name}")).arg("row").query(&mut connection).unwrap();
            serde_json::from_slice(&row).unwrap()
        };
        names.iter().map(row).collect()
    }

    /// Marks a person as removed, as an operator would.
    pub(crate) fn tombstone(&self, person: &str) {
        let mut connection = self.connect();
        let key = format!("{ROW}{person}");
        let row: Vec<u8> = redis::cmd("HGET").arg(&key).arg("row").query(&mut connection).unwrap();
        let mut row: Value = serde_json::from_slice(&row).unwrap();
        row["state"] = "tombstone".into();
        let row = row.to_string();
        redis::cmd("HSET").arg(&key).arg("row").arg(row).exec(&mut connection).unwrap();
        redis::cmd("HINCRBY").arg(&key).arg("version").arg(1).exec(&mut connection).unwrap();
    }

    /// Puts a version and a record of the dial in place as they are, whatever they are.
    pub(crate) fn put_dial(&self, version: &str, record: &str) {
        let mut put = redis::cmd("HSET");
        put.arg("crossfade:flags").arg("version").arg(version).arg("state").arg(record);
        put.exec(&mut self.connect()).unwrap();
    }

    /// Loses everything, and is there.
    pub(crate) fn empty(&self) {
        redis::cmd("FLUSHALL").exec(&mut self.connect()).unwrap();
    }

    /// Whether it holds a value of the store's own by this name.
    pub(crate) fn holds(&self, name: &str) -> bool {
        redis::cmd("EXISTS").arg(format!("crossfade:meta:{name}")).query(&mut self.connect()).unwrap()
    }

    /// A connection of the test's own.
    fn connect(&self) -> redis::Connection {
        // Another test may have been first.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let root_cert = Some(std::fs::read(format!("{TLS}/ca.pem")).unwrap());
        let url = format!("rediss://:{PASSWORD}@localhost:{}/1", self.port);
        let certificates = redis::TlsCertificates { client_tls: None, root_cert };
        redis::Client::build_with_tls(url, certificates).unwrap().get_connection().unwrap()
    }

    /// Where it keeps everything.
    pub(crate) fn folder(&self) -> &Path {
        self.scratch.path()
    }

    /// Starts it again with what it kept.
    pub(crate) fn start_again(&mut self) {
        self.process.kill();
        self.process = start(self.port, self.scratch.path());
    }
}

fn start(port: u16, folder: &Path) -> Process {
    let mut command = process::command(&parts().redis_server);
    let port = port.to_string();
    command.args(["--port", "0", "--tls-port", &port, "--bind", "127.0.0.1", "--requirepass", PASSWORD]);
    command.args(["--tls-cert-file", &format!("{TLS}/localhost.pem"), "--tls-auth-clients", "no"]);
    command.args(["--tls-key-file", &format!("{TLS}/localhost.key")]);
    command.args(["--tls-ca-cert-file", &format!("{TLS}/ca.pem")]);
    command.args(["--save", "", "--appendonly", "yes", "--appendfsync", "always", "--dir"]).arg(folder);
    let mut process = Process::start("redis-server", command);
    wait::until("Redis takes connections", || {
        assert!(process.is_running(), "Redis ended:\n{}", process.said());
        TcpStream::connect(format!("127.0.0.1:{port}")).ok()
    });
    process
}
