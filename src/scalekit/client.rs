//! Calls of Scalekit's REST API: addresses, the token, and what may be sent twice.

use std::time::Duration;

use http::header::AUTHORIZATION;
use reqwest::Method;
use serde::Serialize;
use url::{Url, form_urlencoded};

use super::{
    channel::{Channel, jittered},
    error::Trouble,
    token::Tokens,
};
use crate::{
    clock::{Deadline, SharedClock},
    login::ErrorClass,
    net::Answer,
};

/// Before the one repetition of a call without side effects.
const BEFORE_REPEATING: Duration = Duration::from_millis(150);

/// The management API of one environment.
pub(super) struct Api {
    pub(super) channel: Channel,
    /// Apart: a token endpoint that hangs is one that callers of the API wait for, not one that uses up their places.
    pub(super) token_channel: Channel,
    pub(super) tokens: Tokens,
    pub(super) clock: SharedClock,
    /// `https://{environment}/api/v1`, without a slash at the end.
    pub(super) base: String,
}

/// One request, to be sent once or twice.
pub(super) struct Call {
    method: Method,
    url: Url,
    body: Option<Vec<u8>>,
}

impl Api {
    /// A request. Each `{}` of the path takes one of `ids` as a single, percent-encoded segment.
    pub(super) fn call(
        &self,
        method: Method,
        path: &str,
        ids: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Call, Trouble> {
        let mut address = self.base.clone();
        let mut ids = ids.iter();
        for (at, literal) in path.split("{}").enumerate() {
            if at > 0 {
                address.push_str(&segment(ids.next().copied().unwrap_or_default())?);
            }
            address.push_str(literal);
        }
        if !query.is_empty() {
            let encoded: Vec<_> =
                query.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
            address = format!("{address}?{}", encoded.join("&"));
        }
        let url = Url::parse(&address).map_err(|_| unaddressable())?;
        Ok(Call { method, url, body: None })
    }

    /// Sends a call with the token; a 401 is answered with one new token, and a call without side effects is
    /// repeated once after a passing error. A call with side effects is sent again only after a 401, which says
    /// that nothing was done.
    pub(super) async fn send(&self, call: &Call, deadline: Deadline) -> Result<Answer, Trouble> {
        let trouble = match self.send_authorised(call, deadline).await {
            Err(trouble) if call.method == Method::GET && trouble.is_passing() => trouble,
            result => return result,
        };
        let wait = jittered(BEFORE_REPEATING);
        if deadline.remaining() <= wait {
            return Err(trouble);
        }
        self.clock.sleep(wait).await;
        self.send_authorised(call, deadline).await
    }

    async fn send_authorised(&self, call: &Call, deadline: Deadline) -> Result<Answer, Trouble> {
        let token = self.tokens.current(&self.token_channel, deadline).await?;
        let attempt = |token: &http::HeaderValue| {
            let request = self.channel.request(call.method.clone(), call.url.clone());
            let request = request.header(AUTHORIZATION, token.clone());
            match &call.body {
                Some(body) => {
                    request.header(http::header::CONTENT_TYPE, "application/json").body(body.clone())
                }
                None => request,
            }
        };
        match self.channel.send(attempt(&token), deadline).await {
            Err(trouble) if trouble.status() == Some(401) => {
                let token = self.tokens.instead_of(&token, &self.token_channel, deadline).await?;
                self.channel.send(attempt(&token), deadline).await
            }
            result => result,
        }
    }
}

impl Call {
    pub(super) fn with_body(mut self, body: &impl Serialize) -> Result<Self, Trouble> {
        let body = serde_json::to_vec(body);
        self.body = Some(body.map_err(|_| Trouble::not_sent(ErrorClass::Permanent, "unwritable body"))?);
        Ok(self)
    }
}

/// A path segment. `.` and `..` cannot be one, encoded or not: every URL parser takes them as steps.
fn segment(id: &str) -> Result<String, Trouble> {
    if matches!(id, "" | "." | "..") { Err(unaddressable()) } else { Ok(encoded(id)) }
}

fn unaddressable() -> Trouble {
    Trouble::not_sent(ErrorClass::Permanent, "an id that cannot be part of an address")
}

/// Everything percent-encoded but `A–Z a–z 0–9 * - . _`; a blank is `%20`, a plus sign `%2B`.
fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn any_id_stays_one_segment_and_itself(id in "\\PC{1,12}|[./%?#+ :]{1,6}") {
            match segment(&id) {
                Ok(segment) => {
                    let url = Url::parse(&format!("https://env.example.com/api/v1/users:external/{segment}")).unwrap();
                    let last = url.path().strip_prefix("/api/v1/users:external/").unwrap();
                    proptest::prop_assert!(!last.contains('/') && url.query().is_none() && url.fragment().is_none());
                    let pair = format!("x={last}");
                    let (_, decoded) = form_urlencoded::parse(pair.as_bytes()).next().unwrap();
                    proptest::prop_assert_eq!(decoded, id);
                }
                Err(_) => proptest::prop_assert!(id == "." || id == ".."),
            }
        }
    }
}
