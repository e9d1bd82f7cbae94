//! The program under test: `crossfade serve`, from the built binary.

use std::{net::SocketAddr, path::PathBuf, process::ExitStatus};

use serde_json::Value;

use super::{
    http::Visitor,
    process::{self, Process},
    scratch::Scratch,
    wait,
};

/// A running proxy.
pub(crate) struct Crossfade {
    pub(crate) public: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) process: Process,
    config: PathBuf,
    environment: Vec<(String, String)>,
    scratch: Scratch,
}

impl Crossfade {
    /// Starts it with this configuration file and waits until it is ready.
    pub(crate) fn serve(config: &str) -> Self {
        Self::serve_with(config, &[])
    }

    pub(crate) fn serve_with(config: &str, environment: &[(&str, &str)]) -> Self {
        let scratch = Scratch::new();
        let file = scratch.write("crossfade.yaml", config);
        let environment: Vec<(String, String)> =
            environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let (process, public, admin) = start(&file, &environment);
        Self { public, admin, process, config: file, environment, scratch }
    }

    /// What a process says that ends with a failure instead of starting.
    pub(crate) fn refusal(config: &str, environment: &[(&str, &str)]) -> String {
        let scratch = Scratch::new();
        let mut command = process::command(env!("CARGO_BIN_EXE_crossfade"));
        command.args(["serve", "--config"]).arg(scratch.write("crossfade.yaml", config));
        command.env_remove("CROSSFADE_TEST_PARTS").env_remove("CROSSFADE_TESTS");
        command.envs(environment.iter().copied());
        let mut process = Process::start("crossfade", command);
        assert!(!process.wait().success(), "it starts:\n{}", process.said());
        process.said()
    }

    /// Starts it without waiting for anything; its configuration is in the folder.
    pub(crate) fn waiting(config: &str, environment: &[(&str, &str)]) -> (Process, Scratch) {
        let scratch = Scratch::new();
        let mut command = process::command(env!("CARGO_BIN_EXE_crossfade"));
        command.args(["serve", "--config"]).arg(scratch.write("crossfade.yaml", config));
        command.env_remove("CROSSFADE_TEST_PARTS").env_remove("CROSSFADE_TESTS");
        command.envs(environment.iter().copied());
        (Process::start("crossfade", command), scratch)
    }

    /// Starts a second process with the same configuration and environment after the first one ended.
    pub(crate) fn start_again(&mut self) {
        self.process.kill();
        (self.process, self.public, self.admin) = start(&self.config, &self.environment);
    }

    /// Changes a variable for the next start; `None` takes it away.
    pub(crate) fn set(&mut self, name: &str, value: Option<&str>) {
        self.environment.retain(|(known, _)| known != name);
        self.environment.extend(value.map(|value| (name.to_owned(), value.to_owned())));
    }

    /// A folder that lives as long as this value, for stores and secret files.
    pub(crate) fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    pub(crate) fn visitor(&self) -> Visitor {
        Visitor::of(self.public)
    }

    pub(crate) fn admin_visitor(&self) -> Visitor {
        Visitor::of(self.admin)
    }

    /// Writes the configuration anew and asks the process to read it.
    pub(crate) fn reload(&self, config: &str) {
        std::fs::write(&self.config, config).unwrap();
        self.process.signal("HUP");
    }

    /// Puts another configuration in the file's place and waits until it is in force.
    pub(crate) fn take(&self, config: &str) {
        let admin = self.admin_visitor();
        let reloads = |result: &str| {
            let name = format!("crossfade_config_reloads_total{{result=\"{result}\"}} ");
            let metrics = admin.get("/metrics").text();
            metrics.lines().find_map(|line| line.strip_prefix(&name).map(str::to_owned))
        };
        let before = (reloads("ok"), reloads("refused"));
        // Renamed over the old one, so that it changes once and not while it is being written.
        let next = self.scratch.write("crossfade.yaml.next", config);
        std::fs::rename(next, &self.config).unwrap();
        wait::until("the configuration is in force", || (reloads("ok") != before.0).then_some(()));
        assert_eq!(reloads("refused"), before.1, "a configuration was refused:\n{}", self.process.said());
    }

    /// Asks it to stop and gives how it ended.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        self.process.signal("TERM");
        self.process.wait()
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Fails when any of these secrets stands in what the process printed.
    pub(crate) fn assert_never_said(&self, secrets: &[&str]) {
        let said = self.process.said();
        for secret in secrets {
            let at = said.lines().position(|line| line.contains(secret));
            assert!(
                at.is_none(),
                "a secret stands in line {} of what crossfade printed",
                at.unwrap_or(0) + 1
            );
        }
    }
}

/// Runs another command of the program to its end: its exit code and both streams.
pub(crate) fn crossfade(arguments: &[&str]) -> (Option<i32>, String, String) {
    crossfade_with(arguments, &[])
}

/// The same with these variables in its environment.
pub(crate) fn crossfade_with(
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> (Option<i32>, String, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_crossfade"));
    command.env_remove("CROSSFADE_TEST_PARTS").env_remove("CROSSFADE_TESTS");
    let output = command.args(arguments).envs(environment.iter().copied()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn start(config: &std::path::Path, environment: &[(String, String)]) -> (Process, SocketAddr, SocketAddr) {
    let mut command = process::command(env!("CARGO_BIN_EXE_crossfade"));
    command.args(["serve", "--config"]).arg(config);
    // The tests' own settings would count as misspelt ones of the product's.
    command.env_remove("CROSSFADE_TEST_PARTS").env_remove("CROSSFADE_TESTS");
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    let mut process = Process::start("crossfade", command);
    let line: Value = serde_json::from_str(&process.line(0)).expect("the first line says where it listens");
    let address = |name: &str| -> SocketAddr { line[name].as_str().unwrap().parse().unwrap() };
    let (public, admin) = (address("public"), address("admin"));
    let visitor = Visitor::of(admin);
    wait::until("crossfade is ready", || {
        assert!(process.is_running(), "crossfade ended:\n{}", process.said());
        (visitor.get("/readyz").status == 200).then_some(())
    });
    (process, public, admin)
}
