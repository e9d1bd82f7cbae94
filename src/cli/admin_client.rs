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

/// The code of a refusal by which the instance itself does not know whether a change was made.
const OUTCOME_UNKNOWN: &str = "outcome_unknown";

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
    /// A change was sent, and its answer was lost: it may be made.
    Unknown { why: String, look: &'static str },
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
            Self::Unknown { why, look } => {
                output::note(&format!("error: {why}; the change may have been made"));
                output::note(&format!("  fix: look before you give the command again: {look}"));
                Exit::Failed
            }
            Self::Refused { status, code, message, fix, .. } => {
                output::note(&format!("error: {message} ({status} {code})"));
                if let Some(fix) = fix {
                    output::note(&format!("  fix: {fix}"));
                }
                match status {
                    400 | 422 => Exit::BadInput,
                    503 if code != OUTCOME_UNKNOWN => Exit::NotReachable,
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
        self.read(self.ask(Method::GET, path, None)?)
    }

    /// Asks what has to be asked with a body, and changes nothing.
    pub(super) fn look_up(&self, path: &str, body: &Value) -> Result<Value, AdminFailure> {
        self.read(self.ask(Method::POST, path, Some(body))?)
    }

    /// Sends a change and gives the answer's body.
    pub(super) fn send(&self, method: Method, path: &str, body: &Value) -> Result<Value, AdminFailure> {
        let sent = self.ask(method, path, Some(body))?;
        match self.what_was_lost(&sent) {
            Some(why) => Err(AdminFailure::Unknown { why, look: how_to_look_at(path) }),
            None => self.read(sent),
        }
    }

    fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Sent, AdminFailure> {
        let url = self.base.join(&format!("api/v1/{path}"));
        let url = url.map_err(|_| AdminFailure::BadInput(format!("no such place in the API: {path}")))?;
        let mut request = self.client.request(method, url).bearer_auth(self.token.expose());
        if let Some(body) = body {
            request = request.json(body);
        }
        Ok(self.runtime.block_on(self.client.send(request, Deadline::within(TIMEOUT))))
    }

    fn at(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// Why nobody knows what became of a change: it was sent, and no answer of the instance came back. What stands
    /// between may answer in its place.
    fn what_was_lost(&self, sent: &Sent) -> Option<String> {
        match sent {
            Err(error) if error.may_have_happened() => Some(format!("{}: {}", self.at(), error.problem())),
            Ok(answer) if answer.status.is_server_error() && refusal(&answer.body).is_none() => {
                Some(format!("{}: an answer {} that is not crossfade's", self.at(), answer.status.as_u16()))
            }
            _ => None,
        }
    }

    fn read(&self, sent: Sent) -> Result<Value, AdminFailure> {
        let at = self.at();
        let answer = sent.map_err(|error| {
            AdminFailure::NotReachable(format!(
                "{at}: {}; is this the admin listener (`admin.listen`) of a running instance?",
                error.problem()
            ))
        })?;
        let status = answer.status.as_u16();
        if let Some(body) = refusal(&answer.body).filter(|_| !answer.status.is_success()) {
            let text = |name: &str| body["error"][name].as_str().map(str::to_owned);
            let (code, message) = (text("code").unwrap_or_default(), text("message").unwrap_or_default());
            return Err(AdminFailure::Refused { status, code, message, fix: text("fix"), body });
        }
        match serde_json::from_slice(&answer.body) {
            Ok(body) if answer.status.is_success() => Ok(body),
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

/// What came back, or why nothing did.
type Sent = Result<Answer, CallError>;

/// An instance's refusal.
fn refusal(body: &[u8]) -> Option<Value> {
    serde_json::from_slice(body).ok().filter(|body: &Value| body["error"]["message"].is_string())
}

/// The command that tells whether a change was made.
fn how_to_look_at(path: &str) -> &'static str {
    match path.split('/').next() {
        Some("rollout") => "crossfade rollout status",
        Some("store") => "crossfade store status",
        _ => "crossfade users show",
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
    use std::{
        io::{Read as _, Write as _},
        net::TcpListener,
    };

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

    fn client_of(admin: &str) -> AdminClient {
        AdminClient {
            base: place(admin).unwrap(),
            token: Secret::new("t".into()),
            client: client().unwrap(),
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(),
        }
    }

    /// Reads one request and answers so, or closes.
    fn once(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let place = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"{}") {
                let mut some = [0; 1024];
                let read = stream.read(&mut some).unwrap();
                request.extend_from_slice(&some[..read]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
        });
        place
    }

    #[test]
    fn a_change_whose_answer_was_lost_is_not_told_as_one_that_was_not_sent() {
        let change = |admin: &str| {
            let sent = client_of(admin).send(Method::POST, "rollout/pause", &serde_json::json!({}));
            sent.unwrap_err()
        };
        let gateway = "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 3\r\n\r\nbad";
        for answer in ["", "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{", gateway] {
            let failure = change(&once(answer));
            assert!(
                matches!(failure, AdminFailure::Unknown { look: "crossfade rollout status", .. }),
                "{answer}: {failure:?}"
            );
            assert_eq!(failure.told(), Exit::Failed);
        }
        // Nobody was there, or nothing was to change.
        assert_eq!(change("127.0.0.1:1").told(), Exit::NotReachable);
        let looked = client_of(&once("")).look_up("rollout/explain", &serde_json::json!({}));
        assert_eq!(looked.unwrap_err().told(), Exit::NotReachable);
        let unknown = r#"{"error": {"code": "outcome_unknown", "message": "lost"}}"#;
        let unknown = Answer {
            status: http::StatusCode::SERVICE_UNAVAILABLE,
            headers: http::HeaderMap::new(),
            body: unknown.into(),
        };
        assert_eq!(client_of(":1").read(Ok(unknown)).unwrap_err().told(), Exit::Failed);
    }

    #[test]
    fn a_refusal_says_what_the_instance_said_and_how_to_mend_it() {
        let client = client_of(":1");
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
