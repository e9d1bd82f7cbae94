//! Scalekit's official SDKs, each in a process of its own that does what it is told line by line.

use serde_json::{Value, json};

use super::{
    parts::parts,
    process::{self, Process},
    simulator::{AUTHORITY, Simulator},
};

/// Whose SDK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    /// Calls gRPC without TLS, by prior knowledge.
    Node,
    /// Calls gRPC in TLS only.
    Python,
}

/// An SDK that is set up for one environment.
pub(crate) struct Sdk {
    pub(crate) language: Language,
    /// The environment's address as the SDK knows it.
    pub(crate) url: String,
    process: Process,
    asked: usize,
}

impl Sdk {
    pub(crate) fn of(language: Language, scalekit: &Simulator, client: &str, secret: &str) -> Self {
        let port = scalekit.address.port();
        let (url, command) = match language {
            Language::Node => {
                let mut command = process::command(&parts().node);
                command.arg(parts().node_scripts.join("sdk.mjs"));
                (format!("http://127.0.0.1:{port}"), command)
            }
            Language::Python => {
                let mut command = process::command(&parts().python_of_sdk);
                command.arg(parts().sdk.join("sdk.py"));
                command
                    .env("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", AUTHORITY)
                    .env("REQUESTS_CA_BUNDLE", AUTHORITY);
                (format!("https://localhost:{port}"), command)
            }
        };
        let mut process = Process::start(&format!("the SDK for {language:?}"), command);
        process.write(&format!("{}\n", json!({ "url": url, "client": client, "secret": secret })));
        Self { language, url, process, asked: 0 }
    }

    /// What a call of the SDK gives.
    pub(crate) fn ask(&mut self, call: &str, with: Value) -> Value {
        let mut answer = self.call(call, with);
        assert!(answer["error"].is_null(), "{call} is refused: {}", answer["error"]);
        answer["ok"].take()
    }

    /// The error that a call of the SDK throws.
    pub(crate) fn refused(&mut self, call: &str, with: Value) -> Refusal {
        let answer = self.call(call, with);
        let error = &answer["error"];
        assert!(error.is_object(), "{call} is not refused: {answer}");
        let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
        Refusal {
            class: text("class"),
            http: error["http"].as_u64(),
            code: text("code"),
            message: text("message"),
        }
    }

    fn call(&mut self, call: &str, with: Value) -> Value {
        let mut request = json!({ "call": call });
        request["with"] = with;
        self.process.write(&format!("{request}\n"));
        self.asked += 1;
        serde_json::from_str(&self.process.line(self.asked - 1)).unwrap()
    }
}

/// An error of the SDK's own.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) class: String,
    pub(crate) http: Option<u64>,
    pub(crate) code: String,
    pub(crate) message: String,
}

impl Refusal {
    /// Fails unless the SDK made this class of the answer, with this status and Scalekit's own word for it.
    pub(crate) fn is(&self, class: &str, http: u64, code: &str) {
        assert_eq!(
            (self.class.as_str(), self.http, self.code.as_str()),
            (class, Some(http), code),
            "{self:?}"
        );
    }
}
