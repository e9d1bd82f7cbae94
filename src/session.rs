//! The new side's session: its life, its cookie, and everything that is sealed or signed for a browser.
//!
//! Tokens and personal data stay on the server; a browser holds random names and sealed values. Session ids are
//! stored as hashes only (SEC-20), tokens are encrypted at rest (SEC-29). Start reading at [`Sessions`].

mod assertion;
mod cookie;
mod force;
mod life;
mod ports;
mod return_to;
mod seal;

pub(crate) use assertion::{Assertion, AssertionSigner, KeyError, SigningKey};
pub(crate) use cookie::{CookieJar, Cookies};
pub(crate) use force::ForceTokens;
pub(crate) use life::{
    Begun, Flow, FlowSecrets, Flows, Opened, Session, SessionError, SessionFacts, SessionTokens, Sessions,
};
pub(crate) use ports::{
    Authorize, Digest, FlowStore, IdentityProvider, SessionStore, SessionStoreError, SignInError, SignedIn,
};
pub(crate) use return_to::return_to;
pub(crate) use seal::{KeyRing, Purpose, SealError, random_token};
