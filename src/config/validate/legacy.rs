//! Section `legacy`: the chain as a whole. One source is checked in `source`.

use super::{Check, network::cores};
use crate::{
    config::{
        HashCeilings, Legacy, MfaDeclaration, Source, SourceKind,
        problem::At,
        raw::{self, Size},
    },
    identity::{ExternalIdTemplate, SourceName},
};

/// A name that stands for the people no source knows.
const RESERVED_NAME: &str = "born-new";

impl Check<'_> {
    /// `None` when a source is not in order.
    pub(super) fn legacy(&mut self, raw: raw::Legacy, sign_in: Option<&raw::SignIn>) -> Option<Legacy> {
        let at = At::section("legacy");
        let raw_sources = raw.sources.unwrap_or_default();
        self.source_names = raw_sources.iter().filter_map(|source| source.name.clone()).collect();
        let who_am_i = sign_in.and_then(|sign_in| sign_in.who_am_i.as_ref());
        let count = raw_sources.len();
        let mut sources: Vec<Source> = Vec::new();
        for (n, source) in raw_sources.into_iter().enumerate() {
            let at = at.key("sources").index(n);
            let names = |who: &&raw::WhoAmI| who.source.is_some() && who.source == source.name;
            let who_am_i = who_am_i.filter(names).cloned();
            if let Some(source) = self.source(&at, source, count, who_am_i.as_ref()) {
                self.against(&at, &source, &sources);
                self.what_keeps_people(&at, &source, who_am_i.as_ref());
                sources.push(source);
            }
        }
        self.who_is_never_asked(&at.key("sources"), &sources);
        if count == 0 {
            self.warn(&at.key("sources"), "is empty: nobody can be proven, so nobody moves");
        }
        let hash_threads = self.count(&at.key("hash_threads"), raw.hash_threads, cores(), 1024);
        let hash_queue = self.count(&at.key("hash_queue"), raw.hash_queue, 64, 100_000);
        let hash_ceilings =
            self.hash_ceilings(&at.key("hash_ceilings"), &raw.hash_ceilings.unwrap_or_default());
        (sources.len() == count).then_some(Legacy { sources, hash_threads, hash_queue, hash_ceilings })
    }

    pub(super) fn source_name(&mut self, at: &At, text: &str) -> Option<SourceName> {
        let name = SourceName::parse(text);
        if name.is_none() {
            self.problem(
                at,
                "must be 1 to 32 small letters, digits, - or _, and begin with a letter or digit",
            );
        }
        if text == RESERVED_NAME {
            self.problem(at, "is reserved for people no source knows: choose another name");
            return None;
        }
        name
    }

    /// What two sources may not share.
    fn against(&mut self, at: &At, source: &Source, before: &[Source]) {
        if before.iter().any(|other| other.name == source.name) {
            self.problem(&at.key("name"), "names another source already: choose another name");
            return;
        }
        let upstream = |source: &Source| matches!(source.kind, SourceKind::Upstream);
        if upstream(source) && before.iter().any(upstream) {
            self.problem(&at.key("upstream"), "is there twice: there is one application");
        }
        if before.iter().any(|other| may_collide(source, other)) {
            self.problem(
                &at.key("external_id"),
                "two sources could write the same external id for two people: use {source}:{id} for both",
            );
        }
    }

    /// Says which sources keep those behind them from being asked: ones that see a password before it is known whether
    /// they have the name, as their *no* is the last word (SEC-42).
    fn who_is_never_asked(&mut self, at: &At, sources: &[Source]) {
        for (n, source) in sources.iter().enumerate().filter(|(_, source)| source.kind.tries_unknown_names())
        {
            let mut behind = sources.iter().skip(n + 1);
            if let Some(other) = behind.find(|other| serve_one_name(source, other)) {
                self.warn(
                    &at.index(n),
                    format!(
                        "cannot be asked for a name before a password is tried, and stands before {}: whoever it does \
                         not know is refused here and never gets there; set http.find, put it last, or give it domains",
                        other.name
                    ),
                );
            }
        }
    }

    /// Says why nobody, or nobody for good, can move from a source that is otherwise in order.
    fn what_keeps_people(&mut self, at: &At, source: &Source, who_am_i: Option<&raw::WhoAmI>) {
        let verified = match &source.kind {
            SourceKind::Okta(okta) => okta.email_verified_attribute.is_some(),
            SourceKind::Stormpath(_) => true,
            SourceKind::Http(http) => http.fields.email_verified.is_some(),
            SourceKind::HashFile(file) => file.columns.email_verified.is_some(),
            SourceKind::Sql(sql) => sql.columns.email_verified.is_some(),
            SourceKind::Upstream => who_am_i.is_some_and(|who| who.email_verified.is_some()),
        };
        if !verified && source.assume_verified.is_none() {
            self.warn(
                at,
                "nobody from this source can migrate: it has no verified flag and assume_verified is not set",
            );
        }
        if !source.kind.finds_addresses() && source.assume_stranger.is_none() {
            self.warn(
                at,
                "cannot be asked who has an address: whoever comes by the mailbox sign-in and is found nowhere is refused, \
                 also people who are new, since a legacy person would become a stranger for good (see assume_stranger)",
            );
        }
        if matches!(source.mfa, MfaDeclaration::Unknown { accepted_by: None }) {
            self.warn(
                &at.key("mfa"),
                "nobody from this source can migrate: it is unknown who has a second factor, and nobody accepted \
                 that (see unknown_accepted_by)",
            );
        }
        if matches!(source.kind, SourceKind::Upstream) && who_am_i.is_none() {
            self.warn(
                at,
                "gives a weak proof only: without sign_in.who_am_i for this source nobody is named, and an existing \
                 Scalekit user is never linked",
            );
        }
    }

    fn hash_ceilings(&mut self, at: &At, raw: &raw::HashCeilings) -> HashCeilings {
        let default = HashCeilings::default();
        let number = |check: &mut Self, key: &str, value: Option<u32>, default: u32, most: u32| {
            let number = value.unwrap_or(default);
            if number == 0 || number > most {
                check.problem(&at.key(key), format!("must be between 1 and {most}"));
            }
            number
        };
        let memory = |check: &mut Self, key: &str, value: Option<Size>, default: u64| {
            let bytes = value.map_or(default, |size| size.0);
            if !(1 << 10..=4 << 30).contains(&bytes) {
                check.problem(&at.key(key), "must be between 1KiB and 4GiB");
            }
            bytes
        };
        HashCeilings {
            bcrypt_cost: number(self, "bcrypt_cost", raw.bcrypt_cost, default.bcrypt_cost, 31),
            scrypt_memory_bytes: memory(
                self,
                "scrypt_memory_bytes",
                raw.scrypt_memory_bytes,
                default.scrypt_memory_bytes,
            ),
            argon2_memory_bytes: memory(
                self,
                "argon2_memory_bytes",
                raw.argon2_memory_bytes,
                default.argon2_memory_bytes,
            ),
            argon2_passes: number(self, "argon2_passes", raw.argon2_passes, default.argon2_passes, 1000),
            pbkdf2_iterations: number(
                self,
                "pbkdf2_iterations",
                raw.pbkdf2_iterations,
                default.pbkdf2_iterations,
                100_000_000,
            ),
            sha_crypt_rounds: number(
                self,
                "sha_crypt_rounds",
                raw.sha_crypt_rounds,
                default.sha_crypt_rounds,
                999_999_999,
            ),
            phpass_count_log2: number(
                self,
                "phpass_count_log2",
                raw.phpass_count_log2,
                default.phpass_count_log2,
                30,
            ),
            yescrypt_memory_bytes: memory(
                self,
                "yescrypt_memory_bytes",
                raw.yescrypt_memory_bytes,
                default.yescrypt_memory_bytes,
            ),
            digest_iterations: number(
                self,
                "digest_iterations",
                raw.digest_iterations,
                default.digest_iterations,
                100_000_000,
            ),
        }
    }
}

/// Whether there is a name that both are asked for: one with domains of its own keeps only those from the other.
fn serve_one_name(one: &Source, other: &Source) -> bool {
    one.domains.is_empty() || one.domains.iter().any(|domain| other.domains.contains(domain))
}

/// Whether two ids exist that make two sources write the same external id.
///
/// An id is any text, so what is fixed around it decides: one text begins with both fronts only if one front begins
/// with the other, and the same holds for the ends.
fn may_collide(one: &Source, other: &Source) -> bool {
    let around = |source: &Source| {
        let template: &ExternalIdTemplate = &source.external_id;
        let text = template.as_str().replacen("{source}", source.name.as_str(), 1);
        text.split_once("{id}").map(|(front, end)| (front.to_owned(), end.to_owned())).unwrap_or_default()
    };
    let ((front, end), (other_front, other_end)) = (around(one), around(other));
    let fronts = front.starts_with(&other_front) || other_front.starts_with(&front);
    let ends = end.ends_with(&other_end) || other_end.ends_with(&end);
    fronts && ends
}
