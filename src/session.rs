//! The new side's session: its life, its cookie, and everything that is sealed or signed for a browser.
//!
//! Tokens and personal data stay on the server; a browser holds random names and sealed values. Session ids are
//! stored as hashes only (SEC-20), tokens are encrypted at rest (SEC-29). Start reading at [`Sessions`].

mod assertion;
mod cookie;
mod force;
mod life;
mod ports;
mod refresh;
mod renewal;
mod return_to;
mod seal;

pub(crate) use assertion::{Assertion, AssertionSigner, KEYS_KEPT_FOR, SigningKey};
pub(crate) use cookie::{CookieJar, Cookies};
pub(crate) use force::ForceTokens;
pub(crate) use life::{
    Flow, FlowSecrets, Flows, Found, Opening, Session, SessionError, SessionFacts, SessionTokens, Sessions,
};
pub(crate) use ports::{
    Authorize, ClaimsProblem, Digest, FlowStore, IdentityProvider, NewClaims, RefreshError, RefreshWith,
    Refreshed, SessionStore, SessionStoreError, SignInError, SignedIn, Told, Whose,
};
pub(crate) use refresh::{Refresh, refresh_after};
pub(crate) use renewal::{Renewal, Settled};
pub(crate) use return_to::return_to;
pub(crate) use seal::{KeyRing, Purpose, random_token};

#[cfg(test)]
mod tests;
