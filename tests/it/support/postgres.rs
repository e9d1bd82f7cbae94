//! One PostgreSQL server for all tests of this process; each test has a database of its own.

use std::{
    fs,
    process::Command,
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
};

use super::{
    parts::parts,
    ports,
    process::{self, Process},
    scratch::Scratch,
    wait,
};

struct Server {
    port: u16,
    _process: Process,
    _scratch: Scratch,
}

/// A fresh database.
pub(crate) struct Postgres {
    server: &'static Server,
    name: String,
}

impl Postgres {
    pub(crate) fn fresh() -> Self {
        static SERVER: LazyLock<Server> = LazyLock::new(start);
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("legacy_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        psql(SERVER.port, "postgres", &format!("create database {name}"));
        Self { server: &SERVER, name }
    }

    /// `postgres://…`, as Django, sqlx and psql take it.
    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{}", self.server.port, self.name)
    }

    /// The same for a user that may only do what a test grants.
    pub(crate) fn url_as(&self, user: &str, password: &str) -> String {
        format!("postgres://{user}:{password}@127.0.0.1:{}/{}", self.server.port, self.name)
    }

    /// Runs statements and gives the rows as text: fields by `|`, one row a line.
    pub(crate) fn sql(&self, statements: &str) -> String {
        psql(self.server.port, &self.name, statements)
    }
}

fn psql(port: u16, database: &str, statements: &str) -> String {
    let mut command = process::command(parts().postgres.join("psql"));
    command
        .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", "postgres"])
        .args(["-p", &port.to_string(), "-d", database, "-f", "-"]);
    process::run(command, statements).trim_end().to_owned()
}

fn start() -> Server {
    let scratch = Scratch::new();
    let folder = scratch.path().join("pg");
    fs::create_dir(&folder).unwrap();
    if process::is_root() {
        let mut chown = process::command("chown");
        chown.arg("postgres:postgres").arg(&folder);
        process::run(chown, "");
    }
    let data = folder.join("data");
    let mut initdb = process::command_as("postgres", parts().postgres.join("initdb"));
    initdb
        .args(["-U", "postgres", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8", "-D"])
        .arg(&data);
    process::run(initdb, "");
    let port = ports::free();
    let mut server = process::command_as("postgres", parts().postgres.join("postgres"));
    server.arg("-D").arg(&data).args(["-p", &port.to_string()]);
    for setting in ["listen_addresses=127.0.0.1", "fsync=off", "max_connections=200"] {
        server.args(["-c", setting]);
    }
    server.arg("-c").arg(format!("unix_socket_directories={}", folder.display()));
    let mut process = Process::start("postgres", server);
    wait::until("PostgreSQL takes connections", || {
        assert!(process.is_running(), "PostgreSQL ended:\n{}", process.said());
        let mut ready = Command::new(parts().postgres.join("pg_isready"));
        ready.args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()]);
        ready.status().unwrap().success().then_some(())
    });
    Server { port, _process: process, _scratch: scratch }
}
