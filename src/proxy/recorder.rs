//! What the data plane puts on record: one place between facts and logs, metrics, audit events (SEC-51).

use std::{net::IpAddr, time::Duration};

use super::hand_over::CannotBegin;
use crate::{
    config::SignInRoute,
    identity::{LoginName, Subject, SubjectKey},
    login::{Decided, LedgerError, Limited, Outcome, Refused, Rejected, Row, Settled, WhyForward},
    pages::Asked,
    rollout::Lane,
    session::{Session, Whose},
    telemetry::{Audit, Metrics, SignInEnd, with_causes},
};

/// Records what happened at the gate.
#[derive(Clone, Debug)]
pub(crate) struct Recorder {
    pub(crate) audit: Audit,
    pub(crate) metrics: Metrics,
    pub(crate) subjects: SubjectKey,
}

impl Recorder {
    /// The name in logs of a person by a row: their e-mail's, else that of their key.
    pub(crate) fn subject_of(&self, row: &Row) -> Subject {
        match row.name() {
            Some(name) => self.subjects.subject(name.canonical()),
            None => self.subjects.subject(&row.key.to_string()),
        }
    }

    /// As [`Self::subject_of`], of whoever has this name and may have no row.
    pub(crate) fn subject_of_named(&self, name: &LoginName, row: Option<&Row>) -> Subject {
        row.map_or_else(|| self.subjects.subject(name.canonical()), |row| self.subject_of(row))
    }

    /// A sign-in took a lane.
    pub(super) fn decided(&self, route: &SignInRoute, decided: &Decided, client: IpAddr) {
        let subject = self.subjects.subject(decided.name.canonical());
        self.audit.sign_in_decided(&subject, &route.name, decided.decision, client);
    }

    /// A sign-in is over for us: the application answered, or we did.
    pub(super) fn ended(&self, route: &SignInRoute, decided: &Decided, end: End, client: IpAddr) {
        let subject = self.subjects.subject(decided.name.canonical());
        self.audit.sign_in_ended(&SignInEnd {
            subject: Some(&subject),
            route: &route.name,
            decision: decided.decision,
            outcome: end.outcome,
            class: end.class,
            client,
        });
        self.metrics.sign_in_ended(&route.name, decided.decision, end.outcome);
    }

    /// A try was refused by a limit; `route` is a configured name or a word of ours.
    pub(super) fn limited(&self, route: &str, name: Option<&LoginName>, limited: Limited, client: IpAddr) {
        let subject = name.map(|name| self.subjects.subject(name.canonical()));
        let limit = limited.by.as_str();
        self.audit.sign_in_limited(subject.as_ref(), route, limit, limited.wait, client);
        self.metrics.sign_in_limited(limit);
    }

    /// What a finished try changed for those that follow.
    pub(super) fn settled(
        &self,
        route: &str,
        name: Option<&LoginName>,
        settled: Settled,
        known_device: bool,
        client: IpAddr,
    ) {
        if settled.locked_out {
            let subject = name.map(|name| self.subjects.subject(name.canonical()));
            self.audit.lockout(subject.as_ref(), route, known_device, client);
        }
        if let Some(is_storm) = settled.storm {
            self.audit.storm_changed(is_storm);
            self.metrics.storm_changed(is_storm);
        }
    }

    /// A request at a sign-in route whose credential cannot prove anything.
    pub(super) fn no_proof(route: &SignInRoute, why: &'static str, asked: &Asked) {
        tracing::info!(
            login.route = %route.name,
            login.class = why,
            request.id = %asked.id,
            "a request at a sign-in route proves nothing and is forwarded as it came"
        );
    }

    pub(super) fn ledger_unavailable(error: &LedgerError) {
        tracing::error!(error = %with_causes(error), "the ledger cannot be asked");
    }

    pub(super) fn cannot_begin(error: &CannotBegin) {
        tracing::error!(error = %with_causes(error), "a person could not be handed over and goes to the application");
    }

    pub(super) fn callback_refused(&self, why: Refused, client: IpAddr) {
        self.audit.callback_refused(why.as_str(), client);
    }

    /// A return from Scalekit that names nobody; `why` is a fixed word.
    pub(super) fn callback_broken(&self, why: &'static str, client: IpAddr) {
        self.audit.callback_refused(why, client);
    }

    pub(super) fn force_token_used(&self, lane: Lane, client: IpAddr) {
        self.audit.force_token_used(lane, client);
    }

    pub(super) fn session_begun(&self, row: &Row, client: IpAddr) {
        self.audit.session_begun(&self.subject_of(row), client);
        self.metrics.session_begun();
    }

    pub(super) fn session_ended(&self, session: &Session, why: &'static str) {
        self.audit.session_ended(&self.subject_of_session(session), why);
        self.metrics.session_ended(why);
        match why {
            "refresh_lost" => tracing::warn!(
                "a refresh was sent whose answer was never stored, and its token is now refused: the session ended"
            ),
            "refresh_of_another" => tracing::error!("a refresh brought tokens of another person or issuer"),
            _ => {}
        }
    }

    /// All sessions of one person, or of everybody, were ended.
    pub(super) fn sessions_revoked(&self, whose: Option<&Whose>, count: usize, why: &'static str) {
        let subject = whose.map(|whose| match whose {
            Whose::User(user) => self.subjects.subject(&user.0),
            Whose::Person(key) => self.subjects.subject(&key.to_string()),
        });
        self.audit.sessions_revoked(subject.as_ref(), count, why);
        self.metrics.sessions_ended(why, count);
    }

    pub(super) fn session_refreshed(&self, session: &Session, is_changed: bool) {
        self.metrics.session_refreshed("renewed");
        if is_changed {
            let subject = self.subject_of_session(session);
            tracing::info!(login.subject = %subject, "a refresh changed what the application is told of a person");
        }
    }

    pub(super) fn session_not_refreshed(&self, problem: &str, again_in: Duration) {
        self.metrics.session_refreshed("kept");
        tracing::warn!(
            session.problem = problem,
            session.again_in_seconds = again_in.as_secs(),
            "a session could not be refreshed; it lives on and is tried again"
        );
    }

    fn subject_of_session(&self, session: &Session) -> Subject {
        let name = session.facts.email.clone().unwrap_or_else(|| session.key.to_string());
        self.subjects.subject(&name)
    }
}

/// How a sign-in ended, in fixed words.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    outcome: &'static str,
    class: Option<&'static str>,
}

impl End {
    /// The application said no, or said yes where nothing was left to do.
    pub(super) const fn application(said_yes: bool) -> Self {
        Self { outcome: if said_yes { "application_yes" } else { "application_no" }, class: None }
    }

    pub(super) fn of(outcome: &Outcome) -> Self {
        let class = match outcome {
            Outcome::HandOver(over) => Some(if over.migrated_now { "migrated_now" } else { "known" }),
            Outcome::Forward(WhyForward::Ineligible(why)) => Some(why.as_str()),
            Outcome::Forward(WhyForward::Conflict(why)) => Some(why.as_str()),
            Outcome::Forward(WhyForward::StayOnLegacy(why)) => Some(why.as_str()),
            Outcome::Rejected(Rejected { why, .. }) => Some(why.as_str()),
            Outcome::Forward(
                WhyForward::LaneLegacy | WhyForward::Shadow | WhyForward::Later | WhyForward::StoreInDoubt,
            )
            | Outcome::AskUpstream
            | Outcome::Closed(_) => None,
        };
        Self { outcome: outcome.as_str(), class }
    }
}
