//! Section `legacy`.

use std::path::Path;

use super::{guessing::lockout, services, whole};
use crate::config::{
    Columns, HashFileKind, Legacy, MfaDeclaration, Source, SourceKind, SqlDialect,
    raw::{self, Size, Span},
};

pub(super) fn legacy(legacy: &Legacy, raw: Option<&raw::Legacy>, base: &Path) -> raw::Legacy {
    let ceilings = &legacy.hash_ceilings;
    // Sources keep their places from the file to here.
    let raws = raw.and_then(|raw| raw.sources.as_deref()).unwrap_or_default();
    raw::Legacy {
        sources: Some(legacy.sources.iter().zip(raws).map(|(one, raw)| source(one, raw, base)).collect()),
        hash_threads: u32::try_from(legacy.hash_threads).ok(),
        hash_queue: u32::try_from(legacy.hash_queue).ok(),
        hash_ceilings: Some(raw::HashCeilings {
            bcrypt_cost: Some(ceilings.bcrypt_cost),
            scrypt_memory_bytes: Some(Size(ceilings.scrypt_memory_bytes)),
            argon2_memory_bytes: Some(Size(ceilings.argon2_memory_bytes)),
            argon2_passes: Some(ceilings.argon2_passes),
            pbkdf2_iterations: Some(ceilings.pbkdf2_iterations),
            sha_crypt_rounds: Some(ceilings.sha_crypt_rounds),
            phpass_count_log2: Some(ceilings.phpass_count_log2),
            yescrypt_memory_bytes: Some(Size(ceilings.yescrypt_memory_bytes)),
            digest_iterations: Some(ceilings.digest_iterations),
        }),
    }
}

fn source(source: &Source, raw: &raw::Source, base: &Path) -> raw::Source {
    let mut filled = raw::Source {
        name: Some(source.name.to_string()),
        domains: Some(source.domains.clone()),
        external_id: Some(source.external_id.as_str().to_owned()),
        assume_verified: source
            .assume_verified
            .as_ref()
            .map(|assume| raw::AssumeVerified { accepted_by: Some(assume.accepted_by.clone()) }),
        assume_stranger: source
            .assume_stranger
            .as_ref()
            .map(|assume| raw::AssumeStranger { accepted_by: Some(assume.accepted_by.clone()) }),
        mfa: Some(match &source.mfa {
            MfaDeclaration::None => raw::Mfa::None,
            MfaDeclaration::Field(name) => raw::Mfa::Field(name.clone()),
            MfaDeclaration::Unknown { accepted_by: None } => raw::Mfa::Unknown,
            MfaDeclaration::Unknown { accepted_by: Some(name) } => raw::Mfa::UnknownAcceptedBy(name.clone()),
        }),
        roles: Some(source.roles.0.clone()),
        lockout: Some(lockout(source.lockout.as_ref())),
        rate: source.rate.map(services::call_rate),
        timeout: Some(Span(source.timeout)),
        ..raw::Source::default()
    };
    match &source.kind {
        SourceKind::Okta(okta) => {
            filled.okta = Some(raw::Okta {
                url: Some(okta.url.as_str().trim_end_matches('/').to_owned()),
                api_token: whole(raw.okta.as_ref().and_then(|raw| raw.api_token.as_ref()), base),
                trusted_gateway: Some(okta.trusted_gateway),
                email_verified_attribute: okta.email_verified_attribute.clone(),
                organization_attribute: okta.organization_attribute.clone(),
            });
        }
        SourceKind::Stormpath(stormpath) => {
            filled.stormpath = Some(services::stormpath(stormpath, raw.stormpath.as_ref(), base));
        }
        SourceKind::Http(http) => filled.http = Some(services::http(http, raw.http.as_ref(), base)),
        SourceKind::HashFile(file) => {
            filled.hash_file = Some(raw::HashFile {
                path: Some(file.path.display().to_string()),
                kind: Some(match file.kind {
                    HashFileKind::JsonLines => raw::HashFileKind::JsonLines,
                    HashFileKind::Csv => raw::HashFileKind::Csv,
                }),
                columns: Some(columns(&file.columns)),
                hash_format: Some(file.hash_format.clone()),
            });
        }
        SourceKind::Sql(sql) => {
            filled.sql = Some(raw::Sql {
                dialect: Some(match sql.dialect {
                    SqlDialect::Postgres => raw::SqlDialect::Postgres,
                    SqlDialect::Mysql => raw::SqlDialect::Mysql,
                    SqlDialect::Sqlite => raw::SqlDialect::Sqlite,
                }),
                url: whole(raw.sql.as_ref().and_then(|raw| raw.url.as_ref()), base),
                query: Some(sql.query.clone()),
                twins_query: sql.twins_query.clone(),
                id_query: sql.id_query.clone(),
                columns: Some(columns(&sql.columns)),
                hash_format: Some(sql.hash_format.clone()),
                connections: Some(sql.connections),
            });
        }
        SourceKind::Upstream => filled.upstream = Some(raw::UpstreamSource {}),
    }
    filled
}

fn columns(columns: &Columns) -> raw::Columns {
    raw::Columns {
        id: Some(columns.id.clone()),
        login: columns.login.clone(),
        email: Some(columns.email.clone()),
        email_verified: columns.email_verified.clone(),
        password_hash: Some(columns.password_hash.clone()),
        salt: columns.salt.clone(),
        given_name: columns.given_name.clone(),
        family_name: columns.family_name.clone(),
        full_name: columns.full_name.clone(),
        locale: columns.locale.clone(),
        organization: columns.organization.clone(),
        roles: columns.roles.clone(),
        active: columns.active.clone(),
        disabled: columns.disabled.clone(),
        locked: columns.locked.clone(),
        must_change: columns.must_change.clone(),
    }
}
