//! Calls to the endpoint, each sent once and below the configured address alone.

use std::future::Future;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderName, HeaderValue, StatusCode, header};
use reqwest::{Method, RequestBuilder};
use serde_json::{Map, Value};
use url::Url;

use crate::{
    clock::Deadline,
    config::{HttpAnswer, HttpAuth, HttpCheck, HttpMeaning, HttpSource, Pointer, Source, UrlTemplate},
    identity::SourceName,
    legacy::{
        client,
        credential::Credential,
        failure::{TRANSIENT, failure, garbage, unanswered},
    },
    login::{ErrorClass, LegacyError},
    net::{Answer, ApiClient, CallError, Dependencies, LEAST_WAIT, is_nested_too_deeply, retry_after_field},
};

/// The endpoint's addresses and how it is spoken to.
pub(super) struct Calls {
    source: SourceName,
    base: Url,
    list: Option<Pointer>,
    nobody: Vec<u16>,
    check: HttpCheck,
    auth: Option<Credential>,
    client: ApiClient,
}

/// The answer to a password check, and what the configuration says it means.
pub(super) struct Checked {
    pub(super) means: HttpMeaning,
    /// The body, where it is a JSON object.
    pub(super) document: Option<Value>,
}

impl Calls {
    pub(super) fn new(
        source: &Source,
        settings: &HttpSource,
        dependencies: &Dependencies,
    ) -> Result<Self, String> {
        let field = settings.auth.as_ref().map(authorization).transpose()?;
        let auth = field.map(|field| Credential::new(source, &settings.url, field, dependencies));
        let client = client("http", source, dependencies)?;
        Ok(Self {
            source: source.name.clone(),
            base: settings.url.clone(),
            list: settings.list.clone(),
            nobody: settings.nobody.clone(),
            check: settings.check.clone(),
            auth,
            client,
        })
    }

    /// Where the endpoint is.
    pub(super) fn address(&self) -> &Url {
        &self.base
    }

    /// Whether it is the id that `find` gave whose password is checked.
    pub(super) fn checks_by_id(&self) -> bool {
        self.check.path.place() == Some("id")
    }

    /// One person; `None` when there is no such person, or no such address can be asked for.
    pub(super) async fn one(
        &self,
        template: &UrlTemplate,
        value: &str,
        deadline: Deadline,
    ) -> Result<Option<Value>, LegacyError> {
        let found = self.get(template, value, deadline).await?;
        if found.as_ref().is_some_and(|document| !document.is_object()) {
            return Err(garbage(&self.source, "answered 200 with something that is not a person"));
        }
        Ok(found)
    }

    /// Everybody that fits. Nobody is an empty list and no status: an address that is not served says 404, too, and
    /// twins would go unseen.
    pub(super) async fn list(
        &self,
        template: &UrlTemplate,
        value: &str,
        deadline: Deadline,
    ) -> Result<Vec<Value>, LegacyError> {
        let Some(url) = template.fill(&self.base, value) else { return Ok(Vec::new()) };
        let answer = self.fetch(&url, deadline).await?;
        if self.is_nobody(&answer) {
            let status = answer.status.as_u16();
            let problem = format!("answered {status} where find_by_email has a list: nobody is an empty one");
            return Err(garbage(&self.source, problem));
        }
        let mut document = self.document(&answer)?;
        let list = match &self.list {
            Some(pointer) => document.pointer_mut(&pointer.0).map(Value::take),
            None => Some(document),
        };
        match list {
            Some(Value::Array(people)) => Ok(people),
            _ => Err(garbage(&self.source, "answered 200 without a list where find_by_email has one")),
        }
    }

    async fn get(
        &self,
        template: &UrlTemplate,
        value: &str,
        deadline: Deadline,
    ) -> Result<Option<Value>, LegacyError> {
        let Some(url) = template.fill(&self.base, value) else { return Ok(None) };
        let answer = self.fetch(&url, deadline).await?;
        if self.is_nobody(&answer) {
            return if is_own_word(&answer) { Ok(None) } else { Err(self.not_its_own(&answer)) };
        }
        self.document(&answer).map(Some)
    }

    async fn fetch(&self, url: &Url, deadline: Deadline) -> Result<Answer, LegacyError> {
        let request = || self.request(Method::GET, url);
        self.send(request, |request| self.client.send(request, deadline), |answer| self.is_nobody(answer))
            .await
    }

    fn is_nobody(&self, answer: &Answer) -> bool {
        self.nobody.contains(&answer.status.as_u16())
    }

    fn document(&self, answer: &Answer) -> Result<Value, LegacyError> {
        if answer.status != StatusCode::OK {
            return Err(self.unexpected(answer));
        }
        json(answer).ok_or_else(|| garbage(&self.source, "answered 200 with something that is not JSON"))
    }

    /// Whether the answer about nobody is also the one to an address that no endpoint serves: then nothing in it shows
    /// that there is an endpoint at all.
    pub(super) async fn is_like_nowhere(
        &self,
        template: &UrlTemplate,
        nobody: &str,
        deadline: Deadline,
    ) -> Result<bool, LegacyError> {
        let mut nowhere = self.base.clone();
        let (Some(served), Ok(mut path)) = (template.fill(&self.base, nobody), nowhere.path_segments_mut())
        else {
            return Ok(false);
        };
        path.pop_if_empty().extend([nobody; 3]);
        drop(path);
        let (served, nowhere) =
            tokio::try_join!(self.fetch(&served, deadline), self.fetch(&nowhere, deadline),)?;
        Ok(served.status == nowhere.status && shape(&served) == shape(&nowhere))
    }

    /// One password check; sent once, never again (SEC-42). `None` when nobody can have such a name or id.
    pub(super) async fn check(
        &self,
        name: &str,
        id: &str,
        password: &str,
        deadline: Deadline,
    ) -> Result<Option<Checked>, LegacyError> {
        let value = if self.checks_by_id() { id } else { name };
        let Some(url) = self.check.path.fill(&self.base, value) else { return Ok(None) };
        let mut body = Map::from_iter([(self.check.password.clone(), Value::from(password))]);
        if let Some(member) = &self.check.name {
            body.insert(member.clone(), Value::from(name));
        }
        let body = Value::Object(body);
        let request = || self.request(Method::POST, &url).json(&body);
        let has_meaning = |answer: &Answer| self.meaning(answer, json(answer).as_ref()).is_some();
        let send = |request| self.client.send_guess(request, deadline);
        let answer = self.send(request, send, has_meaning).await?;
        let document = json(&answer);
        match self.meaning(&answer, document.as_ref()) {
            Some(known) if known.json.is_none() && !is_own_word(&answer) => Err(self.not_its_own(&answer)),
            Some(known) => {
                Ok(Some(Checked { means: known.means, document: document.filter(Value::is_object) }))
            }
            None => Err(self.unexpected(&answer)),
        }
    }

    /// The first answer to a check, of those configured, that this one is.
    fn meaning(&self, answer: &Answer, document: Option<&Value>) -> Option<&HttpAnswer> {
        let status = answer.status.as_u16();
        let fits = |wanted: &Option<(Pointer, Value)>| match (wanted, document) {
            (None, _) => true,
            (Some((pointer, equals)), Some(document)) => document.pointer(&pointer.0) == Some(equals),
            (Some(_), None) => false,
        };
        self.check.answers.iter().find(|known| known.status.contains(&status) && fits(&known.json))
    }

    fn request(&self, method: Method, url: &Url) -> RequestBuilder {
        self.client.request(method, url.clone()).header(header::ACCEPT, "application/json")
    }

    /// A 401 that the configuration gives no meaning is for us, and nothing was done.
    async fn send<Sending>(
        &self,
        request: impl Fn() -> RequestBuilder,
        send: impl Fn(RequestBuilder) -> Sending,
        has_meaning: impl Fn(&Answer) -> bool,
    ) -> Result<Answer, LegacyError>
    where
        Sending: Future<Output = Result<Answer, CallError>>,
    {
        let is_unknown = |answer: &Answer| answer.status == StatusCode::UNAUTHORIZED && !has_meaning(answer);
        let answer = match &self.auth {
            Some(auth) => auth.send(request, send, is_unknown).await,
            None => send(request()).await,
        };
        answer.map_err(|error| unanswered(&self.source, error))
    }

    /// An answer with a status that has a meaning, and a body that is not the endpoint's.
    fn not_its_own(&self, answer: &Answer) -> LegacyError {
        let status = answer.status.as_u16();
        let problem = format!(
            "answered {status} with a text that is not JSON: perhaps somebody in between did, and an endpoint that is \
             there must say it with JSON or an empty body"
        );
        garbage(&self.source, problem)
    }

    /// An answer that the configuration does not name.
    fn unexpected(&self, answer: &Answer) -> LegacyError {
        let status = answer.status.as_u16();
        let wait = retry_after_field(&answer.headers);
        let (class, more) = match status {
            429 => (ErrorClass::Transient { retry_after: wait.or(Some(LEAST_WAIT)) }, ""),
            500.. => (ErrorClass::Transient { retry_after: wait }, ""),
            300..=399 => (
                ErrorClass::Misconfigured,
                ": redirects are not followed, so `url` must be the final address",
            ),
            401 | 403 => (ErrorClass::Misconfigured, ": `auth` is not accepted"),
            200..=299 => (TRANSIENT, " with nothing that the configuration gives a meaning"),
            _ => (ErrorClass::Permanent, ", which the configuration gives no meaning"),
        };
        failure(&self.source, class, format!("answered {status}{more}"))
    }
}

/// Where the status alone decides: whoever stands in between (a firewall, an ingress whose service is gone, a maintenance
/// screen) has a status, too, with a page or a line of text. The endpoint's own word comes with nothing, with JSON or with
/// the status' name (`OK`, `Unauthorized`); but `Not Found` is what many a server says of an address that it does not serve.
pub(super) fn is_own_word(answer: &Answer) -> bool {
    let body = answer.body.trim_ascii();
    let is_name = || answer.status.canonical_reason().is_some_and(|name| body == name.as_bytes());
    body.is_empty() || json(answer).is_some() || answer.status != StatusCode::NOT_FOUND && is_name()
}

/// What stays the same in two answers of one kind: a JSON object's members may hold the time or the address.
fn shape(answer: &Answer) -> Vec<u8> {
    match json(answer) {
        Some(Value::Object(object)) => object.keys().fold(Vec::new(), |mut shape, key| {
            shape.extend(key.bytes().chain([0]));
            shape
        }),
        _ => answer.body.trim_ascii().to_vec(),
    }
}

/// The JSON of an answer, unless it is none or nested too deeply.
fn json(answer: &Answer) -> Option<Value> {
    if is_nested_too_deeply(&answer.body) {
        return None;
    }
    serde_json::from_slice(&answer.body).ok()
}

fn authorization(auth: &HttpAuth) -> Result<(HeaderName, HeaderValue), String> {
    let (setting, text) = match auth {
        HttpAuth::Header { name, value } => return Ok((name.clone(), value.clone())),
        HttpAuth::Bearer(token) => ("auth.bearer", format!("Bearer {}", token.expose())),
        HttpAuth::Basic { user, password } => {
            let pair = STANDARD.encode(format!("{user}:{}", password.expose()));
            ("auth.basic", format!("Basic {pair}"))
        }
    };
    let mut value = HeaderValue::from_str(&text)
        .map_err(|_| format!("{setting}: holds characters that cannot be sent"))?;
    value.set_sensitive(true);
    Ok((header::AUTHORIZATION, value))
}
