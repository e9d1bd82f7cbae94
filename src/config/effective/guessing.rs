//! Section `guessing`, and what a source locks at.

use crate::config::{
    Guessing, Lockout, Rate,
    raw::{self, Percent, Span},
};

pub(super) fn guessing(guessing: &Guessing) -> raw::Guessing {
    let (account, storm) = (&guessing.account, &guessing.storm);
    raw::Guessing {
        account: Some(raw::AccountLimit {
            failures: Some(account.failures),
            window: Some(Span(account.window)),
            first_delay: Some(Span(account.first_delay)),
            longest_delay: Some(Span(account.longest_delay)),
        }),
        address: Some(rate(guessing.address)),
        process: Some(rate(guessing.process)),
        storm: Some(raw::Storm {
            failures: Some(storm.failures),
            share: Some(Percent(storm.share)),
            address: Some(rate(storm.address)),
        }),
        entries: u32::try_from(guessing.entries).ok(),
    }
}

pub(super) fn lockout(lockout: Option<&Lockout>) -> raw::Lockout {
    raw::Lockout {
        failures: Some(lockout.map_or(0, |lockout| lockout.failures)),
        window: lockout.map(|lockout| Span(lockout.window)),
    }
}

fn rate(rate: Rate) -> raw::Rate {
    raw::Rate { tries: Some(rate.tries), per: Some(Span(rate.per)) }
}
