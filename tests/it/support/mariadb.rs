//! One MariaDB server for all tests of this process; each test has a database of its own.

use std::{
    fs,
    path::{Path, PathBuf},
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
    socket: PathBuf,
    _process: Process,
    _scratch: Scratch,
}

/// A fresh database with a user of its own.
pub(crate) struct MariaDb {
    server: &'static Server,
    name: String,
}

impl MariaDb {
    pub(crate) fn fresh() -> Self {
        static SERVER: LazyLock<Server> = LazyLock::new(start);
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("legacy_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let statements = format!(
            "create database {name} character set utf8mb4; create user '{name}'@'127.0.0.1' identified by 'pw';
             grant all on {name}.* to '{name}'@'127.0.0.1';"
        );
        sql(&SERVER.socket, None, &statements);
        Self { server: &SERVER, name }
    }

    /// `mysql://…`, as Django and sqlx take it.
    pub(crate) fn url(&self) -> String {
        format!("mysql://{0}:pw@127.0.0.1:{1}/{0}", self.name, self.server.port)
    }

    /// Runs statements and gives the rows as text: fields by tab, one row a line.
    pub(crate) fn sql(&self, statements: &str) -> String {
        sql(&self.server.socket, Some(&self.name), statements)
    }
}

fn sql(socket: &Path, database: Option<&str>, statements: &str) -> String {
    let mut command = process::command(&parts().mariadb);
    command
        .args(["--no-defaults", "--batch", "--skip-column-names", "-uroot", "--socket"])
        .arg(socket)
        .args(database);
    process::run(command, statements).trim_end().to_owned()
}

fn start() -> Server {
    let scratch = Scratch::new();
    let folder = scratch.path().join("my");
    fs::create_dir(&folder).unwrap();
    let data = folder.join("data");
    if process::is_root() {
        let mut chown = process::command("chown");
        chown.arg("mysql:mysql").arg(&folder);
        process::run(chown, "");
    }
    // Not by the server's own --user: a process that changes its user by itself loses its death signal.
    let mut install = process::command_as("mysql", &parts().mariadb_install_db);
    // The folder for temporary files may be ours alone.
    install.env("TMPDIR", &folder);
    install.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]);
    install.arg(format!("--datadir={}", data.display()));
    let mut server = process::command_as("mysql", &parts().mariadbd);
    server.env("TMPDIR", &folder).arg("--no-defaults");
    process::run(install, "");
    let port = ports::free();
    let socket = folder.join("s.sock");
    server
        .args(["--bind-address=127.0.0.1", "--skip-log-bin", "--innodb-flush-log-at-trx-commit=0"])
        .arg(format!("--port={port}"))
        .arg(format!("--datadir={}", data.display()))
        .arg(format!("--socket={}", socket.display()))
        .arg(format!("--pid-file={}", folder.join("pid").display()));
    let mut process = Process::start("mariadbd", server);
    wait::until("MariaDB takes connections", || {
        assert!(process.is_running(), "MariaDB ended:\n{}", process.said());
        std::os::unix::net::UnixStream::connect(&socket).ok()
    });
    Server { port, socket, _process: process, _scratch: scratch }
}
