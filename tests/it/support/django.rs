//! A real Django site with its own sign-in form, user table and sessions: the application in front of which
//! Crossfade stands.

use std::{net::SocketAddr, process::Command};

use serde_json::Value;

use super::{
    http::Visitor,
    parts::parts,
    process::{self, Process},
};

/// How a site is to be; [`Site::start`] makes it.
pub(crate) struct Django {
    environment: Vec<(&'static str, String)>,
}

/// A running site.
pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    pub(crate) process: Process,
    django: Django,
}

impl Django {
    /// A site on a fresh database; `database_url` as PostgreSQL's, MariaDB's or `sqlite:///path`.
    pub(crate) fn on(database_url: &str) -> Self {
        let environment = vec![
            ("SITE_DATABASE_URL", database_url.to_owned()),
            ("SITE_SECRET_KEY", "only-for-tests".to_owned()),
            ("PYTHONDONTWRITEBYTECODE", "1".to_owned()),
        ];
        let django = Self { environment };
        django.manage(&["migrate", "-v0"], "");
        django
    }

    /// The origin under which people reach the site through a proxy.
    #[must_use]
    pub(crate) fn public_origin(mut self, origin: &str) -> Self {
        self.environment.push(("SITE_PUBLIC_ORIGINS", origin.to_owned()));
        self
    }

    /// The site believes `X-Forwarded-User`.
    #[must_use]
    pub(crate) fn trusting_the_proxy(mut self) -> Self {
        self.environment.push(("SITE_TRUST_FORWARDED", "1".to_owned()));
        self
    }

    /// Fewer rounds of PBKDF2, for tests with many people.
    #[must_use]
    pub(crate) fn pbkdf2_iterations(mut self, iterations: u32) -> Self {
        self.environment.push(("SITE_PBKDF2_ITERATIONS", iterations.to_string()));
        self
    }

    /// Makes people from a list of `{"username", "email", "password"}` and gives their ids by user name.
    pub(crate) fn seed(&self, people: &Value) -> Value {
        serde_json::from_str(&self.manage(&["seed_people"], &people.to_string())).unwrap()
    }

    pub(crate) fn start(self) -> Site {
        self.start_at(0)
    }

    /// On a port that was fixed before.
    pub(crate) fn start_at(self, port: u16) -> Site {
        let mut command = self.python("serve.py");
        command.arg(port.to_string());
        let process = Process::start("django", command);
        let line: Value = serde_json::from_str(&process.line(0)).unwrap();
        let address = line["listening"].as_str().unwrap().parse().unwrap();
        Site { address, process, django: self }
    }

    fn manage(&self, arguments: &[&str], input: &str) -> String {
        let mut command = self.python("manage.py");
        command.args(arguments);
        process::run(command, input)
    }

    fn python(&self, script: &str) -> Command {
        let mut command = process::command(&parts().python);
        command
            .arg(parts().django.join(script))
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

impl Site {
    pub(crate) fn seed(&self, people: &Value) -> Value {
        self.django.seed(people)
    }

    /// A browser profile that talks to the site directly, past any proxy.
    pub(crate) fn visitor(&self) -> Visitor {
        Visitor::of(self.address)
    }
}
