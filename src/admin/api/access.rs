//! Who calls: bearer tokens and what their holders may do.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use axum::http::{HeaderMap, header};
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};

use super::Caller;
use crate::config::AdminToken;

/// A longer one is nobody's; the head of a request is limited anyway.
const LONGEST_TOKEN: usize = 8 * 1024;

type Digest = [u8; 32];

fn digest_of(token: &str) -> Digest {
    let mut bytes = Digest::default();
    for (to, from) in bytes.iter_mut().zip(digest(&SHA256, token.as_bytes()).as_ref()) {
        *to = *from;
    }
    bytes
}

/// The tokens in force, as digests: nothing here gives a token back, and all are equally long.
pub(super) struct Tokens(Vec<(Digest, Caller)>);

impl Tokens {
    pub(super) fn of(tokens: &[AdminToken]) -> Self {
        let entry = |token: &AdminToken| {
            let caller = Caller { name: Arc::from(token.name.as_str()), role: token.role };
            (digest_of(token.token.expose()), caller)
        };
        Self(tokens.iter().map(entry).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whose token it is. Every token is compared, whole and in the same time, whichever fits (SEC-24).
    pub(super) fn caller(&self, token: &str) -> Option<Caller> {
        let shown = digest_of(token);
        let (mut place, mut found) = (0_u32, Choice::from(0));
        for (number, (known, _)) in (0_u32..).zip(&self.0) {
            let fits = known.as_slice().ct_eq(&shown);
            place.conditional_assign(&number, fits);
            found |= fits;
        }
        let entry = self.0.get(usize::try_from(place).ok()?);
        entry.filter(|_| bool::from(found)).map(|(_, caller)| caller.clone())
    }
}

/// What a request shows of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown<'a> {
    Token(&'a str),
    /// Nothing, something else than one bearer token, or more than one: never a guess at a token.
    Nothing,
}

impl<'a> Shown<'a> {
    pub(super) fn of(headers: &'a HeaderMap) -> Self {
        let mut lines = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(line), None) = (lines.next(), lines.next()) else { return Self::Nothing };
        let Some((scheme, token)) = line.to_str().ok().and_then(|line| line.split_once(' ')) else {
            return Self::Nothing;
        };
        let token = token.trim_matches(' ');
        let fits = scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && token.len() <= LONGEST_TOKEN;
        if fits { Self::Token(token) } else { Self::Nothing }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;
    use crate::{config::AdminRole, identity::Secret};

    fn tokens() -> Tokens {
        let token = |name: &str, role, token: &str| AdminToken {
            name: name.into(),
            role,
            token: Secret::new(token.into()),
        };
        Tokens::of(&[
            token("one", AdminRole::Viewer, "first-token-of-at-least-32-bytes!"),
            token("two", AdminRole::Operator, "second-token-of-at-least-32-bytes"),
        ])
    }

    #[test]
    fn a_token_names_its_holder_and_nothing_like_it_does() {
        let tokens = tokens();
        let named = |token: &str| tokens.caller(token).map(|caller| (caller.name.to_string(), caller.role));
        assert_eq!(named("first-token-of-at-least-32-bytes!"), Some(("one".into(), AdminRole::Viewer)));
        assert_eq!(named("second-token-of-at-least-32-bytes"), Some(("two".into(), AdminRole::Operator)));
        for wrong in
            ["", "first-token-of-at-least-32-bytes", "FIRST-token-of-at-least-32-bytes!", "one", "\u{0}"]
        {
            assert_eq!(named(wrong), None, "{wrong}");
        }
        assert!(Tokens::of(&[]).caller("").is_none());
    }

    #[test]
    fn only_one_bearer_line_is_a_token() {
        let shown = |lines: &[&'static str]| {
            let mut headers = HeaderMap::new();
            headers.append(header::COOKIE, HeaderValue::from_static("authorization=Bearer abc; token=abc"));
            for line in lines {
                headers.append(header::AUTHORIZATION, HeaderValue::from_static(line));
            }
            match Shown::of(&headers) {
                Shown::Token(token) => Some(token.to_owned()),
                Shown::Nothing => None,
            }
        };
        for right in ["Bearer abc", "bearer abc", "BEARER  abc "] {
            assert_eq!(shown(&[right]).as_deref(), Some("abc"), "{right}");
        }
        for wrong in [
            &[][..],
            &["abc"],
            &["Basic abc"],
            &["Bearer"],
            &["Bearer "],
            &["Bearer abc", "Bearer abc"],
            &["Bearer abc", "Basic abc"],
        ] {
            assert_eq!(shown(wrong), None, "{wrong:?}");
        }
    }
}
