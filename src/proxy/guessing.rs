//! The limits at the gate (SEC-41): whose try it is, whether it may be made, what came of it, and which browsers are
//! known.
//!
//! A browser in which somebody signed in to an account keeps a sealed cookie that says so. Others' failures on that
//! account do not keep it out; its own have a count of their own.

use http::{HeaderMap, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};

use super::{
    failure::{FailureKind, ForwardError},
    gate::{Gate, Rules},
};
use crate::{
    clock::Timestamp,
    config::{Lockout, SignInRoute},
    identity::LoginName,
    login::{
        Asker, Basis, Budget, Closed, CountKey, Counted, Guess, Limited, NotForgotten, Outcome, Row, Ticket,
        Tried,
    },
    pages::{Asked, Page},
    session::{CookieJar, Purpose, random_token},
};

/// The most accounts that one browser is known for; the longest unused go first.
const KNOWN_ACCOUNTS: usize = 10;

/// What the cookie of a known browser holds, sealed.
#[derive(Serialize, Deserialize)]
struct Known {
    /// Random: tells one browser from another.
    device: String,
    /// The newest first.
    accounts: Vec<KnownAccount>,
}

#[derive(Serialize, Deserialize)]
struct KnownAccount {
    key: CountKey,
    since: Timestamp,
}

/// Whom a try is counted for.
#[derive(Clone, Copy)]
pub(super) struct Aims<'a> {
    /// The typed name; several where a request can be read in several ways.
    pub(super) names: &'a [LoginName],
    /// The row that the name leads to.
    pub(super) row: Option<&'a Row>,
    pub(super) reading: Reading,
}

/// How sure it is whose try this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// The request says it once and without doubt.
    Plain,
    /// The application may take it for a try of one of these. Its yes then proves nothing about any of them: or an
    /// own account and a victim's in one form would have the victim's failures forgiven.
    Loose,
}

/// A try that may be made, and where it came from.
#[derive(Clone)]
pub(super) struct Granted {
    pub(super) ticket: Ticket,
    /// The account by the very names that a success speaks of: what a browser is known for.
    own: Vec<CountKey>,
    route: String,
    name: Option<LoginName>,
    client: std::net::IpAddr,
    reading: Reading,
}

impl Granted {
    /// The typed name, where one could be read.
    pub(super) fn name(&self) -> Option<&LoginName> {
        self.name.as_ref()
    }
}

impl Rules {
    /// What the stores that these names lead to lock an account at.
    fn lockout(&self, names: &[LoginName]) -> Option<Lockout> {
        let serves = |domains: &[String]| {
            let asked = |name: &LoginName| {
                name.email().is_some_and(|email| domains.iter().any(|domain| domain == email.domain()))
            };
            domains.is_empty() || names.iter().any(asked)
        };
        let asked = self.lockouts.iter().filter(|(domains, _)| serves(domains));
        asked.map(|(_, lockout)| *lockout).reduce(Lockout::and)
    }
}

impl Gate {
    /// Asks whether a sign-in may be tried. Runs on the shared runtime.
    pub(super) async fn may_try(
        &self,
        headers: &HeaderMap,
        aims: Aims<'_>,
        route: &SignInRoute,
        client: std::net::IpAddr,
        rules: &Rules,
    ) -> Result<Granted, Limited> {
        let keys = &self.count_keys;
        let mut accounts: Vec<CountKey> = aims.names.iter().map(|name| keys.typed(name)).collect();
        accounts.extend(aims.row.map(|row| keys.person(&row.key)));
        if accounts.is_empty() {
            accounts.push(keys.nameless(client));
        }
        accounts.sort_unstable();
        accounts.dedup();
        let name = aims.names.first().cloned();
        let spelled = name.as_ref().map(|name| keys.spelled(name));
        let own: Vec<CountKey> =
            spelled.into_iter().chain(aims.row.map(|row| keys.person(&row.key))).collect();
        // Known for one of several is known for none: an own account beside a victim's would open the victim's reserve.
        let is_plain = aims.reading == Reading::Plain;
        let device = is_plain.then(|| self.known_device(headers, &own, rules)).flatten();
        let address = keys.address(client);
        let guess = Guess {
            accounts,
            device,
            address,
            pair: spelled.map_or(address, |spelled| address.with(spelled)),
            lockout: rules.lockout(aims.names).map(Budget::from),
        };
        match self.counts.ask(guess, &rules.guessing).await {
            Ok(ticket) => {
                Ok(Granted { ticket, own, route: route.name.clone(), name, client, reading: aims.reading })
            }
            Err(limited) => {
                self.recorder.limited(&route.name, name.as_ref(), limited, client);
                Err(limited)
            }
        }
    }

    /// Asks whether a route of ours may be used from an address: it begins a sign-in without a password.
    pub(super) async fn may_begin(
        &self,
        door: &'static str,
        client: std::net::IpAddr,
        rules: &Rules,
    ) -> Result<(), Limited> {
        let address = self.count_keys.address(client);
        let guess = Guess { accounts: Vec::new(), device: None, address, pair: address, lockout: None };
        match self.counts.ask(guess, &rules.guessing).await {
            Ok(_) => Ok(()),
            Err(limited) => {
                self.recorder.limited(door, None, limited, client);
                Err(limited)
            }
        }
    }

    /// Who signs in, as far as it can be told before anything is read of them.
    pub(super) fn asker(&self, headers: &HeaderMap, client: std::net::IpAddr) -> Asker {
        match self.device(headers) {
            Some(person) => Asker::Device(self.count_keys.person(&person)),
            None => Asker::Stranger(self.count_keys.address(client)),
        }
    }

    /// Takes down what came of a try. Runs on the shared runtime.
    pub(super) async fn tried(&self, granted: &Granted, tried: Tried, rules: &Rules) {
        let tried = match (tried, granted.reading) {
            (Tried::Right, Reading::Loose) => Tried::Unasked,
            _ => tried,
        };
        let settled = self.counts.settle(&granted.ticket, tried, &rules.guessing).await;
        let known = granted.ticket.guess.device.is_some();
        self.recorder.settled(&granted.route, granted.name.as_ref(), settled, known, granted.client);
    }

    /// Ends the wait of an account: what strangers failed at it under these names is forgotten.
    pub(crate) async fn forget_failures(
        &self,
        names: impl Iterator<Item = LoginName>,
        row: Option<&Row>,
    ) -> Result<(), NotForgotten> {
        let keys = &self.count_keys;
        let person = row.map(|row| keys.person(&row.key));
        let accounts: Vec<CountKey> = names.map(|name| keys.typed(&name)).chain(person).collect();
        self.counts.forget(&accounts).await
    }

    /// The answer to a try that was refused; the same whoever the account is of, if anybody's.
    pub(super) fn limited(&self, limited: Limited, asked: &Asked) -> Page {
        self.pages.limited(limited.wait, asked)
    }

    /// The browser, when somebody signed in to one of the accounts in it.
    fn known_device(&self, headers: &HeaderMap, accounts: &[CountKey], rules: &Rules) -> Option<CountKey> {
        let keys = &self.count_keys;
        let known = self.known(headers, rules);
        let by_name = known.filter(|known| known.accounts.iter().any(|one| accounts.contains(&one.key)));
        if let Some(known) = by_name {
            return Some(keys.device(&known.device));
        }
        // A crossed person's device says whose it is by another cookie, which is as unique.
        let person = keys.person(&self.device(headers)?);
        let sealed = CookieJar::new(headers).only(&self.cookies.device)?;
        accounts.contains(&person).then(|| keys.device(sealed))
    }

    fn known(&self, headers: &HeaderMap, rules: &Rules) -> Option<Known> {
        let sealed = CookieJar::new(headers).only(&self.cookies.known)?;
        let mut known: Known = serde_json::from_slice(&self.keys.open(Purpose::Known, sealed)?).ok()?;
        let now = self.clock.now();
        known.accounts.retain(|one| now.since(one.since) < rules.session.device_lifetime);
        Some(known)
    }

    /// A `Set-Cookie` by which this browser is known for the accounts of a try that was right; `None` when it says so
    /// already, or nothing can be sealed.
    pub(super) fn remember_known(
        &self,
        headers: &HeaderMap,
        granted: &Granted,
        rules: &Rules,
    ) -> Option<HeaderValue> {
        if granted.reading == Reading::Loose {
            return None;
        }
        let (now, lifetime) = (self.clock.now(), rules.session.device_lifetime);
        let accounts = &granted.own;
        let known = self.known(headers, rules);
        let is_fresh = |key: &CountKey| {
            let found = known.iter().flat_map(|known| &known.accounts).find(|one| one.key == *key);
            found.is_some_and(|one| now.since(one.since) < lifetime / 4)
        };
        if accounts.iter().all(is_fresh) {
            return None;
        }
        let (device, before) = match known {
            Some(known) => (known.device, known.accounts),
            None => (random_token().ok()?, Vec::new()),
        };
        let new = accounts.iter().map(|key| KnownAccount { key: *key, since: now });
        let others = before.into_iter().filter(|one| !accounts.contains(&one.key));
        let known = Known { device, accounts: new.chain(others).take(KNOWN_ACCOUNTS).collect() };
        let sealed = self.keys.seal(Purpose::Known, &serde_json::to_vec(&known).ok()?).ok()?;
        self.cookies.set(&self.cookies.known, &sealed, Some(lifetime))
    }
}

/// What an outcome without the application says of the password; `None` where the application may still be asked.
pub(super) fn tried_by(outcome: &Outcome) -> Option<Tried> {
    match outcome {
        Outcome::HandOver(over) if over.basis == Basis::Proof => Some(Tried::Right),
        // Nobody judged it, or it was right: whoever tries again while a store is in trouble uses up nothing. Nothing is
        // forgiven either: without the record nobody knows that the password was that name's.
        Outcome::Closed(Closed::Store | Closed::Legacy { counted: Counted::No, .. }) => Some(Tried::Unasked),
        Outcome::Rejected(_) | Outcome::Closed(Closed::Legacy { counted: Counted::Yes, .. }) => {
            Some(Tried::Wrong)
        }
        Outcome::Closed(Closed::Legacy { counted: Counted::Perhaps, .. }) => Some(Tried::Unanswered),
        // Not before the hand-over stands: where it cannot be begun, the application is asked.
        Outcome::HandOver(_) | Outcome::Forward(_) | Outcome::AskUpstream => None,
    }
}

/// What the application's answer to a forwarded sign-in says of the password. That it takes nobody now is no word on it;
/// any other error may come after its judgement, since what it chokes on is in the form.
pub(super) fn tried_by_application(said_yes: bool, status: StatusCode) -> Tried {
    match (said_yes, status) {
        (true, _) => Tried::Right,
        (false, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) => Tried::Unasked,
        (false, status) if status.is_server_error() => Tried::Unanswered,
        (false, _) => Tried::Wrong,
    }
}

/// What it says of the password that no answer came from the application.
pub(super) fn tried_in_vain(error: &ForwardError) -> Tried {
    match error.kind() {
        Some(FailureKind::Connect | FailureKind::Tls) => Tried::Unasked,
        Some(FailureKind::Timeout | FailureKind::Broken) | None => Tried::Unanswered,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guess_is_free_only_where_nobody_counted_it() {
        let closed = |counted| tried_by(&Outcome::Closed(Closed::Legacy { retry_after: None, counted }));
        assert_eq!(closed(Counted::No), Some(Tried::Unasked));
        assert_eq!(closed(Counted::Perhaps), Some(Tried::Unanswered));
        assert_eq!(closed(Counted::Yes), Some(Tried::Wrong), "one store said no, another was away");
    }

    #[test]
    fn an_application_that_takes_nobody_says_nothing_of_the_password() {
        let status = |status| tried_by_application(false, StatusCode::from_u16(status).unwrap());
        assert_eq!([429, 503].map(status), [Tried::Unasked; 2]);
        assert_eq!(
            [500, 502, 504].map(status),
            [Tried::Unanswered; 3],
            "the form may have been judged before"
        );
        assert_eq!([200, 302, 401].map(status), [Tried::Wrong; 3]);
        assert_eq!(tried_in_vain(&ForwardError::ConnectTimeout), Tried::Unasked);
        assert_eq!(tried_in_vain(&ForwardError::FirstByteTimeout), Tried::Unanswered);
    }
}
