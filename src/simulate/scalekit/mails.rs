//! Mails: none leaves the process; each can be read at the side door.

use std::collections::VecDeque;

use serde::Serialize;

use crate::clock::Timestamp;

/// Older mails are forgotten, so that a long load test does not fill the memory.
const MOST_MAILS: usize = 20_000;

/// What a mail is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Invitation,
    SignInCode,
}

/// One mail. It holds a code that signs somebody in, hence no `Debug`.
#[derive(Clone, Serialize)]
pub(super) struct Mail {
    #[serde(serialize_with = "as_text")]
    pub(super) at: Timestamp,
    pub(super) to: String,
    pub(super) kind: Kind,
    pub(super) code: Option<String>,
    /// A path on this server; the side door puts the origin in front.
    pub(super) link: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn as_text<S: serde::Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(at)
}

/// All mails, newest last.
#[derive(Default)]
pub(super) struct Mails(VecDeque<Mail>);

impl Mails {
    pub(super) fn send(&mut self, mail: Mail) {
        if self.0.len() >= MOST_MAILS {
            self.0.pop_front();
        }
        self.0.push_back(mail);
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Mail> {
        self.0.iter()
    }

    /// How many codes went to this address within the minute before `now`.
    pub(super) fn codes_last_minute(&self, to: &str, now: Timestamp) -> usize {
        let recent = |mail: &&Mail| now.since(mail.at).as_secs() < 60;
        let same = |mail: &&Mail| mail.kind == Kind::SignInCode && mail.to.eq_ignore_ascii_case(to);
        self.0.iter().rev().take_while(recent).filter(same).count()
    }
}
