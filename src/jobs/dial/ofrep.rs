//! Asking flagd, or any other server of the remote evaluation protocol of feature flags (OFREP), for one flag.
//!
//! `POST /ofrep/v1/evaluate/flags/{key}`, the contract for servers. By HTTP and JSON alone, over the client that every
//! other dependency is called with: the crates made for it bring a second TLS provider.

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use crate::{
    clock::Deadline,
    config,
    net::{Answer, ApiClient, ApiSettings, ClientError, Dependencies},
    rollout::DialFlag,
};

/// The same for every replica, so that a flag that splits by it still has one value everywhere.
const TARGET: &str = "crossfade";

/// A server of flags.
#[derive(Debug)]
pub(crate) struct Flagd {
    client: ApiClient,
    settings: config::Flagd,
}

/// What was learned of one flag.
#[derive(Debug, PartialEq)]
pub(super) enum Said {
    Value(Value),
    /// There is no such flag, it is disabled, or it leaves the value to us.
    Nothing,
    /// No answer, or none that the protocol knows.
    Unusable(&'static str),
}

/// `serverEvaluationSuccess`; without `value` where the server leaves it to us.
#[derive(Deserialize)]
struct Success {
    key: Option<String>,
    value: Option<Value>,
}

/// `evaluationFailure` and `flagNotFound`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Failure {
    error_code: String,
}

impl Flagd {
    /// Prepares to ask; `None` where feature flags say nothing of the dial.
    pub(crate) fn of(
        rollout: &config::RolloutStart,
        dependencies: &Dependencies,
    ) -> Result<Option<Self>, ClientError> {
        let Some(settings) = rollout.flagd.as_ref().filter(|_| rollout.source == super::DialSource::Flagd)
        else {
            return Ok(None);
        };
        let client = ApiClient::new(
            &ApiSettings {
                name: "flagd",
                dependency: "flagd".to_owned(),
                rate: None,
                timeout: settings.timeout,
                connect_timeout: settings.timeout,
            },
            dependencies,
        )?;
        Ok(Some(Self { client, settings: settings.clone() }))
    }

    /// Asks once for one flag.
    pub(super) async fn ask(&self, flag: DialFlag) -> Said {
        let name = self.name(flag);
        let mut request = self
            .client
            .request(Method::POST, self.address(name))
            .json(&json!({ "context": { "targetingKey": TARGET } }));
        if let Some(token) = &self.settings.token {
            request = request.bearer_auth(token.expose());
        }
        match self.client.send(request, Deadline::within(self.settings.timeout)).await {
            Ok(answer) => said(&answer, name),
            Err(error) => Said::Unusable(error.problem()),
        }
    }

    fn name(&self, flag: DialFlag) -> &str {
        let names = &self.settings.flags;
        match flag {
            DialFlag::Cutover => &names.cutover,
            DialFlag::Migrate => &names.migrate,
            DialFlag::RollbackMode => &names.rollback_mode,
            DialFlag::Paused => &names.paused,
        }
    }

    fn address(&self, name: &str) -> Url {
        let mut url = self.settings.url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.clear().extend(["ofrep", "v1", "evaluate", "flags", name]);
        }
        url
    }
}

/// Reads an answer. One that names another flag, or that somebody in between gave, is none.
fn said(answer: &Answer, name: &str) -> Said {
    match answer.status.as_u16() {
        200 => match serde_json::from_slice::<Success>(&answer.body) {
            Ok(Success { key: Some(key), .. }) if key != name => {
                Said::Unusable("the answer is for another flag")
            }
            Ok(Success { value: Some(value), .. }) => Said::Value(value),
            Ok(Success { value: None, .. }) => Said::Nothing,
            Err(_) => Said::Unusable("the answer is not of the protocol"),
        },
        400 | 404 => match serde_json::from_slice::<Failure>(&answer.body) {
            Ok(failure) if ["FLAG_NOT_FOUND", "FLAG_DISABLED"].contains(&failure.error_code.as_str()) => {
                Said::Nothing
            }
            Ok(_) => Said::Unusable("the flag cannot be evaluated"),
            Err(_) => Said::Unusable("the answer is not of the protocol"),
        },
        401 | 403 => Said::Unusable("the token is refused"),
        _ => Said::Unusable("the answer is an error"),
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, StatusCode};

    use super::*;

    fn read(status: u16, body: &str) -> Said {
        let status = StatusCode::from_u16(status).unwrap();
        said(&Answer { status, headers: HeaderMap::new(), body: body.to_owned().into() }, "the-flag")
    }

    #[test]
    fn an_answer_is_a_value_or_nothing_or_unusable() {
        for (status, body, expected) in [
            (200, r#"{"key":"the-flag","value":25,"reason":"STATIC","variant":"a"}"#, Said::Value(json!(25))),
            (200, r#"{"value":false}"#, Said::Value(json!(false))),
            (200, r#"{"key":"the-flag","reason":"DISABLED"}"#, Said::Nothing),
            (200, r#"{"key":"the-flag","value":null}"#, Said::Nothing),
            (404, r#"{"key":"the-flag","errorCode":"FLAG_NOT_FOUND"}"#, Said::Nothing),
            (400, r#"{"key":"the-flag","errorCode":"FLAG_DISABLED"}"#, Said::Nothing),
        ] {
            assert_eq!(read(status, body), expected, "{status} {body}");
        }
        for (status, body) in [
            (200, r#"{"key":"another-flag","value":25}"#),
            (200, "<html>Sign in to the network</html>"),
            (200, ""),
            (200, "[25]"),
            (404, "no such page"),
            (404, r#"{"message":"no such route"}"#),
            (400, r#"{"key":"the-flag","errorCode":"PARSE_ERROR"}"#),
            (302, ""),
            (401, ""),
            (429, ""),
            (500, r#"{"errorDetails":"no"}"#),
        ] {
            assert!(matches!(read(status, body), Said::Unusable(_)), "{status} {body}");
        }
    }
}
