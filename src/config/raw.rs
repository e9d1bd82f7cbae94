//! The configuration file, key by key: what may stand in it, before anything is checked against anything else.
//!
//! Every value is optional here, so that a file can be read to its end whatever it lacks; `validate` knows what is
//! required. Unknown keys are errors at every level. The doc comments are the descriptions in the JSON schema.

mod admin;
mod guessing;
mod legacy;
mod network;
mod pages;
mod rollout;
mod scalar;
mod scalekit;
mod secret;
mod services;
mod session;
mod sign_in;
mod tls;

pub(super) use admin::{Admin, AdminRole, AdminToken};
pub(super) use guessing::{AccountLimit, Guessing, Lockout, Rate, Storm};
pub(super) use legacy::{
    AssumeStranger, AssumeVerified, Columns, HashCeilings, HashFile, HashFileKind, Legacy, Mfa, Okta, Source,
    Sql, SqlDialect, UpstreamSource,
};
pub(super) use network::{Cluster, Embedded, Limits, Public, Redis, Sentinel, Store, Telemetry, Upstream};
pub(super) use pages::{PageText, Pages, Translation};
pub(super) use rollout::{DialSource, FlagNames, Flagd, Migration, RollbackMode, Rollout, Rule, Rules};
pub(super) use scalar::{Percent, Size, Span};
pub(super) use scalekit::{AppHandOff, HandOff, HandOffs, OnExisting, Organization, Scalekit};
pub(super) use secret::SecretRef;
pub(super) use services::{
    AccountStore, CallRate, HttpAnswer, HttpAuth, HttpBasic, HttpCheck, HttpEndpoint, HttpFields, HttpHeader,
    HttpMeaning, Stormpath,
};
pub(super) use session::{AssertionKey, Identity, KeptCookie, LegacyCookie, Session, UserValue};
pub(super) use sign_in::{
    Answer, AnswerBody, Client, FormFields, JsonFields, JsonSignal, SignIn, SignInRoute, Signal, WhoAmI,
};
pub(super) use tls::{CertificatePair, Tls, TlsVersion};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Crossfade's configuration: one YAML file. Secrets stand in other files or in the environment.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Crossfade configuration", rename = "Configuration")]
pub(super) struct Raw {
    /// The listener people's browsers meet.
    #[schemars(required, with = "Public")]
    pub(super) public: Option<Public>,
    /// Health, metrics and control, on a listener of its own.
    pub(super) admin: Option<Admin>,
    /// The application behind Crossfade.
    #[schemars(required, with = "Upstream")]
    pub(super) upstream: Option<Upstream>,
    /// Which requests are sign-ins, and how the application answers them.
    pub(super) sign_in: Option<SignIn>,
    /// How often a sign-in may be tried.
    pub(super) guessing: Option<Guessing>,
    /// The legacy sources that can prove a person.
    pub(super) legacy: Option<Legacy>,
    /// The target.
    #[schemars(required, with = "Scalekit")]
    pub(super) scalekit: Option<Scalekit>,
    /// Time budgets of one migration, and accepted risks.
    pub(super) migration: Option<Migration>,
    /// Where the dial stands at the start.
    #[schemars(required, with = "Rollout")]
    pub(super) rollout: Option<Rollout>,
    /// The session of people on the new side.
    #[schemars(required, with = "Session")]
    pub(super) session: Option<Session>,
    /// How the application learns who is there.
    pub(super) identity: Option<Identity>,
    /// Where state lives.
    #[schemars(required, with = "Store")]
    pub(super) store: Option<Store>,
    /// Logs.
    #[schemars(required, with = "Telemetry")]
    pub(super) telemetry: Option<Telemetry>,
    /// What people read on Crossfade's own pages.
    pub(super) pages: Option<Pages>,
}
