//! Section `legacy`: sources that are services one asks, Okta apart.

use http::{HeaderName, HeaderValue, header};
use url::Url;

use super::{Check, is_loopback};
use crate::config::{
    AccountStore, CallRate, HttpAnswer, HttpAuth, HttpCheck, HttpFields, HttpMeaning, HttpSource,
    MfaDeclaration, Pointer, SourceKind, StormpathSource, UrlTemplate,
    problem::At,
    raw::{self, Span},
};

/// What a bare yes and a bare no look like (legacy-stores.md §5).
const RIGHT: [u16; 1] = [200];
const WRONG: [u16; 4] = [400, 401, 403, 404];
const NOBODY: [u16; 2] = [404, 410];

impl Check<'_> {
    /// How often a service may be called.
    pub(super) fn call_rate(&mut self, at: &At, raw: Option<raw::CallRate>) -> Option<CallRate> {
        let raw = raw?;
        let calls = self.required(&at.key("calls"), raw.calls)?;
        let Span(per) = self.required(&at.key("per"), raw.per)?;
        if calls == 0 || per.is_zero() {
            self.problem(at, "must be above 0: leave it out where nothing is to be limited");
            return None;
        }
        Some(CallRate { calls, per })
    }

    pub(super) fn stormpath(&mut self, at: &At, raw: raw::Stormpath) -> Option<StormpathSource> {
        let url = self.https_address(&at.key("url"), raw.url);
        let is_application = |url: &Url| {
            let segments: Vec<&str> = url.path_segments().into_iter().flatten().collect();
            matches!(segments[..], [.., "applications", id] if !id.is_empty())
        };
        if url.as_ref().is_some_and(|url| !is_application(url)) {
            self.problem(
                &at.key("url"),
                "must be the application's own address: it ends in /applications/ID",
            );
        }
        let api_key_id = self.secret(&at.key("api_key_id"), raw.api_key_id);
        // Basic authentication tells the two apart by the first colon.
        if api_key_id.as_ref().is_some_and(|id| id.expose().contains(':')) {
            self.problem(&at.key("api_key_id"), "holds a colon, which no key id does: is it the secret?");
        }
        let api_key_secret = self.secret(&at.key("api_key_secret"), raw.api_key_secret);
        let store_at = at.key("account_store");
        let account_store = match raw.account_store {
            None => None,
            Some(raw::AccountStore::NameKey(key)) => {
                self.text(&store_at.key("name_key"), Some(key)).map(AccountStore::NameKey)
            }
            Some(raw::AccountStore::Href(text)) => {
                let href = self.https_address(&store_at.key("href"), Some(text));
                if href.as_ref().zip(url.as_ref()).is_some_and(|(href, url)| href.origin() != url.origin()) {
                    self.problem(&store_at.key("href"), "is at another service than url");
                }
                href.map(|href| AccountStore::Href(href.as_str().trim_end_matches('/').to_owned()))
            }
        };
        let field_at = at.key("organization_field");
        let organization_field = raw.organization_field.and_then(|text| self.pointer(&field_at, &text));
        Some(StormpathSource {
            url: url?,
            api_key_id: api_key_id?,
            api_key_secret: api_key_secret?,
            account_store,
            organization_field,
        })
    }

    pub(super) fn http_endpoint(&mut self, at: &At, raw: raw::HttpEndpoint) -> Option<HttpSource> {
        let url = self.https_address(&at.key("url"), raw.url);
        let auth = raw.auth.map(|raw| self.http_auth(&at.key("auth"), raw));
        if auth.is_none() {
            self.warn(at, "has no auth: whoever can reach the endpoint may guess passwords there");
        }
        let find = self.template(&at.key("find"), raw.find, "name");
        let find_by_id = self.template(&at.key("find_by_id"), raw.find_by_id, "id");
        let find_by_email = self.template(&at.key("find_by_email"), raw.find_by_email, "email");
        if find_by_id.is_none() {
            self.warn(
                at,
                "has no find_by_id: nobody can be read again by their id, as after who-am-I and on the way back from \
                 Scalekit",
            );
        }
        if find_by_email.is_none() {
            self.warn(
                at,
                "has no find_by_email: two records with one address may go unnoticed, and people who sign in by a \
                 user name are refused when they come by mailbox",
            );
        }
        let list = raw.list.and_then(|text| self.pointer(&at.key("list"), &text));
        let nobody = self.statuses(&at.key("nobody"), raw.nobody.unwrap_or_else(|| NOBODY.to_vec()));
        let check = self.required(&at.key("check"), raw.check);
        let check = check.and_then(|raw| self.http_check(&at.key("check"), raw, find.is_some()));
        let fields = self.required(&at.key("fields"), raw.fields);
        let fields = fields.and_then(|raw| self.http_fields(&at.key("fields"), raw));
        let says_no_at_401 = |check: &HttpCheck| {
            let mut answers = check.answers.iter().filter(|answer| answer.json.is_none());
            answers.any(|answer| answer.means != HttpMeaning::Right && answer.status.contains(&401))
        };
        if find.is_none() && auth.is_some() && check.as_ref().is_some_and(says_no_at_401) {
            self.warn(
                &at.key("check").key("answers"),
                "take 401 for a wrong password: if the endpoint ever refuses auth, everybody's password seems wrong; \
                 set find, which would notice, or leave 401 out",
            );
        }
        Some(HttpSource {
            url: url?,
            auth: auth.flatten(),
            find,
            find_by_id,
            find_by_email,
            list,
            nobody,
            check: check?,
            fields: fields?,
        })
    }

    fn http_auth(&mut self, at: &At, raw: raw::HttpAuth) -> Option<HttpAuth> {
        match raw {
            raw::HttpAuth::Bearer(token) => self.secret(&at.key("bearer"), Some(token)).map(HttpAuth::Bearer),
            raw::HttpAuth::Basic(raw) => {
                let at = at.key("basic");
                let user = self.text(&at.key("user"), raw.user);
                if user.as_ref().is_some_and(|user| user.contains(':')) {
                    self.problem(&at.key("user"), "holds a colon, which Basic authentication cannot send");
                }
                let password = self.secret(&at.key("password"), raw.password);
                Some(HttpAuth::Basic { user: user?, password: password? })
            }
            raw::HttpAuth::Header(raw) => {
                let at = at.key("header");
                let name = self.text(&at.key("name"), raw.name);
                let name = name.and_then(|text| self.header_name(&at.key("name"), &text));
                let value = self.secret(&at.key("value"), raw.value)?;
                let Ok(mut value) = HeaderValue::from_str(value.expose()) else {
                    self.problem(&at.key("value"), "holds characters that cannot be sent");
                    return None;
                };
                value.set_sensitive(true);
                Some(HttpAuth::Header { name: name?, value })
            }
        }
    }

    /// A field of the caller's own: none that says how the message is to be read.
    fn header_name(&mut self, at: &At, text: &str) -> Option<HeaderName> {
        let framing = [
            header::HOST,
            header::CONTENT_LENGTH,
            header::CONTENT_TYPE,
            header::TRANSFER_ENCODING,
            header::CONNECTION,
            header::ACCEPT,
        ];
        let name = HeaderName::try_from(text).ok().filter(|name| !framing.contains(name));
        if name.is_none() {
            self.problem(at, "must be the name of a field of your own, such as X-Api-Key");
        }
        name
    }

    fn template(&mut self, at: &At, raw: Option<String>, place: &'static str) -> Option<UrlTemplate> {
        let template = self.template_of(at, &raw?, &[place])?;
        if template.place().is_none() {
            self.problem(at, format!("lacks {{{place}}}: it would find the same people for everybody"));
        }
        Some(template)
    }

    fn template_of(&mut self, at: &At, text: &str, places: &[&'static str]) -> Option<UrlTemplate> {
        UrlTemplate::parse(text, places).map_err(|problem| self.problem(at, problem)).ok()
    }

    fn http_check(&mut self, at: &At, raw: raw::HttpCheck, finds: bool) -> Option<HttpCheck> {
        let path_at = at.key("path");
        let path = self.text(&path_at, raw.path);
        let path = path.and_then(|text| self.template_of(&path_at, &text, &["name", "id"]));
        let place = path.as_ref().and_then(UrlTemplate::place);
        let password = raw.password.unwrap_or_else(|| "password".into());
        let password = self.text(&at.key("password"), Some(password));
        let name = self.optional_text(&at.key("name"), raw.name);
        if path.is_some() && place.is_none() && name.is_none() {
            self.problem(at, "says nowhere whose password is checked: put {name} into path, or set name");
        }
        if name.is_some() && name == password {
            self.problem(&at.key("name"), "is the member that holds the password");
        }
        let names_person = raw.names_person.unwrap_or(false);
        if !finds && place == Some("id") {
            self.problem(&path_at, "has {id}, which only find can tell: set find");
        }
        if !finds && !names_person {
            self.problem(
                at,
                "names nobody: set find, or names_person where the answer to a yes is the person",
            );
        }
        let answers = match raw.answers {
            None => vec![
                HttpAnswer { status: RIGHT.to_vec(), json: None, means: HttpMeaning::Right },
                HttpAnswer { status: WRONG.to_vec(), json: None, means: HttpMeaning::Wrong },
            ],
            Some(raw) => self.http_answers(&at.key("answers"), raw),
        };
        Some(HttpCheck { path: path?, password: password?, name, names_person, answers })
    }

    fn http_answers(&mut self, at: &At, raw: Vec<raw::HttpAnswer>) -> Vec<HttpAnswer> {
        let mut answers: Vec<HttpAnswer> = Vec::new();
        for (n, raw) in raw.into_iter().enumerate() {
            let at = at.index(n);
            let status = self.required(&at.key("status"), raw.status);
            let status = status.map(|list| self.statuses(&at.key("status"), list));
            let json = raw.json.map(|raw| {
                let at = at.key("json");
                let pointer = self.required(&at.key("pointer"), raw.pointer);
                let pointer = pointer.and_then(|text| self.pointer(&at.key("pointer"), &text));
                pointer.zip(self.required(&at.key("equals"), raw.equals))
            });
            let means = self.required(&at.key("means"), raw.means).map(meaning);
            if let (Some(status), Some(means)) = (status, means)
                && json.as_ref().is_none_or(Option::is_some)
            {
                answers.push(HttpAnswer { status, json: json.flatten(), means });
            }
        }
        for (means, word) in [(HttpMeaning::Right, "right"), (HttpMeaning::Wrong, "wrong")] {
            if !answers.iter().any(|answer| answer.means == means) {
                self.problem(at, format!("has no answer that means {word}"));
            }
        }
        answers
    }

    /// Statuses that may mean something: faults, redirects and "not now" never do.
    fn statuses(&mut self, at: &At, list: Vec<u16>) -> Vec<u16> {
        let fits =
            |status: &u16| (200..=299).contains(status) || ((400..=499).contains(status) && *status != 429);
        if list.is_empty() || !list.iter().all(fits) {
            self.problem(at, "must be a list of statuses from 200 to 299 or 400 to 499 without 429");
        }
        list
    }

    fn http_fields(&mut self, at: &At, raw: raw::HttpFields) -> Option<HttpFields> {
        let id = self.required(&at.key("id"), raw.id);
        let id = id.and_then(|text| self.pointer(&at.key("id"), &text));
        let email = self.required(&at.key("email"), raw.email);
        let email = email.and_then(|text| self.pointer(&at.key("email"), &text));
        if id.is_some() && id == email {
            self.problem(&at.key("id"), "is the e-mail: it must be an id that never changes");
        }
        if raw.active.is_some() && raw.disabled.is_some() {
            self.problem(&at.key("disabled"), "says the same as active: keep one of them");
        }
        let mut optional = |key: &str, raw: Option<String>| -> Option<Pointer> {
            raw.and_then(|text| self.pointer(&at.key(key), &text))
        };
        let (login, email_verified) =
            (optional("login", raw.login), optional("email_verified", raw.email_verified));
        let (given_name, family_name) =
            (optional("given_name", raw.given_name), optional("family_name", raw.family_name));
        let (full_name, locale) = (optional("full_name", raw.full_name), optional("locale", raw.locale));
        let (organization, roles) =
            (optional("organization", raw.organization), optional("roles", raw.roles));
        let (active, disabled) = (optional("active", raw.active), optional("disabled", raw.disabled));
        let (locked, must_change) =
            (optional("locked", raw.locked), optional("must_change", raw.must_change));
        Some(HttpFields {
            id: id?,
            login,
            email: email?,
            email_verified,
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

    /// Services give their records as JSON: where they say it, a pointer leads there.
    pub(super) fn mfa_pointer(&mut self, at: &At, kind: Option<&SourceKind>, mfa: &MfaDeclaration) {
        let is_service = matches!(kind, Some(SourceKind::Stormpath(_) | SourceKind::Http(_)));
        if let (true, MfaDeclaration::Field(text)) = (is_service, mfa) {
            self.pointer(&at.key("field"), text);
        }
    }

    /// An address that may have a path, of somebody who gets secrets: https, except on a developer's own machine.
    fn https_address(&mut self, at: &At, value: Option<String>) -> Option<Url> {
        let text = self.text(at, value)?;
        let url = Url::parse(&text)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some());
        let Some(mut url) = url else {
            self.problem(at, "must be an address such as https://users.example.com/api");
            return None;
        };
        let bare = url.query().is_none() && url.fragment().is_none();
        // What the parser resolved or encoded was not meant so.
        let odd = text.contains(['\\', '%']) || text.split('/').any(|part| part == "." || part == "..");
        if !bare || !url.username().is_empty() || url.password().is_some() || odd || url.path().contains("//")
        {
            self.problem(
                at,
                "must be scheme, host, port and a plain path: remove query, user name, % escapes, dot segments and //",
            );
            return None;
        }
        if url.scheme() != "https" && !(self.development && is_loopback(&url)) {
            let but = if is_loopback(&url) { " (or set public.development on your own machine)" } else { "" };
            self.problem(at, format!("must be https: secrets travel there{but}"));
            return None;
        }
        let path = url.path().trim_end_matches('/').to_owned();
        url.set_path(&path);
        Some(url)
    }
}

fn meaning(raw: raw::HttpMeaning) -> HttpMeaning {
    match raw {
        raw::HttpMeaning::Right => HttpMeaning::Right,
        raw::HttpMeaning::Wrong => HttpMeaning::Wrong,
        raw::HttpMeaning::Unknown => HttpMeaning::Unknown,
        raw::HttpMeaning::Locked => HttpMeaning::Locked,
        raw::HttpMeaning::Disabled => HttpMeaning::Disabled,
        raw::HttpMeaning::PasswordExpired => HttpMeaning::PasswordExpired,
        raw::HttpMeaning::MustChange => HttpMeaning::MustChange,
        raw::HttpMeaning::Mfa => HttpMeaning::Mfa,
        raw::HttpMeaning::Pending => HttpMeaning::Pending,
    }
}
