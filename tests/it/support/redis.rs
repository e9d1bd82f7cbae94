//! A Redis of a test's own, with TLS, a password and a file, so that it can be killed and come back.

use std::{net::TcpStream, path::Path};

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
