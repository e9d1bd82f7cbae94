//! Force tokens: an HMAC-signed lane for one browser, for at most 24 hours (design, step 4).

use std::time::Duration;

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    identity::{LoginName, Secret},
    rollout::{Forced, Lane},
};

/// The longest a token may live.
const LONGEST: Duration = Duration::from_hours(24);

/// Makes and checks force tokens.
#[derive(Clone)]
pub(crate) struct ForceTokens(hmac::Key);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims {
    lane: Lane,
    /// Seconds since the epoch.
    exp: u64,
    /// Only for the person who has this canonical name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

impl ForceTokens {
    pub(crate) fn new(key: &Secret) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key.expose().as_bytes()))
    }

    /// A token; its life is cut to 24 hours. `None` when it cannot be written.
    pub(crate) fn issue(
        &self,
        lane: Lane,
        name: Option<&LoginName>,
        life: Duration,
        now: Timestamp,
    ) -> Option<String> {
        let exp = now.after(life.min(LONGEST)).seconds();
        let claims = Claims { lane, exp, name: name.map(|name| name.canonical().to_owned()) };
        let payload = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&claims).ok()?);
        let tag = hmac::sign(&self.0, payload.as_bytes());
        Some(format!("{payload}.{}", URL_SAFE_NO_PAD.encode(tag)))
    }

    /// A token's lane and how much longer it counts; `None` for a foreign, changed, expired or over-long one.
    pub(crate) fn read(&self, token: &str, now: Timestamp) -> Option<(Lane, Duration)> {
        let claims = self.claims(token, now)?;
        Some((claims.lane, Duration::from_secs(claims.exp.saturating_sub(now.seconds()))))
    }

    /// The lane a token forces, and for whom.
    pub(crate) fn check(&self, token: &str, now: Timestamp) -> Option<Forced> {
        let claims = self.claims(token, now)?;
        Some(Forced { lane: claims.lane, only: claims.name })
    }

    fn claims(&self, token: &str, now: Timestamp) -> Option<Claims> {
        let (payload, tag) = token.split_once('.')?;
        let tag = URL_SAFE_NO_PAD.decode(tag).ok()?;
        hmac::verify(&self.0, payload.as_bytes(), &tag).ok()?;
        let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
        let latest = now.after(LONGEST).seconds();
        (now.seconds() < claims.exp && claims.exp <= latest).then_some(claims)
    }
}

impl std::fmt::Debug for ForceTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_force_token_counts_for_its_person_and_its_time() {
        let tokens = ForceTokens::new(&Secret::new("k".repeat(32)));
        let now = Timestamp::from_seconds(1_800_000_000);
        let ann = LoginName::parse("Ann@x.org").unwrap();
        let token = tokens.issue(Lane::New, Some(&ann), Duration::from_secs(999_999), now).unwrap();
        let forced = Forced { lane: Lane::New, only: Some("ann@x.org".into()) };
        assert_eq!(tokens.check(&token, now), Some(forced));
        assert_eq!(tokens.check(&token, now.after(LONGEST)), None);
        assert_eq!(ForceTokens::new(&Secret::new("l".repeat(32))).check(&token, now), None);
        assert_eq!(tokens.check(&token.replace('.', "a."), now), None);
        assert_eq!(tokens.check("", now), None);
    }
}
