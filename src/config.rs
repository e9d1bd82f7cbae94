//! The configuration: one YAML file, validated once into real types.
//!
//! `tree` reads the text, `raw` mirrors the file, `validate` turns it into [`Config`] and reports every problem
//! together, each with its path. After that nothing re-checks and nothing else reads the environment or the file.
//! Every type below is the *validated* form: a value of it is safe to use as it stands. Start reading at [`load()`].

mod admin;
mod effective;
mod environment;
mod guessing;
mod legacy;
mod load;
mod network;
mod pages;
mod problem;
mod raw;
mod rollout;
mod scalekit;
mod schema;
mod services;
mod session;
mod sign_in;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod tls;
mod tree;
mod url_template;
mod validate;
mod validity;
mod watch;

pub(crate) use admin::{Admin, AdminRole, AdminToken};
pub(crate) use environment::{Environment, environment};
pub(crate) use guessing::{AccountLimit, Guessing, Lockout, Rate, Storm};
pub(crate) use legacy::{
    AssumeStranger, AssumeVerified, Columns, HashCeilings, HashFileKind, HashFileSource, Legacy,
    MfaDeclaration, OktaSource, RoleMap, Source, SourceKind, SqlDialect, SqlSource,
};
#[cfg(any(test, feature = "simulate"))]
pub(crate) use load::parse;
pub(crate) use load::{Examined, HashFormatSetting, Loaded, SecretFile, examine, load};
pub(crate) use network::{
    Limits, Public, RedisAddress, RedisShape, RedisStore, Sentinels, Store, Telemetry, Upstream,
};
pub(crate) use pages::{LABELS, PAGES, PageText, Pages, Waits, Wording};
pub(crate) use problem::{Problem, Problems, Warning};
pub(crate) use rollout::{FlagNames, Flagd, Migration, RolloutStart};
pub(crate) use scalekit::{HandOff, HandOffs, OnExisting, Organization, Scalekit};
pub(crate) use schema::schema;
pub(crate) use services::{
    AccountStore, CallRate, HttpAnswer, HttpAuth, HttpCheck, HttpFields, HttpMeaning, HttpSource,
    StormpathSource,
};
pub(crate) use session::{AssertionKey, IdentityHeaders, LegacyCookie, SessionSettings, UserValue};
pub(crate) use sign_in::{
    Answer, ClientKind, FieldNames, Pointer, RoutePath, SignIn, SignInRoute, Signal, WhoAmI,
};
pub(crate) use tls::{Certificate, Tls, TlsVersion};
pub(crate) use url_template::UrlTemplate;
pub(crate) use watch::Watch;

/// The whole validated configuration.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) public: Public,
    pub(crate) admin: Admin,
    pub(crate) upstream: Upstream,
    pub(crate) sign_in: SignIn,
    pub(crate) guessing: Guessing,
    pub(crate) legacy: Legacy,
    pub(crate) scalekit: Scalekit,
    pub(crate) migration: Migration,
    pub(crate) rollout: RolloutStart,
    pub(crate) session: SessionSettings,
    pub(crate) identity: IdentityHeaders,
    pub(crate) store: Store,
    pub(crate) telemetry: Telemetry,
    pub(crate) pages: Pages,
}
