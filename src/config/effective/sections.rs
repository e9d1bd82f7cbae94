//! Every section but `legacy`.

use std::path::Path;

use url::Url;

use super::whole;
use crate::{
    config::{
        Answer, AssertionKey, ClientKind, FieldNames, HandOff, IdentityHeaders, LegacyCookie, Migration,
        OnExisting, Pointer, Public, RedisShape, RolloutStart, RoutePath, Scalekit, Sentinels,
        SessionSettings, SignIn, SignInRoute, Signal, Store, Telemetry, Tls, TlsVersion, Upstream, UserValue,
        WhoAmI,
        raw::{self, Percent, Size, Span},
    },
    rollout::{DialSource, RollbackMode, RuleSubject},
};

fn count(number: usize) -> Option<u32> {
    u32::try_from(number).ok()
}

fn size(bytes: usize) -> Option<Size> {
    u64::try_from(bytes).ok().map(Size)
}

/// An origin as people write it, without the slash the parser adds.
fn origin(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}

pub(super) fn public(public: &Public) -> raw::Public {
    let limits = &public.limits;
    raw::Public {
        url: Some(origin(&public.url)),
        listen: Some(public.listen),
        allowed_hosts: Some(public.allowed_hosts.clone()),
        trusted_proxies: Some(public.trusted_proxies.iter().map(ToString::to_string).collect()),
        tls: public.tls.as_ref().map(tls),
        http2: Some(public.http2),
        prefix: Some(public.prefix.clone()),
        via: Some(public.via.clone()),
        development: Some(public.development),
        threads: count(public.threads),
        limits: Some(raw::Limits {
            head_bytes: size(limits.head_bytes),
            head_fields: count(limits.head_fields),
            target_bytes: size(limits.target_bytes),
            field_bytes: size(limits.field_bytes),
            head_timeout: Some(Span(limits.head_timeout)),
            idle_timeout: Some(Span(limits.idle_timeout)),
            body_pause: Some(Span(limits.body_pause)),
            sign_in_body_bytes: size(limits.sign_in_body_bytes),
            body_bytes: Some(Size(limits.body_bytes)),
            connections: count(limits.connections),
            connections_per_address: count(limits.connections_per_address),
            streams: Some(limits.streams),
            in_flight: count(limits.in_flight),
            drain_wait: Some(Span(limits.drain_wait)),
            drain_timeout: Some(Span(limits.drain_timeout)),
        }),
    }
}

fn tls(tls: &Tls) -> raw::Tls {
    let pairs = tls.certificates.iter().map(|certificate| raw::CertificatePair {
        certificate_file: Some(certificate.file.display().to_string()),
        key_file: Some(certificate.key_file.display().to_string()),
    });
    let mut pairs: std::collections::VecDeque<raw::CertificatePair> = pairs.collect();
    let first = pairs.pop_front().unwrap_or_default();
    raw::Tls {
        certificate_file: first.certificate_file,
        key_file: first.key_file,
        more_certificates: Some(pairs.into()),
        min_version: Some(match tls.min_version {
            TlsVersion::Tls12 => raw::TlsVersion::Tls12,
            TlsVersion::Tls13 => raw::TlsVersion::Tls13,
        }),
        handshake_timeout: Some(Span(tls.handshake_timeout)),
    }
}

pub(super) fn upstream(upstream: &Upstream) -> raw::Upstream {
    raw::Upstream {
        url: Some(origin(&upstream.url)),
        ca_file: upstream.ca_file.as_ref().map(|path| path.display().to_string()),
        preserve_host: Some(upstream.preserve_host),
        connect_timeout: Some(Span(upstream.connect_timeout)),
        first_byte_timeout: Some(Span(upstream.first_byte_timeout)),
        body_pause: Some(Span(upstream.body_pause)),
        idle_connections: count(upstream.idle_connections),
        idle_timeout: Some(Span(upstream.idle_timeout)),
    }
}

pub(super) fn sign_in(sign_in: &SignIn) -> raw::SignIn {
    let paths = |paths: &[RoutePath]| Some(paths.iter().map(|path| path.0.clone()).collect());
    raw::SignIn {
        routes: Some(sign_in.routes.iter().map(route).collect()),
        who_am_i: sign_in.who_am_i.as_ref().map(who_am_i),
        account_routes: paths(&sign_in.account_routes),
        account_page: sign_in.account_page.as_ref().map(ToString::to_string),
        logout_routes: paths(&sign_in.logout_routes),
        passthrough: Some(sign_in.passthrough),
    }
}

fn route(route: &SignInRoute) -> raw::SignInRoute {
    let text = |pointer: &Pointer| pointer.0.clone();
    let (form, json) = match &route.fields {
        FieldNames::Form { login, password, return_to } => {
            let (login, password) = (Some(login.clone()), Some(password.clone()));
            (Some(raw::FormFields { login, password, return_to: return_to.clone() }), None)
        }
        FieldNames::Json { login, password, return_to } => {
            let (login, password) = (Some(text(login)), Some(text(password)));
            (None, Some(raw::JsonFields { login, password, return_to: return_to.as_ref().map(text) }))
        }
    };
    raw::SignInRoute {
        name: Some(route.name.clone()),
        path: Some(route.path.0.clone()),
        page: route.page.as_ref().map(|page| page.0.clone()),
        form,
        json,
        client: Some(match route.client {
            ClientKind::Browser => raw::Client::Browser,
            ClientKind::Api => raw::Client::Api,
        }),
        rejected: Some(match &route.rejected {
            Answer::Redirect { location } => raw::Answer::Redirect(location.clone()),
            Answer::Body { status, content_type, body } => raw::Answer::Body(raw::AnswerBody {
                status: Some(*status),
                content_type: Some(content_type.clone()),
                body: Some(body.clone()),
            }),
        }),
        success: Some(route.success.iter().map(signal).collect()),
        failure: Some(route.failure.iter().map(signal).collect()),
    }
}

fn signal(signal: &Signal) -> raw::Signal {
    match signal {
        Signal::Status(list) => raw::Signal::Status(list.clone()),
        Signal::SetsCookie(name) => raw::Signal::SetsCookie(name.clone()),
        Signal::Location(regex) => raw::Signal::Location(regex.as_str().to_owned()),
        Signal::Json { pointer, equals } => {
            let (pointer, equals) = (Some(pointer.0.clone()), Some(equals.clone()));
            raw::Signal::Json(raw::JsonSignal { pointer, equals })
        }
    }
}

fn who_am_i(who: &WhoAmI) -> raw::WhoAmI {
    let text = |pointer: &Option<Pointer>| pointer.as_ref().map(|pointer| pointer.0.clone());
    raw::WhoAmI {
        path: Some(who.path.clone()),
        source: Some(who.source.to_string()),
        id: Some(who.id.0.clone()),
        login: text(&who.login),
        email: Some(who.email.0.clone()),
        email_verified: text(&who.email_verified),
        given_name: text(&who.given_name),
        family_name: text(&who.family_name),
        mfa: text(&who.mfa),
        active: text(&who.active),
        organization: text(&who.organization),
        timeout: Some(Span(who.timeout)),
    }
}

pub(super) fn scalekit(scalekit: &Scalekit, raw: Option<&raw::Scalekit>, base: &Path) -> raw::Scalekit {
    let hand_off = |hand_off: &HandOff| match hand_off {
        HandOff::Shadow => raw::HandOff::Shadow,
        HandOff::Hosted => raw::HandOff::Hosted,
        HandOff::App { url } => raw::HandOff::App(raw::AppHandOff { url: Some(url.clone()) }),
    };
    let organizations = scalekit.hand_offs.organizations.iter();
    raw::Scalekit {
        environment_url: Some(origin(&scalekit.environment_url)),
        client_id: Some(scalekit.client_id.clone()),
        client_secret: whole(raw.and_then(|raw| raw.client_secret.as_ref()), base),
        default_organization: Some(raw::Organization {
            external_id: Some(scalekit.default_organization.external_id.clone()),
            display_name: Some(scalekit.default_organization.display_name.clone()),
        }),
        create_organizations: Some(scalekit.create_organizations),
        default_roles: Some(scalekit.default_roles.clone()),
        on_existing: Some(match scalekit.on_existing {
            OnExisting::LinkVerified => raw::OnExisting::LinkVerified,
            OnExisting::Conflict => raw::OnExisting::Conflict,
        }),
        timeout: Some(Span(scalekit.timeout)),
        rate: scalekit.rate.map(super::services::call_rate),
        scopes: Some(scalekit.scopes.clone()),
        lookup_by_external_id: Some(scalekit.lookup_by_external_id),
        hand_offs: Some(raw::HandOffs {
            default: Some(hand_off(&scalekit.hand_offs.default)),
            organizations: Some(organizations.map(|(id, way)| (id.clone(), hand_off(way))).collect()),
        }),
    }
}

pub(super) fn migration(migration: &Migration) -> raw::Migration {
    raw::Migration {
        legacy_budget: Some(Span(migration.legacy_budget)),
        scalekit_budget: Some(Span(migration.scalekit_budget)),
        outcome_budget: Some(Span(migration.outcome_budget)),
        legacy_lane_budget: Some(Span(migration.legacy_lane_budget)),
        lease: Some(Span(migration.lease)),
        claim_wait: Some(Span(migration.claim_wait)),
        mfa_accepted_organizations: Some(migration.mfa_accepted_organizations.clone()),
    }
}

pub(super) fn rollout(rollout: &RolloutStart, raw: Option<&raw::Rollout>, base: &Path) -> raw::Rollout {
    let rule = |rule: &RuleSubject| match rule {
        RuleSubject::Person(name) => raw::Rule::Person(name.clone()),
        RuleSubject::Domain(name) => raw::Rule::Domain(name.clone()),
        RuleSubject::Organization(id) => raw::Rule::Organization(id.clone()),
    };
    let dial = &rollout.dial;
    raw::Rollout {
        source: Some(match rollout.source {
            DialSource::Store => raw::DialSource::Store,
            DialSource::File => raw::DialSource::File,
            DialSource::Flagd => raw::DialSource::Flagd,
        }),
        cutover: Some(Percent(dial.cutover)),
        migrate: Some(Percent(dial.migrate())),
        rollback_mode: Some(match dial.rollback {
            RollbackMode::Keep => raw::RollbackMode::Keep,
            RollbackMode::Legacy => raw::RollbackMode::Legacy,
        }),
        salt: whole(raw.and_then(|raw| raw.salt.as_ref()), base),
        force_key: whole(raw.and_then(|raw| raw.force_key.as_ref()), base),
        rules: Some(raw::Rules {
            deny: Some(dial.rules.deny.iter().map(rule).collect()),
            allow: Some(dial.rules.allow.iter().map(rule).collect()),
        }),
        flagd: rollout.flagd.as_ref().map(|flagd| {
            let raw = raw.and_then(|raw| raw.flagd.as_ref());
            raw::Flagd {
                url: Some(origin(&flagd.url)),
                token: whole(raw.and_then(|raw| raw.token.as_ref()), base),
                timeout: Some(Span(flagd.timeout)),
                flags: Some(raw::FlagNames {
                    cutover: Some(flagd.flags.cutover.clone()),
                    migrate: Some(flagd.flags.migrate.clone()),
                    rollback_mode: Some(flagd.flags.rollback_mode.clone()),
                    paused: Some(flagd.flags.paused.clone()),
                }),
            }
        }),
    }
}

pub(super) fn session(session: &SessionSettings, raw: Option<&raw::Session>, base: &Path) -> raw::Session {
    let keys = raw.and_then(|raw| raw.keys.as_ref());
    raw::Session {
        keys: keys.map(|keys| keys.iter().filter_map(|key| whole(Some(key), base)).collect()),
        idle: Some(Span(session.idle)),
        absolute: Some(Span(session.absolute)),
        refresh_after: session.refresh_after.map(Span),
        cookie: Some(session.cookie.clone()),
        device_lifetime: Some(Span(session.device_lifetime)),
        legacy_cookies: Some(session.legacy_cookies.iter().map(legacy_cookie).collect()),
        after_sign_out: Some(session.after_sign_out.clone()),
    }
}

/// As short as it can be written.
fn legacy_cookie(cookie: &LegacyCookie) -> raw::LegacyCookie {
    if *cookie == LegacyCookie::named(&cookie.name) {
        return raw::LegacyCookie::Name(cookie.name.clone());
    }
    raw::LegacyCookie::Kept(raw::KeptCookie {
        name: Some(cookie.name.clone()),
        domain: cookie.domain.clone(),
        path: Some(cookie.path.clone()),
    })
}

pub(super) fn identity(identity: &IdentityHeaders) -> raw::Identity {
    raw::Identity {
        user: Some(match identity.user {
            UserValue::LegacyLogin => raw::UserValue::LegacyLogin,
            UserValue::LegacyId => raw::UserValue::LegacyId,
            UserValue::Email => raw::UserValue::Email,
            UserValue::Sub => raw::UserValue::Sub,
        }),
        born_new_prefix: Some(identity.born_new_prefix.clone()),
        assertion: Some(identity.assertion.to_string()),
        plain_headers: Some(identity.plain_headers),
        reserved: Some(identity.reserved.iter().map(ToString::to_string).collect()),
        drop_underscores: Some(identity.drop_underscores),
        assertion_key: Some(match &identity.assertion_key {
            AssertionKey::Stored => raw::AssertionKey::Stored,
            AssertionKey::File(path) => raw::AssertionKey::File(path.display().to_string()),
        }),
        assertion_lifetime: Some(Span(identity.assertion_lifetime)),
    }
}

pub(super) fn store(store: &Store, raw: Option<&raw::Store>, base: &Path) -> raw::Store {
    let redis = match store {
        Store::Embedded { path } => {
            return raw::Store::Embedded(raw::Embedded { path: Some(path.display().to_string()) });
        }
        Store::Redis(redis) => redis,
    };
    let said = raw.and_then(|raw| match raw {
        raw::Store::Redis(redis) => Some(redis),
        raw::Store::Embedded(_) => None,
    });
    let sentinel = |sentinels: &Sentinels| raw::Sentinel {
        master: Some(sentinels.master.clone()),
        urls: Some(redis.urls()),
        username: sentinels.username.clone(),
        password: whole(
            said.and_then(|redis| redis.sentinel.as_ref()).and_then(|said| said.password.as_ref()),
            base,
        ),
    };
    let (url, sentinel, cluster) = match &redis.shape {
        RedisShape::Single(_) => (redis.urls().pop(), None, None),
        RedisShape::Sentinel(sentinels) => (None, Some(sentinel(sentinels)), None),
        RedisShape::Cluster(_) => (None, None, Some(raw::Cluster { urls: Some(redis.urls()) })),
    };
    raw::Store::Redis(Box::new(raw::Redis {
        url,
        sentinel,
        cluster,
        username: redis.username.clone(),
        password: whole(said.and_then(|redis| redis.password.as_ref()), base),
        prefix: Some(redis.prefix.clone()),
        timeout: Some(Span(redis.timeout)),
        connect_timeout: Some(Span(redis.connect_timeout)),
        replicas: Some(redis.replicas),
        ca_file: redis.ca_file.as_ref().map(|path| path.display().to_string()),
        epoch_tolerance: Some(Span(redis.epoch_tolerance)),
    }))
}

pub(super) fn telemetry(telemetry: &Telemetry, raw: Option<&raw::Telemetry>, base: &Path) -> raw::Telemetry {
    raw::Telemetry {
        log: Some(telemetry.log.clone()),
        subject_key: whole(raw.and_then(|raw| raw.subject_key.as_ref()), base),
        full_addresses: Some(telemetry.full_addresses),
    }
}
