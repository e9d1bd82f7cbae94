//! Audit events: what must always be on record (SEC-51), one function an event.
//!
//! Classes are fixed words, people are subjects, names are configured ones. Nothing typed or received gets in.

use std::{net::IpAddr, time::Duration};

use tracing::{info, warn};

use super::{AddressPolicy, lane_name, logs::AUDIT};
use crate::{
    identity::{SourceName, Subject},
    rollout::{Decision, Dial, Lane, RollbackMode},
};

/// Writes audit events.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Audit {
    addresses: AddressPolicy,
}

/// How one sign-in ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SignInEnd<'a> {
    /// `None` where no name could be read from the request.
    pub(crate) subject: Option<&'a Subject>,
    /// The configured name of the sign-in route.
    pub(crate) route: &'a str,
    pub(crate) decision: Decision,
    /// `handed_over`, `forwarded`, `rejected`, `closed`, …
    pub(crate) outcome: &'static str,
    /// Why, where the outcome has several causes: `wrong_password`, `mfa`, …
    pub(crate) class: Option<&'static str>,
    pub(crate) client: IpAddr,
}

/// What is known of a turn of the dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turned {
    Made,
    /// The store's answer was lost: it may count everywhere, or nowhere.
    Unknown,
    /// It was unknown, and the store has it.
    Confirmed,
    /// It was unknown, and the store does not have it.
    NotMade,
}

/// Whom a turn of the dial is about, where it is about one person, and where they were put by name before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) subject: Subject,
    pub(crate) old: Option<Lane>,
    pub(crate) new: Option<Lane>,
}

/// What is known of an operator's change of one person, or of everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Changed {
    Made,
    /// It was so before.
    Already,
    /// The store's answer was lost: it may be so now, or not.
    Unknown,
}

#[expect(clippy::unused_self, reason = "one value is the one door: whoever holds it may write events")]
impl Audit {
    pub(crate) fn new(addresses: AddressPolicy) -> Self {
        Self { addresses }
    }

    /// A sign-in takes a lane.
    pub(crate) fn sign_in_decided(self, subject: &Subject, route: &str, decision: Decision, client: IpAddr) {
        info!(
            target: AUDIT,
            event = "sign_in_decided",
            login.subject = %subject,
            login.route = route,
            login.lane = lane_name(decision.lane),
            login.reason = decision.reason.as_str(),
            client.address = self.addresses.show(client),
            "sign-in takes the {} lane", lane_name(decision.lane),
        );
    }

    /// A sign-in is over for us.
    pub(crate) fn sign_in_ended(self, end: &SignInEnd<'_>) {
        info!(
            target: AUDIT,
            event = "sign_in_ended",
            login.subject = end.subject.map(tracing::field::display),
            login.route = end.route,
            login.lane = lane_name(end.decision.lane),
            login.reason = end.decision.reason.as_str(),
            login.outcome = end.outcome,
            login.class = end.class,
            client.address = self.addresses.show(end.client),
            "sign-in ended: {}", end.outcome,
        );
    }

    /// A sign-in was refused for being one too many; `limit` says which kind. No `subject` where no name could be
    /// read, and no `route` of the application where it was one of ours.
    pub(crate) fn sign_in_limited(
        self,
        subject: Option<&Subject>,
        route: &str,
        limit: &'static str,
        wait: Duration,
        client: IpAddr,
    ) {
        info!(
            target: AUDIT,
            event = "sign_in_limited",
            login.subject = subject.map(tracing::field::display),
            login.route = route,
            login.limit = limit,
            login.wait_seconds = wait.as_secs(),
            client.address = self.addresses.show(client),
            "sign-in refused by the limit per {limit}",
        );
    }

    /// An account has had so many failures that sign-ins have to wait, in one known browser or in all others.
    pub(crate) fn lockout(self, subject: Option<&Subject>, route: &str, known_device: bool, client: IpAddr) {
        warn!(
            target: AUDIT,
            event = "lockout",
            login.subject = subject.map(tracing::field::display),
            login.route = route,
            login.known_device = known_device,
            client.address = self.addresses.show(client),
            "sign-ins of an account have to wait",
        );
    }

    /// Many sign-ins fail and few succeed, over all accounts; or that is over.
    pub(crate) fn storm_changed(self, is_storm: bool) {
        let state = if is_storm { "begun" } else { "over" };
        warn!(target: AUDIT, event = "guessing_storm", guessing.storm = state, "a storm of failing sign-ins is {state}");
    }

    /// A row went from one ledger state to another, and that is stored.
    pub(crate) fn migration_moved(
        self,
        subject: &Subject,
        source: &SourceName,
        before: &'static str,
        after: &'static str,
    ) {
        info!(
            target: AUDIT,
            event = "migration_moved",
            login.subject = %subject,
            legacy.store = %source,
            migration.before = before,
            migration.after = after,
            "migration went from {before} to {after}",
        );
    }

    /// A person cannot be created or linked until somebody looks at it.
    pub(crate) fn conflict(self, subject: &Subject, source: &SourceName, why: &'static str) {
        warn!(
            target: AUDIT,
            event = "conflict",
            login.subject = %subject,
            legacy.store = %source,
            migration.why = why,
            "person set aside: {why}",
        );
    }

    /// A person may not be created as they are.
    pub(crate) fn ineligible(self, subject: &Subject, source: &SourceName, why: &'static str) {
        info!(
            target: AUDIT,
            event = "ineligible",
            login.subject = %subject,
            legacy.store = %source,
            migration.why = why,
            "person not migrated: {why}",
        );
    }

    /// A person crosses for the first time, and the legacy side could not be asked whether it would still let them in.
    pub(crate) fn crossed_unasked(self, subject: &Subject, source: &SourceName, why: &'static str) {
        warn!(
            target: AUDIT,
            event = "crossed_unasked",
            login.subject = %subject,
            legacy.store = %source,
            migration.why = why,
            "person crosses, and legacy could not be asked about them: {why}",
        );
    }

    /// Somebody whom no legacy store knows came from Scalekit and got a row.
    pub(crate) fn born_new(self, subject: &Subject) {
        info!(target: AUDIT, event = "born_new", login.subject = %subject, "person began at Scalekit");
    }

    /// The dial was turned. `who` is an operator, `configuration` or `flagd`.
    pub(crate) fn rollout_changed(self, who: &str, old: &Dial, new: &Dial) {
        self.rollout_turned(who, old, new, None, Turned::Made);
    }

    /// What is known of a turn of the dial, by an operator's token of this name. Rules name people and are counted
    /// only.
    pub(crate) fn rollout_turned(
        self,
        who: &str,
        old: &Dial,
        new: &Dial,
        named: Option<&Named>,
        turned: Turned,
    ) {
        let (event, outcome, so) = match turned {
            Turned::Made => ("rollout_changed", "made", "changed"),
            Turned::Confirmed => ("rollout_changed", "confirmed", "changed, as is known now,"),
            Turned::Unknown => ("rollout_unsettled", "unknown", "may have changed"),
            Turned::NotMade => ("rollout_unsettled", "not_made", "did not change after all"),
        };
        info!(
            target: AUDIT,
            event = event,
            rollout.who = who,
            rollout.outcome = outcome,
            login.subject = named.map(|named| tracing::field::display(&named.subject)),
            rollout.person.old = named.map(|named| rule_name(named.old)),
            rollout.person.new = named.map(|named| rule_name(named.new)),
            rollout.cutover.old = %old.cutover,
            rollout.cutover.new = %new.cutover,
            rollout.migrate.old = %old.migrate(),
            rollout.migrate.new = %new.migrate(),
            rollout.rollback.old = rollback_name(old.rollback),
            rollout.rollback.new = rollback_name(new.rollback),
            rollout.paused.old = old.paused,
            rollout.paused.new = new.paused,
            rollout.rules.old = old.rules.deny.len() + old.rules.allow.len(),
            rollout.rules.new = new.rules.deny.len() + new.rules.allow.len(),
            rollout.rules.changed = old.rules != new.rules,
            "rollout {so} from {} to {}{}", old.cutover, new.cutover, if new.paused { ", paused" } else { "" },
        );
    }

    /// A request was refused before it reached anybody; one that could not be parsed has no id.
    pub(crate) fn request_refused(self, problem: &'static str, id: Option<&str>, client: IpAddr) {
        info!(
            target: AUDIT,
            event = "request_refused",
            request.problem = problem,
            request.id = id,
            client.address = self.addresses.show(client),
            "request refused: {problem}",
        );
    }

    /// A dependency stopped or began to answer. `dependency` is a fixed or configured name.
    pub(crate) fn dependency_changed(self, dependency: &str, before: &'static str, after: &'static str) {
        warn!(
            target: AUDIT,
            event = "dependency_changed",
            dependency.name = dependency,
            dependency.before = before,
            dependency.after = after,
            "dependency {dependency} went from {before} to {after}",
        );
    }

    /// A session of the new side began.
    pub(crate) fn session_begun(self, subject: &Subject, client: IpAddr) {
        info!(
            target: AUDIT,
            event = "session_begun",
            login.subject = %subject,
            client.address = self.addresses.show(client),
            "session begun",
        );
    }

    /// A session ended; `why` is `idle`, `absolute`, `signed_out`, `revoked`, …
    pub(crate) fn session_ended(self, subject: &Subject, why: &'static str) {
        info!(
            target: AUDIT,
            event = "session_ended",
            login.subject = %subject,
            session.why = why,
            "session ended: {why}",
        );
    }

    /// All sessions of one person, or without a subject those of everybody, were ended.
    pub(crate) fn sessions_revoked(self, subject: Option<&Subject>, count: usize, why: &'static str) {
        info!(
            target: AUDIT,
            event = "sessions_revoked",
            login.subject = subject.map(tracing::field::display),
            session.count = count,
            session.why = why,
            "sessions revoked: {why}",
        );
    }

    /// Scalekit sent somebody back and no session was opened.
    pub(crate) fn callback_refused(self, why: &'static str, client: IpAddr) {
        warn!(
            target: AUDIT,
            event = "callback_refused",
            login.class = why,
            client.address = self.addresses.show(client),
            "return from scalekit refused: {why}",
        );
    }

    /// A browser asked for a lane with a valid force token.
    pub(crate) fn force_token_used(self, lane: Lane, client: IpAddr) {
        info!(
            target: AUDIT,
            event = "force_token_used",
            login.lane = lane_name(lane),
            client.address = self.addresses.show(client),
            "force token used for the {} lane", lane_name(lane),
        );
    }

    /// The store may have lost people: nobody is created until an operator confirms it. Without a reason it is believed
    /// again.
    pub(crate) fn store_doubted(self, why: Option<&'static str>) {
        if let Some(why) = why {
            warn!(
                target: AUDIT,
                event = "store_doubted",
                store.doubt = why,
                "the store is in doubt ({why}): people are linked but not created until an operator confirms it \
                 (POST /api/v1/store/confirm at the admin listener)",
            );
        } else {
            info!(target: AUDIT, event = "store_believed", "the store is believed to have everybody");
        }
    }

    /// Tombstones that the store had lost were written back.
    pub(crate) fn removed_again(self, people: usize) {
        warn!(target: AUDIT, event = "removed_again", store.people = people, "lost tombstones written back");
    }

    /// An operator took the store as it is, for a reason of their own words.
    pub(crate) fn store_confirmed(self, who: &str, reason: Option<&str>) {
        warn!(
            target: AUDIT,
            event = "store_confirmed",
            store.who = who,
            store.reason = reason,
            "the store was confirmed by {who}",
        );
    }

    /// A call of the admin API was refused; `why` is `wrong_token`, or `limit` for the last of an address that is on
    /// record until its wait is over.
    pub(crate) fn admin_refused(self, why: &'static str, client: IpAddr) {
        warn!(
            target: AUDIT,
            event = "admin_refused",
            admin.why = why,
            client.address = self.addresses.show(client),
            "call of the admin API refused: {why}",
        );
    }

    /// Somebody changed something about one person, or without a subject about everybody; `who` is a token's name.
    pub(crate) fn admin_changed(
        self,
        who: &str,
        what: &'static str,
        subject: Option<&Subject>,
        changed: Changed,
    ) {
        let (event, is_changed, so) = match changed {
            Changed::Made => ("admin_changed", Some(true), "changed something"),
            Changed::Already => ("admin_changed", Some(false), "asked for what was so already"),
            Changed::Unknown => ("admin_unsettled", None, "may have changed something"),
        };
        info!(
            target: AUDIT,
            event = event,
            admin.who = who,
            admin.what = what,
            admin.changed = is_changed,
            login.subject = subject.map(tracing::field::display),
            "an operator {so}: {what}",
        );
    }

    /// A changed configuration is in force.
    pub(crate) fn config_reloaded(self) {
        info!(target: AUDIT, event = "config_reloaded", "configuration reloaded");
    }

    /// A changed configuration was refused and the old one stays; the reasons are logged where they were found.
    pub(crate) fn config_refused(self, problems: usize) {
        warn!(
            target: AUDIT,
            event = "config_refused",
            config.problems = problems,
            "changed configuration refused; the old one stays",
        );
    }
}

/// What a command calls it.
const fn rule_name(lane: Option<Lane>) -> &'static str {
    match lane {
        Some(Lane::New) => "pin",
        Some(Lane::Legacy) => "hold",
        None => "none",
    }
}

const fn rollback_name(mode: RollbackMode) -> &'static str {
    match mode {
        RollbackMode::Keep => "keep",
        RollbackMode::Legacy => "legacy",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        identity::SubjectKey,
        rollout::{BasisPoints, Reason, RuleSubject, Rules},
        telemetry::logs::{Format, tests::logged},
    };

    /// Every event, with canaries wherever an input could carry one.
    fn every_event(addresses: AddressPolicy) -> String {
        let audit = Audit::new(addresses);
        let subject = SubjectKey::new(b"canary-key").subject("canary@example.com");
        let source = SourceName::parse("crm").unwrap();
        let client: IpAddr = "203.0.113.77".parse().unwrap();
        let decision = Decision { lane: Lane::New, reason: Reason::WithinCutover };
        let rules = Rules { deny: vec![RuleSubject::Person("canary@example.com".into())], allow: Vec::new() };
        let old = Dial::new(BasisPoints::NONE, BasisPoints::NONE, RollbackMode::Keep, Rules::default());
        let new = Dial::new(BasisPoints::ALL, BasisPoints::ALL, RollbackMode::Legacy, rules);
        logged("off", Format::Json, || {
            audit.sign_in_decided(&subject, "form", decision, client);
            let end = SignInEnd {
                subject: Some(&subject),
                route: "form",
                decision,
                outcome: "rejected",
                class: Some("wrong_password"),
                client,
            };
            audit.sign_in_ended(&end);
            audit.sign_in_ended(&SignInEnd { subject: None, class: None, ..end });
            audit.sign_in_limited(Some(&subject), "form", "account", Duration::from_secs(30), client);
            audit.lockout(Some(&subject), "form", false, client);
            audit.storm_changed(true);
            audit.migration_moved(&subject, &source, "claimed", "created");
            audit.conflict(&subject, &source, "twins");
            audit.ineligible(&subject, &source, "mfa");
            audit.crossed_unasked(&subject, &source, "unavailable");
            audit.born_new(&subject);
            audit.rollout_changed("ops\n{\"event\":\"forged\"}", &old, &new);
            for turned in [Turned::Unknown, Turned::Confirmed, Turned::NotMade] {
                audit.rollout_turned("ops", &old, &new, None, turned);
            }
            let named = Named { subject: subject.clone(), old: None, new: Some(Lane::Legacy) };
            audit.rollout_turned("ops", &old, &new, Some(&named), Turned::Unknown);
            audit.request_refused("smuggling", Some("0123"), client);
            audit.dependency_changed("scalekit", "up", "down");
            audit.session_begun(&subject, client);
            audit.session_ended(&subject, "idle");
            audit.sessions_revoked(Some(&subject), 2, "removed");
            audit.sessions_revoked(None, 9, "everybody");
            audit.callback_refused("email_unverified", client);
            audit.force_token_used(Lane::Legacy, client);
            audit.store_doubted(Some("emptied"));
            audit.store_doubted(None);
            audit.removed_again(3);
            audit.store_confirmed("ops", Some("no backup"));
            audit.admin_refused("wrong_token", client);
            for changed in [Changed::Made, Changed::Already, Changed::Unknown] {
                audit.admin_changed("on-call", "tombstone", Some(&subject), changed);
            }
            audit.admin_changed("on-call", "end_all_sessions", None, Changed::Made);
            audit.config_reloaded();
            audit.config_refused(3);
        })
    }

    #[test]
    fn no_event_shows_a_person_or_a_whole_address() {
        let text = every_event(AddressPolicy::Network);
        assert_eq!(text.lines().count(), 35);
        assert!(!text.contains("canary") && !text.contains("203.0.113.77"), "{text}");
        assert!(!text.contains('@'), "{text}");
        assert!(text.contains("203.0.113.0/24"));
        assert!(every_event(AddressPolicy::Whole).contains("\"203.0.113.77\""));
    }

    #[test]
    fn every_event_is_an_object_that_names_itself_and_its_person() {
        let subject = SubjectKey::new(b"canary-key").subject("canary@example.com").to_string();
        assert_eq!(subject.len(), 16);
        let mut people = 0;
        for line in every_event(AddressPolicy::Network).lines() {
            let event: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(event["target"], "audit");
            assert!(event["event"].is_string() && event["time"].as_str().unwrap().ends_with('Z'), "{line}");
            people += usize::from(event["login.subject"] == subject.as_str());
        }
        assert_eq!(people, 16);
    }

    #[test]
    fn a_rollout_change_tells_who_and_what() {
        let text = every_event(AddressPolicy::Network);
        let line = text.lines().find(|line| line.contains("rollout_changed")).unwrap();
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(event["rollout.who"], "ops\n{\"event\":\"forged\"}");
        assert_eq!(event["rollout.cutover.old"], "0%");
        assert_eq!(event["rollout.cutover.new"], "100%");
        assert_eq!(event["rollout.rollback.new"], "legacy");
        assert_eq!(event["rollout.rules.new"], 1);
        let told = |event: &str, outcome: &str| {
            let both = [format!("\"event\":\"{event}\""), format!("\"rollout.outcome\":\"{outcome}\"")];
            text.lines().filter(|line| both.iter().all(|one| line.contains(one))).count()
        };
        // Whoever counts the changes counts none that was not made.
        assert_eq!(["made", "confirmed"].map(|outcome| told("rollout_changed", outcome)), [1, 1]);
        assert_eq!(["unknown", "not_made"].map(|outcome| told("rollout_unsettled", outcome)), [2, 1]);
        let named = text.lines().find(|line| line.contains("rollout.person")).unwrap();
        let named: serde_json::Value = serde_json::from_str(named).unwrap();
        assert_eq!(
            (&named["rollout.person.old"], &named["rollout.person.new"]),
            (&"none".into(), &"hold".into())
        );
    }
}
