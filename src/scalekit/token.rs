//! The token of our own calls: client credentials, kept and renewed ahead of its end.

use std::{sync::Arc, time::Duration};

use http::header::HeaderValue;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use url::Url;

use super::{
    channel::{Channel, read},
    error::Trouble,
    secret::ClientSecret,
    shelf::{Fetched, Shelf},
};
use crate::{
    clock::{Deadline, SharedClock},
    login::ErrorClass,
};

/// Lifetime where the answer does not name one.
const LIFETIME_UNSAID: Duration = Duration::from_mins(5);

/// Renewed this long before its end, or a fifth of its life before where that is shorter.
const RENEW_AHEAD: Duration = Duration::from_mins(5);

/// Where the token comes from, and the token.
#[derive(Debug)]
pub(super) struct Tokens {
    endpoint: Url,
    client_id: String,
    client_secret: Arc<ClientSecret>,
    shelf: Shelf<HeaderValue>,
}

#[derive(Serialize)]
struct Credentials<'a> {
    grant_type: &'static str,
    client_id: &'a str,
    client_secret: &'a str,
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    token_type: Option<String>,
    expires_in: Option<f64>,
}

impl Tokens {
    pub(super) fn new(
        endpoint: Url,
        client_id: String,
        client_secret: Arc<ClientSecret>,
        clock: SharedClock,
    ) -> Self {
        Self { endpoint, client_id, client_secret, shelf: Shelf::new(clock) }
    }

    /// The token in use, as a header value.
    pub(super) async fn current(
        &self,
        channel: &Channel,
        deadline: Deadline,
    ) -> Result<Arc<HeaderValue>, Trouble> {
        self.shelf.get(deadline, |deadline| self.fetch(channel, deadline)).await
    }

    /// Another token than one that was answered with 401.
    pub(super) async fn instead_of(
        &self,
        refused: &Arc<HeaderValue>,
        channel: &Channel,
        deadline: Deadline,
    ) -> Result<Arc<HeaderValue>, Trouble> {
        self.shelf.forget(refused);
        self.current(channel, deadline).await
    }

    /// Whatever goes wrong here, the call that needed the token has not been sent.
    async fn fetch(&self, channel: &Channel, deadline: Deadline) -> Result<Fetched<HeaderValue>, Trouble> {
        let send = |secret: crate::identity::Secret| {
            let credentials = Credentials {
                grant_type: "client_credentials",
                client_id: &self.client_id,
                client_secret: secret.expose(),
            };
            let request = channel.request(Method::POST, self.endpoint.clone()).form(&credentials);
            channel.send(request, deadline)
        };
        let granted = match self.client_secret.send(send).await {
            Ok(answer) => read::<Granted>(&answer).and_then(Granted::into_fetched),
            Err(trouble) => Err(trouble),
        };
        granted.map_err(|trouble| {
            // A refused client is for the operator to mend, whichever status says so.
            let is_refused = trouble.status().is_some_and(|status| (400..500).contains(&status));
            let class = match trouble.class {
                ErrorClass::Permanent if is_refused => ErrorClass::Misconfigured,
                class => class,
            };
            let problem = format!("no token for the client credentials: {}", trouble.problem);
            Trouble { cause: trouble.cause, ..Trouble::not_sent(class, problem) }
        })
    }
}

impl Granted {
    fn into_fetched(self) -> Result<Fetched<HeaderValue>, Trouble> {
        if self.token_type.as_deref().is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
            return Err(Trouble::garbage("the token is of another type than Bearer"));
        }
        let lifetime = match self.expires_in {
            Some(seconds) => Duration::try_from_secs_f64(seconds).unwrap_or_default(),
            None => LIFETIME_UNSAID,
        };
        let is_token =
            !self.access_token.is_empty() && self.access_token.bytes().all(|b| b.is_ascii_graphic());
        let value = HeaderValue::from_str(&format!("Bearer {}", self.access_token));
        match value {
            Ok(mut value) if is_token && !lifetime.is_zero() => {
                value.set_sensitive(true);
                let renew_after = lifetime.saturating_sub(RENEW_AHEAD.min(lifetime / 5));
                // A year is as good as for ever, and far from overflowing the clock.
                let keep_for = lifetime.min(Duration::from_hours(366 * 24));
                Ok(Fetched { value, renew_after: renew_after.min(keep_for), keep_for })
            }
            _ => Err(Trouble::garbage("answered with an empty, unusable or expired token")),
        }
    }
}
