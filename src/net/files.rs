//! How many files the process may have open: every connection is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the process's own limit as far as the system allows, and says so where that is less than `needed`.
///
/// Systems start programs with a low limit (often 1024) below a high one, for the sake of programs that cannot count
/// further; this one can.
pub(crate) fn allow_open_files(needed: u64) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // `None` is no limit.
    if current.is_some_and(|now| maximum.is_none_or(|most| now < most)) {
        let wanted = maximum.or(current.map(|now| now.max(needed)));
        if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: wanted, maximum }) {
            tracing::warn!(%error, "the limit of open files cannot be raised");
        }
    }
    let allowed = getrlimit(Resource::Nofile).current;
    if let Some(allowed) = allowed.filter(|allowed| *allowed < needed) {
        tracing::warn!(
            files.allowed = allowed,
            files.needed = needed,
            "fewer files may be open than the configured connections need: raise the limit (ulimit -Hn, LimitNOFILE= \
             of systemd) or lower public.limits.connections"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_as_far_as_it_goes() {
        allow_open_files(10_000);
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        assert!(maximum.is_none() || current == maximum, "{current:?} of {maximum:?}");
    }
}
