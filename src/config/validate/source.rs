//! Section `legacy`: one source.

use std::{path::Path, time::Duration};

use url::Url;

use super::Check;
use crate::{
    config::{
        AssumeStranger, AssumeVerified, Columns, HashFileKind, HashFileSource, MfaDeclaration, OktaSource,
        RoleMap, Source, SourceKind, SqlDialect, SqlSource, problem::At, raw,
    },
    identity::{ExternalIdTemplate, Secret},
};

/// What a source may be; exactly one of them is there.
struct Kinds {
    okta: Option<raw::Okta>,
    stormpath: Option<raw::Stormpath>,
    http: Option<raw::HttpEndpoint>,
    hash_file: Option<raw::HashFile>,
    sql: Option<raw::Sql>,
    upstream: Option<raw::UpstreamSource>,
}

impl Check<'_> {
    /// `sources` is their number; `who_am_i` is there when it speaks for this source.
    pub(super) fn source(
        &mut self,
        at: &At,
        raw: raw::Source,
        sources: usize,
        who_am_i: Option<&raw::WhoAmI>,
    ) -> Option<Source> {
        let name = self.text(&at.key("name"), raw.name);
        let name = name.and_then(|name| self.source_name(&at.key("name"), &name));
        let kinds = Kinds {
            okta: raw.okta,
            stormpath: raw.stormpath,
            http: raw.http,
            hash_file: raw.hash_file,
            sql: raw.sql,
            upstream: raw.upstream,
        };
        let kind = self.kind(at, kinds);
        let domains_at = at.key("domains");
        let domains = raw.domains.unwrap_or_default().into_iter().enumerate();
        let domains =
            domains.filter_map(|(n, text)| self.domain(&domains_at.index(n), &text)).collect::<Vec<_>>();
        let external_id = self.external_id(&at.key("external_id"), raw.external_id, sources);
        let assume_verified = raw.assume_verified.map(|assume| {
            let accepted_by = self.text(&at.key("assume_verified").key("accepted_by"), assume.accepted_by);
            accepted_by.map(|accepted_by| AssumeVerified { accepted_by })
        });
        let assume_stranger = raw.assume_stranger.map(|assume| {
            let accepted_by = self.text(&at.key("assume_stranger").key("accepted_by"), assume.accepted_by);
            accepted_by.map(|accepted_by| AssumeStranger { accepted_by })
        });
        let mfa = self.mfa(&at.key("mfa"), raw.mfa, kind.as_ref(), who_am_i);
        if let Some(mfa) = &mfa {
            self.mfa_pointer(&at.key("mfa"), kind.as_ref(), mfa);
        }
        let roles = raw.roles.unwrap_or_default();
        if roles.iter().any(|(from, to)| from.trim().is_empty() || to.trim().is_empty()) {
            self.problem(&at.key("roles"), "has an empty name: give every legacy role a Scalekit role");
        }
        let lockout = self.lockout(&at.key("lockout"), raw.lockout.as_ref(), kind.as_ref());
        let timeout = self.span(&at.key("timeout"), raw.timeout, Duration::from_secs(5));
        let rate = self.call_rate(&at.key("rate"), raw.rate);
        if rate.is_some() && matches!(kind, Some(SourceKind::HashFile(_) | SourceKind::Upstream)) {
            self.problem(
                &at.key("rate"),
                "is of no use: nobody is called for this kind of source; remove it",
            );
        }
        Some(Source {
            name: name?,
            kind: kind?,
            domains,
            external_id: external_id?,
            assume_verified: assume_verified.flatten(),
            assume_stranger: assume_stranger.flatten(),
            mfa: mfa?,
            roles: RoleMap(roles),
            lockout,
            rate,
            timeout,
        })
    }

    fn kind(&mut self, at: &At, raw: Kinds) -> Option<SourceKind> {
        let kinds = [
            raw.okta.is_some(),
            raw.stormpath.is_some(),
            raw.http.is_some(),
            raw.hash_file.is_some(),
            raw.sql.is_some(),
            raw.upstream.is_some(),
        ];
        if kinds.into_iter().filter(|there| *there).count() != 1 {
            self.problem(at, "must have exactly one of okta, stormpath, http, hash_file, sql, upstream");
        }
        let okta = raw.okta.map(|raw| self.okta(&at.key("okta"), raw).map(SourceKind::Okta));
        let stormpath =
            raw.stormpath.map(|raw| self.stormpath(&at.key("stormpath"), raw).map(SourceKind::Stormpath));
        let http = raw.http.map(|raw| self.http_endpoint(&at.key("http"), raw));
        let http = http.map(|source| source.map(Box::new).map(SourceKind::Http));
        let hash_file =
            raw.hash_file.map(|raw| self.hash_file(&at.key("hash_file"), raw).map(SourceKind::HashFile));
        let sql = raw.sql.map(|raw| self.sql(&at.key("sql"), raw).map(SourceKind::Sql));
        let upstream = raw.upstream.map(|_| Some(SourceKind::Upstream));
        okta.or(stormpath).or(http).or(hash_file).or(sql).or(upstream).flatten()
    }

    fn external_id(&mut self, at: &At, raw: Option<String>, sources: usize) -> Option<ExternalIdTemplate> {
        let Some(text) = raw else { return Some(ExternalIdTemplate::default_for(sources)) };
        let template = ExternalIdTemplate::parse(&text);
        if template.is_none() {
            self.problem(at, "must hold {id} once, and no other braces than {source}");
        } else if sources > 1 && !text.contains("{source}") {
            self.problem(
                at,
                "lacks {source}: with several sources two people could get the same external id",
            );
        }
        template
    }

    fn mfa(
        &mut self,
        at: &At,
        raw: Option<raw::Mfa>,
        kind: Option<&SourceKind>,
        who_am_i: Option<&raw::WhoAmI>,
    ) -> Option<MfaDeclaration> {
        let pointer = who_am_i.and_then(|who| who.mfa.clone());
        let declared = raw.unwrap_or_else(|| match kind {
            // Okta tells in each sign-in whether a factor is due, and the API token lists the factors.
            Some(SourceKind::Okta(_)) => raw::Mfa::Field("factors".into()),
            Some(SourceKind::Upstream) => pointer.clone().map_or(raw::Mfa::Unknown, raw::Mfa::Field),
            _ => raw::Mfa::Unknown,
        });
        match declared {
            raw::Mfa::None => Some(MfaDeclaration::None),
            raw::Mfa::Unknown => Some(MfaDeclaration::Unknown { accepted_by: None }),
            raw::Mfa::UnknownAcceptedBy(name) => {
                let name = self.text(&at.key("unknown_accepted_by"), Some(name))?;
                Some(MfaDeclaration::Unknown { accepted_by: Some(name) })
            }
            raw::Mfa::Field(name) => {
                let name = self.text(&at.key("field"), Some(name))?;
                if matches!(kind, Some(SourceKind::Upstream)) && pointer.as_ref() != Some(&name) {
                    self.problem(
                        &at.key("field"),
                        "must be what sign_in.who_am_i.mfa says: nothing else is asked",
                    );
                }
                Some(MfaDeclaration::Field(name))
            }
        }
    }

    fn okta(&mut self, at: &At, raw: raw::Okta) -> Option<OktaSource> {
        let url = self.https_origin(&at.key("url"), raw.url);
        let api_token = self.secret(&at.key("api_token"), raw.api_token);
        let email_verified_attribute =
            self.optional_text(&at.key("email_verified_attribute"), raw.email_verified_attribute);
        let organization_attribute =
            self.optional_text(&at.key("organization_attribute"), raw.organization_attribute);
        Some(OktaSource {
            url: url?,
            api_token: api_token?,
            trusted_gateway: raw.trusted_gateway.unwrap_or(false),
            email_verified_attribute,
            organization_attribute,
        })
    }

    fn hash_file(&mut self, at: &At, raw: raw::HashFile) -> Option<HashFileSource> {
        let path = self.file(&at.key("path"), raw.path);
        let columns = self.columns(&at.key("columns"), raw.columns);
        let hash_format = raw.hash_format.unwrap_or_else(|| "auto".into());
        let path = path?;
        let by_ending = |path: &Path| match path.extension() {
            Some(ending) if ending.eq_ignore_ascii_case("csv") => HashFileKind::Csv,
            _ => HashFileKind::JsonLines,
        };
        let kind = match raw.kind {
            Some(raw::HashFileKind::Csv) => HashFileKind::Csv,
            Some(raw::HashFileKind::JsonLines) => HashFileKind::JsonLines,
            None => by_ending(&path),
        };
        Some(HashFileSource { path, kind, columns: columns?, hash_format })
    }

    fn sql(&mut self, at: &At, raw: raw::Sql) -> Option<SqlSource> {
        let dialect = self.required(&at.key("dialect"), raw.dialect).map(|dialect| match dialect {
            raw::SqlDialect::Postgres => SqlDialect::Postgres,
            raw::SqlDialect::Mysql => SqlDialect::Mysql,
            raw::SqlDialect::Sqlite => SqlDialect::Sqlite,
        });
        let url = self.secret(&at.key("url"), raw.url);
        if let (Some(url), Some(dialect)) = (&url, dialect) {
            self.sql_url(&at.key("url"), url, dialect);
        }
        let query = self.text(&at.key("query"), raw.query);
        let twins_query = self.optional_text(&at.key("twins_query"), raw.twins_query);
        let id_query = self.optional_text(&at.key("id_query"), raw.id_query);
        if id_query.is_none() {
            self.warn(
                at,
                "has no id_query: nobody can be read again by their id, as after who-am-I and on the way back from \
                 Scalekit",
            );
        }
        if twins_query.is_none() {
            self.warn(
                at,
                "has no twins_query: two records with one address may go unnoticed, and people who sign in by a user \
                 name are refused when they come by mailbox",
            );
        }
        if let Some(dialect) = dialect {
            for (key, query) in [("query", &query), ("twins_query", &twins_query), ("id_query", &id_query)] {
                if let Some(query) = query {
                    self.query(&at.key(key), query, dialect);
                }
            }
        }
        let columns = self.columns(&at.key("columns"), raw.columns);
        let connections = self.count(&at.key("connections"), raw.connections, 4, 1000);
        Some(SqlSource {
            dialect: dialect?,
            url: url?,
            query: query?,
            twins_query,
            id_query,
            columns: columns?,
            hash_format: raw.hash_format.unwrap_or_else(|| "auto".into()),
            connections: u32::try_from(connections).unwrap_or(1),
        })
    }

    /// The URL is a secret: what is said of it repeats nothing of it.
    fn sql_url(&mut self, at: &At, url: &Secret, dialect: SqlDialect) {
        let (schemes, example): (&[&str], _) = match dialect {
            SqlDialect::Postgres => (&["postgres", "postgresql"], "postgres://reader:…@db/app"),
            SqlDialect::Mysql => (&["mysql", "mariadb"], "mysql://reader:…@db/app"),
            SqlDialect::Sqlite => (&["sqlite"], "sqlite:/var/lib/app/db.sqlite"),
        };
        if !Url::parse(url.expose()).is_ok_and(|url| schemes.contains(&url.scheme())) {
            self.problem(at, format!("is no connection URL of this dialect: it looks like {example}"));
        }
    }

    /// The typed name travels as a parameter, never inside the text.
    fn query(&mut self, at: &At, query: &str, dialect: SqlDialect) {
        let fits = match dialect {
            SqlDialect::Postgres => query.contains("$1") && !query.contains("$2"),
            SqlDialect::Mysql | SqlDialect::Sqlite => query.matches('?').count() == 1,
        };
        if !fits {
            let parameter = if dialect == SqlDialect::Postgres { "$1" } else { "?" };
            self.problem(at, format!("must have exactly one parameter, written {parameter}"));
        }
    }

    fn columns(&mut self, at: &At, raw: Option<raw::Columns>) -> Option<Columns> {
        let raw = self.required(at, raw)?;
        let id = self.text(&at.key("id"), raw.id);
        let email = self.text(&at.key("email"), raw.email);
        let password_hash = self.text(&at.key("password_hash"), raw.password_hash);
        if id.is_some() && id == email {
            self.problem(&at.key("id"), "is the e-mail: it must be an id that never changes");
        }
        if raw.active.is_some() && raw.disabled.is_some() {
            self.problem(&at.key("disabled"), "says the same as active: keep one of them");
        }
        let mut optional = |key: &str, value| self.optional_text(&at.key(key), value);
        let (login, salt) = (optional("login", raw.login), optional("salt", raw.salt));
        let email_verified = optional("email_verified", raw.email_verified);
        let (given_name, family_name) =
            (optional("given_name", raw.given_name), optional("family_name", raw.family_name));
        let (full_name, locale) = (optional("full_name", raw.full_name), optional("locale", raw.locale));
        let (organization, roles) =
            (optional("organization", raw.organization), optional("roles", raw.roles));
        let (active, disabled) = (optional("active", raw.active), optional("disabled", raw.disabled));
        let (locked, must_change) =
            (optional("locked", raw.locked), optional("must_change", raw.must_change));
        Some(Columns {
            id: id?,
            login,
            email: email?,
            email_verified,
            password_hash: password_hash?,
            salt,
            given_name,
            family_name,
            full_name,
            locale,
            organization,
            roles,
            active,
            disabled,
            locked,
            must_change,
        })
    }
}
