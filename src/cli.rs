//! Commands: parses the command line and hands each command to its own small file.
//!
//! A command prints its result on standard output and everything else on standard error. Exit codes: 0 done,
//! 1 failed, 2 bad input or configuration, 3 not reachable.

mod admin_client;
mod check;
mod confirmation;
#[cfg(feature = "simulate")]
mod demo;
mod doctor;
mod hash;
mod health;
mod output;
mod preflight;
mod rollout;
mod schema;
mod serve;
#[cfg(feature = "simulate")]
mod simulate;
mod store;
mod users;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Moves people from a legacy identity system to Scalekit, one sign-in at a time.
#[derive(Debug, Parser)]
#[command(name = "crossfade", version, propagate_version = true, max_term_width = 100)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Args),
    Check(check::Args),
    Doctor(doctor::Args),
    #[cfg(feature = "simulate")]
    Demo(demo::Args),
    #[cfg(feature = "simulate")]
    Simulate(simulate::Args),
    Preflight(preflight::Args),
    Rollout(rollout::Args),
    Users(users::Args),
    Store(store::Args),
    Hash(hash::Args),
    Schema(schema::Args),
    Health(health::Args),
}

/// How a command ended; becomes the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Done = 0,
    Failed = 1,
    BadInput = 2,
    NotReachable = 3,
}

/// Runs one command line (the first item is the program's name) and returns the process's exit code.
pub fn run(args: std::env::ArgsOs) -> ExitCode {
    let line = match CommandLine::try_parse_from(args) {
        Ok(line) => line,
        Err(error) => {
            // Help and version are not failures: clap knows which stream and code each deserves.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let ended = match line.command {
        Command::Serve(args) => serve::run(&args),
        Command::Check(args) => check::run(args),
        Command::Doctor(args) => doctor::run(&args),
        #[cfg(feature = "simulate")]
        Command::Demo(args) => demo::run(&args),
        #[cfg(feature = "simulate")]
        Command::Simulate(args) => simulate::run(args),
        Command::Rollout(args) => rollout::run(&args),
        Command::Users(args) => Ok(users::run(&args)),
        Command::Store(args) => store::run(&args),
        Command::Preflight(args) => preflight::run(args),
        Command::Hash(args) => hash::run(args),
        Command::Schema(args) => schema::run(args),
        Command::Health(args) => health::run(args),
    };
    match ended {
        Ok(exit) => ExitCode::from(exit as u8),
        Err(error) => {
            output::error(&error);
            ExitCode::from(Exit::Failed as u8)
        }
    }
}

/// Makes the one TLS provider the process's default; the libraries take it from there. A second call changes nothing.
fn install_crypto() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

#[cfg(test)]
mod tests {
    use clap::{Command as Spec, CommandFactory as _};

    use super::CommandLine;

    /// Commands below this one, and itself where there are none, whose help shows no example of them.
    fn without_example(command: &Spec, path: &str) -> Vec<String> {
        let mut below = command.get_subcommands().filter(|command| command.get_name() != "help").peekable();
        if below.peek().is_some() {
            let name = |command: &Spec| format!("{path} {}", command.get_name());
            return below.flat_map(|command| without_example(command, &name(command))).collect();
        }
        let help = command.clone().render_long_help().to_string();
        let shows = help.split_once("\nExample").is_some_and(|(_, examples)| examples.contains(path));
        if shows { Vec::new() } else { vec![path.to_owned()] }
    }

    #[test]
    fn the_help_of_every_command_shows_an_example_of_it() {
        assert_eq!(without_example(&CommandLine::command(), "crossfade"), Vec::<String>::new());
    }
}
