//! The edge checks: what must hold for every request before anything decides about it (SEC-02 … SEC-13).
//!
//! hyper has parsed the request and refused what has no meaning at all. Here is refused what has one but not for us:
//! cheap comparisons only, in the order in which a wrong answer would do harm.

use std::net::IpAddr;

use http::{
    HeaderMap, HeaderValue, Method, Request, Uri, Version,
    header::{CONTENT_LENGTH, EXPECT, HOST, TRANSFER_ENCODING},
    request::Parts,
    uri::PathAndQuery,
};
use hyper::body::Incoming;

use super::{Accepted, NormalPath, RequestId, client_ip::client_of, headers::FieldRules, http2, switch};
use crate::{
    config::{Limits, Public},
    pages::Problem,
};

/// Accepts a request or says what is wrong with it.
pub(super) fn admit(
    request: Request<Incoming>,
    peer: IpAddr,
    secure: bool,
    id: RequestId,
    public: &Public,
    rules: &FieldRules,
) -> Result<Accepted, Problem> {
    let (mut parts, body) = request.into_parts();
    check_method(&parts.method)?;
    if parts.version == Version::HTTP_2 {
        http2::take_shape(&mut parts, &body)?;
    }
    check_sizes(&parts, &public.limits)?;
    take_origin_form(&mut parts)?;
    check_host(&parts, &public.allowed_hosts)?;
    check_framing(&mut parts.headers, public.limits.body_bytes)?;
    check_expectation(&parts.headers)?;
    if switch::is_asked(&parts) {
        switch::check_origin(&parts.headers, public)?;
    }
    if rules.is_loop(&parts.headers) {
        return Err(Problem::Loop);
    }
    let path = match parts.uri.path_and_query() {
        Some(target) => NormalPath::of(target),
        None => return Err(Problem::BadRequest),
    };
    let client = client_of(peer, secure, &parts.headers, &public.trusted_proxies);
    Ok(Accepted { parts, body, client, path, id })
}

fn check_method(method: &Method) -> Result<(), Problem> {
    if matches!(*method, Method::CONNECT | Method::TRACE) {
        return Err(Problem::MethodNotAllowed);
    }
    Ok(())
}

fn check_sizes(parts: &Parts, limits: &Limits) -> Result<(), Problem> {
    let target = parts.uri.path_and_query().map_or(0, |target| target.as_str().len())
        + parts.uri.authority().map_or(0, |authority| authority.as_str().len());
    if target > limits.target_bytes {
        return Err(Problem::UriTooLong);
    }
    let too_long = |(name, value): (&http::HeaderName, &HeaderValue)| {
        name.as_str().len() + value.len() > limits.field_bytes
    };
    if parts.headers.len() > limits.head_fields || parts.headers.iter().any(too_long) {
        return Err(Problem::HeadTooLarge);
    }
    Ok(())
}

/// SEC-09: absolute form becomes origin form, and its authority the `Host`.
fn take_origin_form(parts: &mut Parts) -> Result<(), Problem> {
    if let Some(authority) = parts.uri.authority() {
        let Some(scheme) = parts.uri.scheme_str() else { return Err(Problem::BadRequest) };
        if !matches!(scheme, "http" | "https") || authority.as_str().contains('@') {
            return Err(Problem::BadRequest);
        }
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| Problem::BadRequest)?;
        // A second Host is as wrong here as elsewhere; what the one says no longer counts (RFC 9112 §3.2.2).
        only_host(&parts.headers, parts.version)?;
        parts.headers.insert(HOST, host);
        let path = parts.uri.path_and_query().filter(|path| path.as_str() != "/").cloned();
        // An empty path reads as "/" and would be written as nothing.
        parts.uri = Uri::from(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
    }
    let target = parts.uri.path_and_query().map_or("", PathAndQuery::as_str);
    // hyper lets some bytes pass that RFC 9112 does not; servers behind us may cut or decode them.
    if !target.bytes().all(|byte| (0x21..=0x7e).contains(&byte)) {
        return Err(Problem::BadRequest);
    }
    match target {
        "*" if parts.method == Method::OPTIONS => Ok(()),
        path if path.starts_with('/') => Ok(()),
        _ => Err(Problem::BadRequest),
    }
}

fn only_host(headers: &HeaderMap, version: Version) -> Result<Option<&HeaderValue>, Problem> {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (_, Some(_)) => Err(Problem::BadRequest),
        (None, None) if version != Version::HTTP_10 => Err(Problem::BadRequest),
        (host, None) => Ok(host),
    }
}

/// SEC-10.
fn check_host(parts: &Parts, allowed: &[String]) -> Result<(), Problem> {
    let Some(host) = only_host(&parts.headers, parts.version)? else { return Err(Problem::Misdirected) };
    if allowed.iter().any(|known| host.as_bytes().eq_ignore_ascii_case(known.as_bytes())) {
        return Ok(());
    }
    Err(if is_host(host.as_bytes()) { Problem::Misdirected } else { Problem::BadRequest })
}

/// `host[:port]`, loosely: enough to tell nonsense from somebody else's name.
fn is_host(host: &[u8]) -> bool {
    !host.is_empty()
        && host.iter().all(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b':' | b'[' | b']')
        })
}

/// SEC-02 … SEC-04, as far as hyper leaves anything to see.
fn check_framing(headers: &mut HeaderMap, most: u64) -> Result<(), Problem> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next() {
        let only_chunked =
            codings.next().is_none() && coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
        if !only_chunked {
            return Err(Problem::NotImplemented);
        }
        // hyper has dropped it already; it must not depend on that.
        headers.remove(CONTENT_LENGTH);
        return Ok(());
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let Some(length) = lengths.next() else { return Ok(()) };
    let digits = length.as_bytes();
    if lengths.next().is_some()
        || digits.is_empty()
        || digits.len() > 18
        || !digits.iter().all(u8::is_ascii_digit)
    {
        return Err(Problem::BadRequest);
    }
    let length: u64 = length.to_str().ok().and_then(|text| text.parse().ok()).ok_or(Problem::BadRequest)?;
    if length > most {
        return Err(Problem::ContentTooLarge);
    }
    if digits.len() > 1 && digits.starts_with(b"0") {
        // There are readers that take 010 for eight.
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    Ok(())
}

/// SEC-13.
fn check_expectation(headers: &HeaderMap) -> Result<(), Problem> {
    let known = |value: &HeaderValue| value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"100-continue");
    if headers.get_all(EXPECT).iter().all(known) { Ok(()) } else { Err(Problem::ExpectationFailed) }
}
