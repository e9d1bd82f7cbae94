//! Scalekit sends the browser back: redeem the code, name the person, open the session.

use std::{net::IpAddr, sync::Arc, time::Duration};

use super::Knock;
use crate::{
    clock::Deadline,
    identity::PersonKey,
    login::{Callback, Identified, Moment, Origin, Refused, UserId},
    pages::{Asked, Page, Pages, Problem},
    proxy::gate::{Gate, Rules},
    session::{
        CookieJar, Digest, Opening, SessionFacts, SignInError, SignedIn, Whose, refresh_after, return_to,
    },
    telemetry::with_causes,
};

/// All that redeeming a code may take.
const REDEEM_BUDGET: Duration = Duration::from_secs(6);

/// What the browser brought back.
struct Returned {
    state: String,
    code: Option<String>,
    issuer: Option<String>,
    /// The cookie that binds the flow to this browser.
    browser: Option<String>,
    /// The session the browser already had: it dies when the new one opens (SEC-20).
    old_session: Option<String>,
    client: IpAddr,
}

impl Gate {
    pub(super) async fn callback(self: &Arc<Self>, knock: &Knock<'_>) -> Result<Page, Problem> {
        let jar = CookieJar::new(&knock.head.headers);
        let client = knock.client.address;
        // One of them given twice means two things to two readers.
        if ["state", "code", "iss", "error"].into_iter().any(|name| knock.is_doubled(name)) {
            return Ok(self.broken("doubled_parameter", client, knock.asked));
        }
        let Some(state) = knock.field("state") else {
            return Ok(self.broken("no_state", client, knock.asked));
        };
        let returned = Returned {
            state,
            code: knock.field("code"),
            issuer: knock.field("iss"),
            browser: jar.only(&self.cookies.browser).map(str::to_owned),
            old_session: jar.only(&self.cookies.session).map(str::to_owned),
            client,
        };
        // Only the error's name is looked at: its description is anybody's text.
        if let Some(error) = knock.field("error") {
            let known = error.len() <= 64 && error.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            let error = if known { error.as_str() } else { "unknown" };
            tracing::warn!(oidc.error = error, request.id = %knock.asked.id, "Scalekit sent an error back");
        }
        let (gate, rules, asked) = (Arc::clone(self), Arc::clone(knock.rules), knock.asked.clone());
        // Large: it holds everything from the code to the session.
        self.shared(async move { Box::pin(gate.finish(returned, &rules, &asked)).await }).await
    }

    async fn finish(&self, returned: Returned, rules: &Rules, asked: &Asked) -> Page {
        let flow = match self.flows.finish(&returned.state, returned.browser.as_deref()).await {
            Ok(flow) => flow,
            Err(error) => {
                tracing::error!(error = %error, "the store cannot be asked for a sign-in under way");
                return self.pages.refused(Refused::TryAgain, asked);
            }
        };
        // Never begun, finished before, too late, or begun in another browser: which of them is not told apart.
        let Some((flow, secrets)) = flow else { return self.broken("unknown_flow", returned.client, asked) };
        let Some(code) = &returned.code else { return self.broken("no_code", returned.client, asked) };
        let deadline = Deadline::within(REDEEM_BUDGET);
        let redeemed = self.provider.redeem(code, &secrets, returned.issuer.as_deref(), deadline).await;
        let signed_in = match redeemed {
            Ok(signed_in) => signed_in,
            Err(error) => return self.not_redeemed(&error, returned.client, asked),
        };
        let callback = Callback {
            user: signed_in.user.clone(),
            email: signed_in.email.clone(),
            email_verified: signed_in.email_verified,
            begun_for: flow.key.clone(),
        };
        match self.journeys.callback(callback).await {
            Ok(identified) => {
                let target = return_to(Some(&flow.return_to), &rules.public.url);
                self.open_session((identified, signed_in), &returned, &target, rules, asked).await
            }
            Err(refused) => {
                self.recorder.callback_refused(refused, returned.client);
                if refused == Refused::Tombstone {
                    self.end_all_sessions(&signed_in.user).await;
                }
                self.pages.refused(refused, asked)
            }
        }
    }

    /// Somebody who was removed keeps no session from before.
    async fn end_all_sessions(&self, user: &UserId) {
        if let Err(error) = self.end_all_of(&Whose::User(user.clone()), "removed").await {
            tracing::error!(error = %error, "the sessions of a removed person could not be ended");
        }
    }

    /// Ends a session that was just written, and was told to nobody, where its person was removed since their row was
    /// read. A removal writes the row and then ends sessions; here the session is written and then the row is read: of
    /// the two, one always sees the other, wherever rows and sessions are kept.
    async fn is_still_here(&self, key: &PersonKey, session: &str) -> Result<(), Refused> {
        let refused = match self.journeys.is_removed(key).await {
            Ok(false) => return Ok(()),
            Ok(true) => Refused::Tombstone,
            Err(error) => {
                tracing::error!(error = %with_causes(&error), "whether a person was removed cannot be asked");
                Refused::TryAgain
            }
        };
        if let Err(error) = self.sessions.end(session).await {
            // Nobody has its id.
            tracing::warn!(error = %error, "a session that nobody was given could not be ended");
        }
        Err(refused)
    }

    /// A return that leads to no session: on record with its class, and one page for all of them.
    fn broken(&self, why: &'static str, client: IpAddr, asked: &Asked) -> Page {
        self.recorder.callback_broken(why, client);
        self.pages.sign_in_broken(asked)
    }

    fn not_redeemed(&self, error: &SignInError, client: IpAddr, asked: &Asked) -> Page {
        match error {
            SignInError::CodeInvalid => {
                tracing::warn!(request.id = %asked.id, "Scalekit does not know the code");
                self.broken("code_invalid", client, asked)
            }
            SignInError::Refused(_) => {
                tracing::error!(error = %error, request.id = %asked.id, "a Scalekit answer is not believed");
                self.broken("not_believed", client, asked)
            }
            SignInError::Unavailable(..) | SignInError::Misconfigured(_) => {
                tracing::error!(error = %with_causes(error), request.id = %asked.id, "a code cannot be redeemed");
                self.recorder.callback_broken("not_redeemed", client);
                self.pages.refused(Refused::TryAgain, asked)
            }
        }
    }

    async fn open_session(
        &self,
        (identified, signed_in): (Identified, SignedIn),
        returned: &Returned,
        target: &str,
        rules: &Rules,
        asked: &Asked,
    ) -> Page {
        self.journeys.witness.step(Moment::Before, "open_session", &identified.row);
        let facts = facts(&identified, &signed_in);
        let key = identified.row.key.clone();
        let person = (key.clone(), identified.row.origin, identified.user);
        let opening = Opening {
            person,
            facts,
            scalekit_session: signed_in.scalekit_session,
            tokens: &signed_in.tokens,
            refresh_after: refresh_after(rules.session.refresh_after, signed_in.access_lifetime),
        };
        let opened = match self.sessions.open(opening, returned.old_session.as_deref()).await {
            Ok(opened) => opened,
            Err(error) => {
                tracing::error!(error = %with_causes(&error), "a session cannot be opened");
                return self.pages.refused(Refused::TryAgain, asked);
            }
        };
        self.journeys.witness.step(Moment::After, "open_session", &identified.row);
        if let Some(old) = &returned.old_session {
            self.visitors.forget(&Digest::of(old));
        }
        if let Some(replaced) = &opened.replaced {
            self.recorder.session_ended(replaced, "replaced");
        }
        if let Err(refused) = self.is_still_here(&key, &opened.id).await {
            self.recorder.callback_refused(refused, returned.client);
            return self.pages.refused(refused, asked);
        }
        self.recorder.session_begun(&identified.row, returned.client);
        let cookies =
            [self.cookies.set(&self.cookies.session, &opened.id, None), self.remember_device(&key, rules)];
        let page = Self::with_cookies(Pages::see_other(target), cookies);
        Self::with_cookies(page, Self::expire_legacy(rules))
    }
}

/// What the application is told: the legacy side's names for people who came from there.
fn facts(identified: &Identified, signed_in: &SignedIn) -> SessionFacts {
    let row = &identified.row;
    let record = row.record.as_ref().filter(|_| row.origin == Origin::Legacy);
    // An empty list is an answer: whoever lost every role at Scalekit does not get the legacy ones back.
    let legacy_roles = || record.map(|record| record.roles.clone());
    let groups = signed_in.roles.clone().or_else(legacy_roles).unwrap_or_default();
    SessionFacts {
        legacy_login: record.map(|record| record.login.clone()),
        legacy_id: (row.origin == Origin::Legacy).then(|| row.key.id.as_str().to_owned()),
        email: identified.email.as_ref().map(|email| email.as_str().to_owned()),
        groups,
        organization: signed_in.organization.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Timestamp,
        identity::LoginName,
        login::{
            Row,
            tests::{record, rules},
        },
        rollout::BucketSalt,
        session::SessionTokens,
    };

    #[test]
    fn legacy_roles_count_only_where_scalekit_says_nothing_of_roles() {
        let mut legacy = record("ann");
        legacy.roles = vec!["admin".into()];
        let bucket = BucketSalt::new(&[7; 32]).bucket(&LoginName::parse("ann").unwrap());
        let external_id = rules().external_id.render(&legacy.key());
        let mut row = Row::fresh(legacy.key(), bucket, external_id, Timestamp::from_seconds(1));
        row.record = Some(legacy);
        let user = UserId("usr_1".into());
        let identified = Identified { row, user: user.clone(), email: None };
        let groups = |roles: Option<&[&str]>| {
            let roles = roles.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
            let (id_token, access_token) = ("id".to_owned(), "access".to_owned());
            let signed_in = SignedIn {
                user: user.clone(),
                email: None,
                email_verified: false,
                organization: None,
                scalekit_session: None,
                roles,
                tokens: SessionTokens { id_token, access_token, refresh_token: None },
                access_lifetime: None,
            };
            facts(&identified, &signed_in).groups
        };
        assert_eq!(groups(None), ["admin"]);
        assert_eq!(groups(Some(&["member"])), ["member"]);
        assert_eq!(groups(Some(&[])), [""; 0], "revoked at Scalekit");
    }
}
