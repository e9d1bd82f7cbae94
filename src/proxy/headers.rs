//! Which fields travel (SEC-11, SEC-16, SEC-17, SEC-23).
//!
//! The order is the security: everything of the client's that must not pass is removed first, our own fields are
//! added after. So a client that names `X-Forwarded-For` or an identity header in `Connection` removes nothing of
//! ours. Pure functions over a header map; a filtered map does not change when it is filtered again.

use http::{
    HeaderMap, HeaderName, HeaderValue, Version,
    header::{CONNECTION, CONTENT_LENGTH, COOKIE, Entry, SET_COOKIE, TRANSFER_ENCODING, VIA},
};

use super::{Client, RequestId};
use crate::{
    config::{IdentityHeaders, Public},
    session::Cookies,
};

pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The rules that come from the configuration.
#[derive(Debug)]
pub(crate) struct FieldRules {
    /// Further names that carry identity, lower-case and with `-` for `_`.
    identity: Vec<String>,
    drop_underscores: bool,
    own_cookies: Vec<String>,
    via: String,
    /// `1.1 <pseudonym>` and its kin by received version (RFC 9110 §7.6.3), ready to be added.
    via_11: HeaderValue,
    via_10: HeaderValue,
    via_2: HeaderValue,
}

/// The pseudonym cannot stand in a header.
#[derive(Debug, thiserror::Error)]
#[error("`public.via` is not usable as a header value")]
pub(crate) struct RulesError(#[source] http::header::InvalidHeaderValue);

impl FieldRules {
    pub(crate) fn new(
        public: &Public,
        identity: &IdentityHeaders,
        cookies: &Cookies,
    ) -> Result<Self, RulesError> {
        let configured = identity.reserved.iter().chain([&identity.assertion]);
        Ok(Self {
            identity: configured.map(|name| name.as_str().replace('_', "-")).collect(),
            drop_underscores: identity.drop_underscores,
            own_cookies: cookies.names().into_iter().map(ToOwned::to_owned).collect(),
            via: public.via.clone(),
            via_11: HeaderValue::try_from(format!("1.1 {}", public.via)).map_err(RulesError)?,
            via_10: HeaderValue::try_from(format!("1.0 {}", public.via)).map_err(RulesError)?,
            via_2: HeaderValue::try_from(format!("2.0 {}", public.via)).map_err(RulesError)?,
        })
    }

    /// Removes what must not go up: connection-level, identity and forwarding fields, our own cookies and those
    /// in `strip_cookies`.
    pub(crate) fn strip_request(&self, headers: &mut HeaderMap, strip_cookies: &[String]) {
        strip_hop_by_hop(headers);
        remove_where(headers, |name| self.is_refused(name));
        if headers.contains_key(COOKIE) {
            self.strip_cookies(headers, strip_cookies);
        }
    }

    /// Adds what we say about the request; call it after [`FieldRules::strip_request`].
    pub(crate) fn add_request(
        &self,
        headers: &mut HeaderMap,
        version: Version,
        client: &Client,
        id: RequestId,
    ) {
        headers.append(VIA, self.via_for(version));
        if let Some(address) = address_value(client) {
            headers.insert(X_FORWARDED_FOR, address);
        }
        headers
            .insert(X_FORWARDED_PROTO, HeaderValue::from_static(if client.https { "https" } else { "http" }));
        if let Some(host) = headers.get(http::header::HOST).cloned() {
            headers.insert(X_FORWARDED_HOST, host);
        }
        if let Ok(id) = HeaderValue::from_bytes(id.as_bytes()) {
            headers.insert(X_REQUEST_ID, id);
        }
    }

    /// Removes what must not come down: connection-level fields and cookies that only we may set; adds `Via`.
    pub(crate) fn pass_response(&self, headers: &mut HeaderMap, version: Version) {
        // Of two lengths the body was read by this one (RFC 9112 §6.3), and the other may be any number.
        if headers.contains_key(TRANSFER_ENCODING) {
            headers.remove(CONTENT_LENGTH);
        }
        strip_hop_by_hop(headers);
        if headers.contains_key(SET_COOKIE) {
            strip_set_cookies(headers, &self.own_cookies);
        }
        headers.append(VIA, self.via_for(version));
    }

    /// Whether the request has already been through here (SEC-12).
    pub(crate) fn is_loop(&self, headers: &HeaderMap) -> bool {
        headers
            .get_all(VIA)
            .iter()
            .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
            .filter_map(|hop| {
                hop.trim_ascii()
                    .split(|byte| matches!(byte, b' ' | b'\t'))
                    .filter(|word| !word.is_empty())
                    .nth(1)
            })
            .any(|received_by| received_by.eq_ignore_ascii_case(self.via.as_bytes()))
    }

    fn via_for(&self, version: Version) -> HeaderValue {
        let via = match version {
            Version::HTTP_10 => &self.via_10,
            Version::HTTP_2 => &self.via_2,
            _ => &self.via_11,
        };
        via.clone()
    }

    /// Whether a client's field must not go up.
    fn is_refused(&self, name: &str) -> bool {
        if !name.contains('_') {
            return self.is_identity(name) || is_forwarding(name);
        }
        // Servers behind us turn `_` and `-` into the same variable, so a second spelling of anything that means
        // something here is refused even where the operator lets underscores pass.
        let dashed = name.replace('_', "-");
        self.drop_underscores
            || self.is_identity(&dashed)
            || is_forwarding(&dashed)
            || is_hop_by_hop(&dashed)
            || matches!(dashed.as_str(), "content-length" | "via" | "x-request-id")
    }

    /// SEC-16. Names are lower-case here.
    fn is_identity(&self, name: &str) -> bool {
        name.starts_with("x-auth-request-")
            || matches!(
                name,
                "x-forwarded-user"
                    | "x-forwarded-email"
                    | "x-forwarded-groups"
                    | "x-forwarded-preferred-username"
                    | "remote-user"
            )
            || self.identity.iter().any(|known| known == name)
    }

    fn strip_cookies(&self, headers: &mut HeaderMap, also: &[String]) {
        let goes = |pair: &[u8]| {
            let name = cookie_name(pair);
            self.own_cookies.iter().chain(also).any(|known| known.as_bytes() == name)
        };
        let pairs = |value: &HeaderValue| value.as_bytes().split(|byte| *byte == b';').any(goes);
        if !headers.get_all(COOKIE).iter().any(pairs) {
            return;
        }
        let Entry::Occupied(entry) = headers.entry(COOKIE) else { return };
        let kept: Vec<HeaderValue> = entry
            .remove_entry_mult()
            .1
            .filter_map(|line| {
                let kept: Vec<&[u8]> = line
                    .as_bytes()
                    .split(|byte| *byte == b';')
                    .filter(|pair| !goes(pair))
                    .map(<[u8]>::trim_ascii)
                    .filter(|pair| !pair.is_empty())
                    .collect();
                if kept.is_empty() { None } else { HeaderValue::from_bytes(&kept.join(&b"; "[..])).ok() }
            })
            .collect();
        for line in kept {
            headers.append(COOKIE, line);
        }
    }
}

/// Removes the lines that set cookies of these names; the others keep their order.
pub(super) fn strip_set_cookies(headers: &mut HeaderMap, names: &[String]) {
    let goes = |value: &HeaderValue| {
        let name = cookie_name(value.as_bytes());
        names.iter().any(|known| known.as_bytes() == name)
    };
    if !headers.get_all(SET_COOKIE).iter().any(goes) {
        return;
    }
    let Entry::Occupied(entry) = headers.entry(SET_COOKIE) else { return };
    let kept: Vec<HeaderValue> = entry.remove_entry_mult().1.filter(|value| !goes(value)).collect();
    for value in kept {
        headers.append(SET_COOKIE, value);
    }
}

/// The name in `name=value; …`, as the most generous server reads it: that may take a nameless cookie's value for a
/// name, and what is no ASCII for blanks around it.
fn cookie_name(pair: &[u8]) -> &[u8] {
    let end = pair.iter().position(|byte| matches!(byte, b'=' | b';')).unwrap_or(pair.len());
    let name = pair.get(..end).unwrap_or(pair);
    let first = name.iter().position(u8::is_ascii_graphic).unwrap_or(name.len());
    let last = name.iter().rposition(u8::is_ascii_graphic).map_or(first, |last| last + 1);
    let name = name.get(first..last).unwrap_or_default();
    if name.is_empty() && pair.get(end) == Some(&b'=') {
        return cookie_name(pair.get(end + 1..).unwrap_or_default());
    }
    name
}

/// Removes the fields that belong to one connection, also those that `Connection` names, on every one of its lines.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if let Entry::Occupied(entry) = headers.entry(CONNECTION) {
        let (_, lines) = entry.remove_entry_mult();
        let lines: Vec<HeaderValue> = lines.collect();
        for token in lines.iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b',')) {
            let token = token.trim_ascii();
            // The usual ones name no field; Host, length and cookies are not for a client to take away.
            if token.is_empty() || is_kept_though_named(token) {
                continue;
            }
            if let Ok(name) = HeaderName::from_bytes(token) {
                headers.remove(name);
            }
        }
    }
    remove_where(headers, is_hop_by_hop);
}

fn is_kept_though_named(token: &[u8]) -> bool {
    ["close", "keep-alive", "host", "content-length", "cookie"]
        .into_iter()
        .any(|kept| token.eq_ignore_ascii_case(kept.as_bytes()))
}

fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "http2-settings"
            | "proxy-authenticate"
            | "proxy-authorization"
    )
}

/// SEC-17: what a client says about where it comes from is replaced by what we know. `X-Forwarded-*` goes as a
/// family: applications read more of it than anybody can list.
fn is_forwarding(name: &str) -> bool {
    name.starts_with("x-forwarded-")
        || matches!(name, "forwarded" | "x-real-ip" | "x-original-url" | "x-rewrite-url" | "x-request-id")
}

fn remove_where(headers: &mut HeaderMap, goes: impl Fn(&str) -> bool) {
    while let Some(name) = headers.keys().find(|name| goes(name.as_str())).cloned() {
        headers.remove(name);
    }
}

fn address_value(client: &Client) -> Option<HeaderValue> {
    use std::io::Write as _;
    let mut text = [0_u8; 48];
    let mut rest = &mut text[..];
    write!(rest, "{}", client.address).ok()?;
    let left = rest.len();
    HeaderValue::from_bytes(text.get(..48 - left)?).ok()
}

#[cfg(test)]
mod tests;
