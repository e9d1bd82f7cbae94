//! The credential in a sign-in request: found where the route says, once, or not at all.
//!
//! A request whose credential cannot be read without doubt is still the application's business: it is forwarded as
//! it came, but it can never be a proof (design, "Settled").

mod alike;
mod strict_json;

use std::sync::Arc;

use http::{header::CONTENT_TYPE, request::Parts};
use percent_encoding::percent_decode;
use serde_json::Value;

use crate::{
    config::{FieldNames, Pointer},
    identity::{LoginName, Password, PasswordRefusal},
};

/// What a sign-in request says.
pub(super) struct Credential {
    pub(super) name: LoginName,
    /// A password that is empty or too long is not tried.
    pub(super) password: Result<Arc<Password>, PasswordRefusal>,
    /// As asked, not yet judged.
    pub(super) return_to: Option<String>,
}

/// Why a request carries no credential that could prove anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoProof {
    /// Not the content type of the route's fields.
    ContentType,
    /// The credential is in the query, where logs and histories see it.
    InQuery,
    Missing,
    /// A field is there twice: two readers could choose differently.
    Twice,
    /// Beside a field there is one that some readers take for it.
    LooksAlike,
    /// The name is not UTF-8, or not a name.
    NotAName,
    /// Not a form, not JSON.
    Unreadable,
}

impl NoProof {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::ContentType => "content_type",
            Self::InQuery => "in_query",
            Self::Missing => "missing",
            Self::Twice => "twice",
            Self::LooksAlike => "looks_alike",
            Self::NotAName => "not_a_name",
            Self::Unreadable => "unreadable",
        }
    }
}

/// Reads the credential of a request whose whole body is there.
pub(super) fn read(fields: &FieldNames, head: &Parts, body: &[u8]) -> Result<Credential, NoProof> {
    match fields {
        FieldNames::Form { login, password, return_to } => {
            has_type(head, type_of(fields))?;
            let query = head.uri.query().unwrap_or_default().as_bytes();
            if loose_pairs(query).any(|(name, _)| alike::is(&name, login) || alike::is(&name, password)) {
                return Err(NoProof::InQuery);
            }
            let typed = only(body, login)?.ok_or(NoProof::Missing)?;
            let secret = only(body, password)?.ok_or(NoProof::Missing)?;
            let alike = |field: &str| loose_pairs(body).filter(|(name, _)| alike::is(name, field)).count();
            if alike(login) > 1 || alike(password) > 1 {
                return Err(NoProof::LooksAlike);
            }
            let asked = match return_to {
                Some(field) => only(body, field)?.or(only(query, field)?),
                None => None,
            };
            let typed = String::from_utf8(typed).map_err(|_| NoProof::NotAName)?;
            credential(&typed, secret, asked.and_then(|asked| String::from_utf8(asked).ok()))
        }
        FieldNames::Json { login, password, return_to } => {
            has_type(head, type_of(fields))?;
            let document = strict_json::parse(body)?;
            let typed = text(&document, login)?;
            let secret = text(&document, password)?.as_bytes().to_vec();
            if alike::beside(&document, &login.0) || alike::beside(&document, &password.0) {
                return Err(NoProof::LooksAlike);
            }
            let asked = return_to.as_ref().and_then(|pointer| document.pointer(&pointer.0)?.as_str());
            credential(typed, secret, asked.map(str::to_owned))
        }
    }
}

/// The names that a request which proves nothing may still try a password for: an application may take what we do
/// not. Every reading counts; empty where there is none, or no password beside it.
pub(super) fn loose_names(fields: &FieldNames, head: &Parts, body: &[u8]) -> Vec<LoginName> {
    let names = match fields {
        FieldNames::Form { login, password, .. } => {
            let query = head.uri.query().unwrap_or_default().as_bytes();
            let named = |text: &[u8], field: &str| -> Vec<Vec<u8>> {
                let all = pairs(text).chain(loose_pairs(text));
                let named = all.filter(|(name, _)| alike::is(name, field));
                named.map(|(_, value)| value).collect()
            };
            let of = |field: &str| {
                let places = [named(query, field), named(body, field), multipart(body, field)];
                places.into_iter().flat_map(first_and_last).collect::<Vec<_>>()
            };
            if of(password).is_empty() { Vec::new() } else { of(login) }
        }
        FieldNames::Json { login, password, .. } => {
            // The lenient reader takes the last of two; the application may, too.
            let document: Value = serde_json::from_slice(body).unwrap_or_default();
            let has_password = !alike::values(&document, &password.0).is_empty();
            let names = alike::values(&document, &login.0).into_iter().filter_map(Value::as_str);
            let names = names.filter(|_| has_password).map(|name| name.as_bytes().to_vec()).collect();
            first_and_last(names)
        }
    };
    let texts = names.iter().map(|name| String::from_utf8_lossy(name));
    // Some trim or drop control characters.
    let texts = texts.map(|text| text.chars().filter(|letter| !letter.is_control()).collect::<String>());
    texts.filter_map(|text| LoginName::parse(&text)).collect()
}

/// Of several values of one field a reader takes the first or the last.
fn first_and_last(mut values: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    if values.len() > 2 {
        values.drain(1..values.len() - 1);
    }
    values
}

/// The values of a field of a `multipart/form-data` body, whatever its boundary is: up to the line's end.
fn multipart(body: &[u8], field: &str) -> Vec<Vec<u8>> {
    let text = String::from_utf8_lossy(body);
    let parts = text.split("name=").skip(1).filter(|part| {
        let quoted = part.strip_prefix('"').and_then(|part| part.split('"').next());
        let name = quoted.or_else(|| part.split(['\r', ';']).next());
        name.is_some_and(|name| alike::is(name.as_bytes(), field))
    });
    let values = parts.filter_map(|part| part.split_once("\r\n\r\n")?.1.split("\r\n").next());
    values.map(|value| value.as_bytes().to_vec()).collect()
}

fn credential(typed: &str, secret: Vec<u8>, return_to: Option<String>) -> Result<Credential, NoProof> {
    let name = LoginName::parse(typed).ok_or(NoProof::NotAName)?;
    Ok(Credential { name, password: Password::for_sign_in(secret).map(Arc::new), return_to })
}

/// Whether a request has the content type of a route's fields.
pub(super) fn has_type_of(fields: &FieldNames, head: &Parts) -> bool {
    has_type(head, type_of(fields)).is_ok()
}

const fn type_of(fields: &FieldNames) -> &'static str {
    match fields {
        FieldNames::Form { .. } => "application/x-www-form-urlencoded",
        FieldNames::Json { .. } => "application/json",
    }
}

/// One `Content-Type`, this one, parameters apart.
fn has_type(head: &Parts, wanted: &str) -> Result<(), NoProof> {
    let mut types = head.headers.get_all(CONTENT_TYPE).iter();
    let only = types.next().and_then(|value| value.to_str().ok()).filter(|_| types.next().is_none());
    let essence = only.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case(wanted) { Ok(()) } else { Err(NoProof::ContentType) }
}

/// The pairs of an `application/x-www-form-urlencoded` text, as bytes (WHATWG URL, §5.1).
fn pairs(text: &[u8]) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    pairs_between(text, b"&")
}

/// As the readers of some years ago take them, for which `;` stands between two pairs as well.
fn loose_pairs(text: &[u8]) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    pairs_between(text, b"&;")
}

fn pairs_between<'a>(
    text: &'a [u8],
    separators: &'static [u8],
) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> + use<'a> {
    let parts = text.split(|byte| separators.contains(byte)).filter(|part| !part.is_empty());
    parts.map(|part| {
        let at = part.iter().position(|byte| *byte == b'=');
        let (name, value) = at.map_or((part, &[][..]), |at| {
            let (name, value) = part.split_at(at);
            (name, value.get(1..).unwrap_or_default())
        });
        (decode(name), decode(value))
    })
}

fn decode(text: &[u8]) -> Vec<u8> {
    let spaced: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    percent_decode(&spaced).collect()
}

/// The value of a field that is there at most once.
fn only(text: &[u8], field: &str) -> Result<Option<Vec<u8>>, NoProof> {
    let mut values = pairs(text).filter(|(name, _)| name == field.as_bytes()).map(|(_, value)| value);
    let first = values.next();
    if values.next().is_some() { Err(NoProof::Twice) } else { Ok(first) }
}

fn text<'a>(document: &'a Value, pointer: &Pointer) -> Result<&'a str, NoProof> {
    document.pointer(&pointer.0).and_then(Value::as_str).ok_or(NoProof::Missing)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn form() -> FieldNames {
        FieldNames::Form {
            login: "user[email]".into(),
            password: "pass".into(),
            return_to: Some("next".into()),
        }
    }

    fn head(target: &str, content_type: &str) -> Parts {
        Request::post(target).header(CONTENT_TYPE, content_type).body(()).unwrap().into_parts().0
    }

    fn read_form(target: &str, body: &[u8]) -> Result<(String, Vec<u8>, Option<String>), NoProof> {
        let head = head(target, "application/x-www-form-urlencoded; charset=UTF-8");
        let read = read(&form(), &head, body)?;
        let password = read.password.map(|password| password.expose().to_vec()).unwrap_or_default();
        Ok((read.name.as_typed().to_owned(), password, read.return_to))
    }

    #[test]
    fn a_form_gives_its_bytes_untouched() {
        let read =
            read_form("/login?next=/b", b"csrf=x&user%5Bemail%5D=+Ann%40x.org&pass=a%00%ff+b%2Bc&").unwrap();
        assert_eq!(read, ("Ann@x.org".into(), b"a\0\xff b+c".to_vec(), Some("/b".into())));
        let read = read_form("/login?next=/b", b"user[email]=a&pass=%zz&next=/c").unwrap();
        assert_eq!(read, ("a".into(), b"%zz".to_vec(), Some("/c".into())));
    }

    #[test]
    fn a_doubtful_form_proves_nothing() {
        for (target, body, why) in [
            ("/login", b"user[email]=a".as_slice(), NoProof::Missing),
            ("/login", b"pass=a", NoProof::Missing),
            ("/login", b"", NoProof::Missing),
            ("/login", b"user[email]=a&pass=b&pass=b", NoProof::Twice),
            ("/login", b"user[email]=a&user%5bemail%5D=b&pass=b", NoProof::Twice),
            ("/login", b"user[email]=a&pass=b&next=/&next=/x", NoProof::Twice),
            ("/login", b"user[email]=a&pass=b&+pass=c", NoProof::LooksAlike),
            ("/login", b"user[email]=a&user.email=b&pass=c", NoProof::LooksAlike),
            ("/login", b"user[email]=a&user[ email]x=b&pass=c", NoProof::LooksAlike),
            ("/login", b"x=1;user[email]=a&user[email]=b&pass=c", NoProof::LooksAlike),
            ("/login", b"User[Email]=b&user[email]=a&pass=c", NoProof::LooksAlike),
            ("/login", b"user[email]=a&pass=b&pass%00x=c", NoProof::LooksAlike),
            ("/login?pass=b", b"user[email]=a&pass=b", NoProof::InQuery),
            ("/login?PASS=b", b"user[email]=a&pass=b", NoProof::InQuery),
            ("/login?user[email]=", b"user[email]=a&pass=b", NoProof::InQuery),
            ("/login", b"user[email]=%ff&pass=b", NoProof::NotAName),
            ("/login", b"user[email]=a%0ab&pass=b", NoProof::NotAName),
            ("/login", b"user[email]=+&pass=b", NoProof::NotAName),
        ] {
            assert_eq!(read_form(target, body).err(), Some(why), "{target} {body:?}");
        }
        for content_type in ["multipart/form-data; boundary=x", "application/json", "", "text/plain"] {
            let read = read(&form(), &head("/login", content_type), b"user[email]=a&pass=b");
            assert_eq!(read.err(), Some(NoProof::ContentType), "{content_type}");
        }
    }

    fn read_json(body: &[u8]) -> Result<(String, Vec<u8>), NoProof> {
        let fields = FieldNames::Json {
            login: Pointer("/user/email".into()),
            password: Pointer("/password".into()),
            return_to: None,
        };
        let read = read(&fields, &head("/api/login", "application/json"), body)?;
        Ok((read.name.as_typed().to_owned(), read.password.unwrap().expose().to_vec()))
    }

    #[test]
    fn json_is_read_by_pointers_and_strictly() {
        let read = read_json(br#"{"user":{"email":"ann"},"password":"p\u00e4\u0000","more":[1,{}]}"#);
        assert_eq!(read.unwrap(), ("ann".into(), "pä\0".as_bytes().to_vec()));
        for (body, why) in [
            (br#"{"user":{"email":"ann"},"password":"p","password":"q"}"#.as_slice(), NoProof::Twice),
            (br#"{"user":{"email":"ann","Email":"bob"},"password":"p"}"#, NoProof::LooksAlike),
            (br#"{"user":{"email":"ann"},"USER":{"email":"bob"},"password":"p"}"#, NoProof::LooksAlike),
            (
                "{\"user\":{\"email\":\"ann\"},\"password\":\"p\",\"pa\u{17f}sword\":\"q\"}".as_bytes(),
                NoProof::LooksAlike,
            ),
            (br#"{"user":{"email":"ann"},"password":7}"#, NoProof::Missing),
            (br#"{"user":"ann","password":"p"}"#, NoProof::Missing),
            (br#"{"user":{"email":"ann"},"password":"p"} x"#, NoProof::Unreadable),
            (b"\xff", NoProof::Unreadable),
            (b"", NoProof::Unreadable),
        ] {
            assert_eq!(read_json(body).err(), Some(why));
        }
        assert_eq!(read_json("[".repeat(10_000).as_bytes()).err(), Some(NoProof::Unreadable));
    }

    #[test]
    fn every_name_that_some_reader_takes_is_counted() {
        let names = |fields: &FieldNames, content_type: &str, body: &[u8]| {
            let names = loose_names(fields, &head("/login", content_type), body);
            names.iter().map(|name| name.as_typed().to_owned()).collect::<Vec<_>>()
        };
        let form_type = "application/x-www-form-urlencoded";
        for body in [
            b"user[email]=ann&+user[email]=bob&pass=x".as_slice(),
            b"user[email]=ann&user_email=bob&pass=x",
            b"user[email]=ann&x=;user[email]=bob&pass=x",
            b"user[email]=ann&USER[email]=bob&Pass=x",
        ] {
            let mut names = names(&form(), form_type, body);
            names.sort_unstable();
            names.dedup();
            assert_eq!(names, ["ann", "bob"], "{body:?}");
        }
        let part = "--b\r\nContent-Disposition: form-data; ";
        let multipart =
            format!("{part}name=\"User[email]\"\r\n\r\nann\r\n{part}name=pass;x\r\n\r\nx\r\n--b--");
        assert_eq!(names(&form(), "multipart/form-data; boundary=b", multipart.as_bytes()), ["ann"]);
        let pointer = |text: &str| Pointer(text.into());
        let json = FieldNames::Json { login: pointer("/email"), password: pointer("/pw"), return_to: None };
        let body = br#"{"email":"ann","Email":"bob","PW":"x"}"#;
        let mut found = names(&json, "application/json", body);
        found.sort_unstable();
        assert_eq!(found, ["ann", "bob"]);
    }

    #[test]
    fn an_over_long_password_is_told_from_a_missing_one() {
        let body = [b"user[email]=a&pass=".as_slice(), &[b'x'; 1025]].concat();
        let read = read(&form(), &head("/login", "application/x-www-form-urlencoded"), &body).unwrap();
        assert_eq!(read.password.err(), Some(PasswordRefusal::TooLong));
    }
}
