//! Talking to a running instance over its admin API.
//!
//! Commands add [`AdminArgs`] to their own arguments and ask and print with [`AdminArgs::answer`]; those that ask more
//! than once make an [`AdminClient`] of them. What fails has been said in words for a person by [`AdminFailure::told`],
//! which also knows the exit code.

use std::{path::PathBuf, time::Duration};

use reqwest::Method;
use serde_json::Value;
use tokio::runtime::Runtime;
use url::Url;

use super::{Exit, output};
use crate::{
    clock::{Deadline, SystemClock},
    config,
    identity::Secret,
    net::{Answer, ApiClient, ApiSettings, CallError, ClientError, Dependencies},
};

/// The variable that holds the token where no file is named.
const TOKEN_VARIABLE: &str = "CROSSFADE_ADMIN_TOKEN";

/// All one command may take; a change is stored before it is answered.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Where a running instance is, and who asks.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct AdminArgs {
    /// The admin listener of a running instance, as URL or address
    #[arg(long, value_name = "URL|ADDR", env = "CROSSFADE_ADMIN_URL", default_value = "127.0.0.1:9090")]
    admin: String,
    /// A file that holds the token; without it the variable `CROSSFADE_ADMIN_TOKEN` counts
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Print the answer as JSON
    #[arg(long)]
    pub(super) json: bool,
}

impl AdminArgs {
    /// Asks with what the arguments say, and prints the answer.
    pub(super) fn answer(
        &self,
        ask: impl FnOnce(&AdminClient) -> Result<Value, AdminFailure>,
        written: impl FnOnce(&Value) -> String,
    ) -> Result<Exit, AdminFailure> {
        let answer = ask(&AdminClient::new(self)?)?;
        self.print(&answer, written);
        Ok(Exit::Done)
    }

    /// Prints an answer as JSON, or as it is written for people.
    pub(super) fn print(&self, answer: &Value, written: impl FnOnce(&Value) -> String) {
        output::line(&if self.json { format!("{answer:#}") } else { written(answer) });
    }
}

/// A connection to the admin API of one instance.
pub(super) struct AdminClient {
    base: Url,
    token: Secret,
    client: ApiClient,
    runtime: Runtime,
}

/// Why there is no answer to work with.
#[derive(Debug)]
pub(super) enum AdminFailure {
    /// The arguments cannot be used.
    BadInput(String),
    /// Nobody answered.
    NotReachable(String),
    /// The instance refused; `body` is its whole answer, which may tell the state that stands.
    Refused { status: u16, code: String, message: String, fix: Option<String>, body: Value },
}

impl AdminFailure {
    /// Says it on standard error and gives the exit code.
    pub(super) fn told(&self) -> Exit {
        match self {
            Self::BadInput(why) => {
                output::note(&format!("error: {why}"));
                Exit::BadInput
            }
            Self::NotReachable(why) => {
                output::note(&format!("error: {why}"));
                Exit::NotReachable
            }
            Self::Refused { status, code, message, fix, .. } => {
                output::note(&format!("error: {message} ({status} {code})"));
                if let Some(fix) = fix {
                    output::note(&format!("  fix: {fix}"));
                }
                match status {
                    400 | 422 => Exit::BadInput,
                    503 => Exit::NotReachable,
                    _ => Exit::Failed,
                }
            }
        }
    }
}

/// One command makes a call or a few: there is nothing to watch over.
fn client() -> Result<ApiClient, ClientError> {
    let settings = ApiSettings {
        name: "admin",
        dependency: "admin".to_owned(),
        rate: None,
        timeout: TIMEOUT,
        connect_timeout: Duration::from_secs(3),
    };
    ApiClient::new(&settings, &Dependencies::unwatched(SystemClock::shared()))
}

impl AdminClient {
    /// Prepares the connection; nothing is sent yet.
    pub(super) fn new(args: &AdminArgs) -> Result<Self, AdminFailure> {
        let token = token(args)?;
        // The value is not repeated: it may hold credentials that do not belong there.
        let base = place(&args.admin).map_err(|why| AdminFailure::BadInput(format!("--admin: {why}")))?;
        let unready = |error: &dyn std::error::Error| AdminFailure::BadInput(error.to_string());
        let client = client().map_err(|error| unready(&error))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Ok(Self { base, token, client, runtime: runtime.map_err(|error| unready(&error))? })
    }

    /// Reads what stands at a path of the API, such as `rollout`.
    pub(super) fn get(&self, path: &str) -> Result<Value, AdminFailure> {
        self.ask(Method::GET, path, None)
    }

    /// Sends a body and gives the answer's.
    pub(super) fn send(&self, method: Method, path: &str, body: &Value) -> Result<Value, AdminFailure> {
        self.ask(method, path, Some(body))
    }

    fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, AdminFailure> {
        let url = self.base.join(&format!("api/v1/{path}"));
        let url = url.map_err(|_| AdminFailure::BadInput(format!("no such place in the API: {path}")))?;
        let mut request = self.client.request(method, url).bearer_auth(self.token.expose());
        if let Some(body) = body {
            request = request.json(body);
        }
        let sent = self.runtime.block_on(self.client.send(request, Deadline::within(TIMEOUT)));
        self.read(sent)
    }

    fn read(&self, sent: Result<Answer, CallError>) -> Result<Value, AdminFailure> {
        let at = self.base.as_str().trim_end_matches('/');
        let answer = sent.map_err(|error| {
            AdminFailure::NotReachable(format!(
                "{at}: {}; is this the admin listener (`admin.listen`) of a running instance?",
                error.problem()
            ))
        })?;
        let status = answer.status.as_u16();
        let body: Option<Value> = serde_json::from_slice(&answer.body).ok();
        match body {
            Some(body) if answer.status.is_success() => Ok(body),
            Some(body) if body["error"]["message"].is_string() => {
                let text = |name: &str| body["error"][name].as_str().map(str::to_owned);
                let (code, message) = (text("code").unwrap_or_default(), text("message").unwrap_or_default());
                Err(AdminFailure::Refused { status, code, message, fix: text("fix"), body })
            }
            _ if status == 404 => Err(AdminFailure::Refused {
                status,
                code: "no_api".into(),
                message: format!("{at} has no such admin API"),
                fix: Some(
                    "list a token in admin.tokens and start crossfade again; without one there is no API"
                        .into(),
                ),
                body: Value::Null,
            }),
            _ => Err(AdminFailure::NotReachable(format!(
                "{at}: what answers there is no crossfade ({status})"
            ))),
        }
    }
}

/// The URL of the admin listener, with a slash at its end.
fn place(text: &str) -> Result<Url, &'static str> {
    let text = if text.starts_with(':') { format!("127.0.0.1{text}") } else { text.to_owned() };
    let text = if text.contains("://") { text } else { format!("http://{text}") };
    let mut url = Url::parse(&text).map_err(|_| "not a URL or address")?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("the admin API is reached by http or https");
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        return Err("only host, port and path are wanted; the token goes into a file");
    }
    let path = format!("{}/", url.path().trim_end_matches('/'));
    url.set_path(&path);
    url.set_fragment(None);
    Ok(url)
}

fn token(args: &AdminArgs) -> Result<Secret, AdminFailure> {
    let text = match &args.token_file {
        Some(path) => std::fs::read_to_string(path).map_err(|error| {
            AdminFailure::BadInput(format!("--token-file: cannot read {}: {error}", path.display()))
        })?,
        None => config::environment().get(TOKEN_VARIABLE).map(str::to_owned).ok_or_else(|| {
            AdminFailure::BadInput(format!(
                "no token: name a file with --token-file, or set {TOKEN_VARIABLE}, to a token of admin.tokens"
            ))
        })?,
    };
    let text = text.trim();
    // Anything else could not stand in a header field, and is no token that the configuration takes.
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(AdminFailure::BadInput("the token is empty or has characters that no token has".into()));
    }
    Ok(Secret::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_url_or_an_address_and_holds_no_credentials() {
        for (text, url) in [
            ("127.0.0.1:9090", "http://127.0.0.1:9090/"),
            (":9090", "http://127.0.0.1:9090/"),
            ("https://admin.example.test/crossfade", "https://admin.example.test/crossfade/"),
        ] {
            assert_eq!(place(text).unwrap().as_str(), url);
        }
        for bad in ["", "ftp://a", "http://u:p@a", "http://a?token=x", "a b"] {
            assert!(place(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_refusal_says_what_the_instance_said_and_how_to_mend_it() {
        let args = AdminArgs { admin: ":1".into(), token_file: None, json: false };
        let client = AdminClient {
            base: place(&args.admin).unwrap(),
            token: Secret::new("t".into()),
            client: client().unwrap(),
            runtime: tokio::runtime::Builder::new_current_thread().build().unwrap(),
        };
        let answer = |status: u16, body: &str| Answer {
            status: status.try_into().unwrap(),
            headers: http::HeaderMap::new(),
            body: body.to_owned().into(),
        };
        let stale = r#"{"error": {"code": "stale_version", "message": "changed", "fix": "look"}, "current": {"version": 4}}"#;
        let Err(AdminFailure::Refused { status, code, fix, body, .. }) = client.read(Ok(answer(409, stale)))
        else {
            panic!("refused")
        };
        assert_eq!((status, code.as_str(), fix.as_deref()), (409, "stale_version", Some("look")));
        assert_eq!(body["current"]["version"], 4);
        assert!(matches!(client.read(Ok(answer(200, "{}"))), Ok(Value::Object(_))));
        let page = client.read(Ok(answer(200, "<html>"))).unwrap_err();
        assert_eq!(page.told(), Exit::NotReachable);
        assert_eq!(client.read(Ok(answer(404, "not found\n"))).unwrap_err().told(), Exit::Failed);
    }
}
