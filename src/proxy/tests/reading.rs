//! What a client's bytes may mean at the most: a second reader beside hyper, written for the tests only.
//!
//! It follows RFC 9112 and is as lenient as hyper where hyper leaves one meaning (bare LF at the end of a head's line,
//! empty lines before a request, Content-Length beside chunked, blanks and extensions after a chunk's size). Where it
//! reads on and hyper refuses, less arrives; what arrives must be here, in this order.

/// A complete request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Meant {
    pub(super) method: String,
    /// In origin form, without a fragment.
    pub(super) target: String,
    pub(super) body: Vec<u8>,
}

/// All requests that one connection's bytes hold from their first to their last.
pub(super) fn read(mut bytes: &[u8]) -> Vec<Meant> {
    let mut all = Vec::new();
    while let Some((request, last)) = request(&mut bytes) {
        all.push(request);
        if last {
            break;
        }
    }
    all
}

/// One line without its end, which is LF or CRLF.
fn line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    let (line, after) = (&rest[..end], &rest[end + 1..]);
    *rest = after;
    Some(line.strip_suffix(b"\r").unwrap_or(line))
}

fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty()
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

fn is_value(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == b'\t' || (*byte >= 0x20 && *byte != 0x7f))
}

/// A request, and whether nothing may follow it.
fn request(rest: &mut &[u8]) -> Option<(Meant, bool)> {
    let mut first = line(rest)?;
    while first.is_empty() {
        first = line(rest)?;
    }
    let parts: Vec<&[u8]> = first.split(|byte| *byte == b' ').collect();
    let [method, target, version @ (b"HTTP/1.0" | b"HTTP/1.1")] = parts[..] else { return None };
    let old = version == b"HTTP/1.0";
    if !is_token(method) || method == b"CONNECT" || !target.iter().all(u8::is_ascii_graphic) {
        return None;
    }
    let mut fields: Vec<(String, Vec<u8>)> = Vec::new();
    loop {
        let line = line(rest)?;
        if line.is_empty() {
            break;
        }
        let colon = line.iter().position(|byte| *byte == b':')?;
        if !is_token(&line[..colon]) || !is_value(&line[colon + 1..]) {
            return None;
        }
        let name = String::from_utf8_lossy(&line[..colon]).to_ascii_lowercase();
        fields.push((name, line[colon + 1..].trim_ascii().to_ascii_lowercase()));
    }
    let all = |name: &str| {
        fields.iter().filter(|(found, _)| found == name).map(|(_, value)| &value[..]).collect::<Vec<_>>()
    };
    let body = match (&all("transfer-encoding")[..], &all("content-length")[..]) {
        ([], []) => Vec::new(),
        // hyper takes several fields of one value for one, also when one is written 05 and the other 5.
        ([], [length, others @ ..]) => {
            let length = number(length)?;
            if others.iter().any(|other| number(other) != Some(length)) {
                return None;
            }
            take(rest, length)?.to_vec()
        }
        ([b"chunked"], _) if !old => chunked(rest)?,
        _ => return None,
    };
    let options: Vec<&[u8]> = all("connection").iter().flat_map(|line| line.split(|b| *b == b',')).collect();
    let says = |option: &[u8]| options.iter().any(|found| found.trim_ascii() == option);
    let last = says(b"close") || (old && !says(b"keep-alive"));
    let method = String::from_utf8_lossy(method).into_owned();
    Some((Meant { method, target: origin(&String::from_utf8_lossy(target)), body }, last))
}

fn number(length: &[u8]) -> Option<usize> {
    let is_number = (1..=18).contains(&length.len()) && length.iter().all(u8::is_ascii_digit);
    is_number.then(|| String::from_utf8_lossy(length).parse().ok())?
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(taken)
}

fn chunked(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|window| window == b"\r\n")?;
        let head = take(rest, end + 2)?;
        let digits = head.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let after = head[digits..end].trim_ascii_start();
        if digits == 0 || head[..end].contains(&b'\n') || !(after.is_empty() || after.starts_with(b";")) {
            return None;
        }
        let size = usize::from_str_radix(&String::from_utf8_lossy(&head[..digits]), 16).ok()?;
        if size == 0 {
            break;
        }
        body.extend_from_slice(take(rest, size)?);
        if take(rest, 2)? != b"\r\n" {
            return None;
        }
    }
    if rest.starts_with(b"\r\n") {
        take(rest, 2)?;
    } else {
        let end = rest.windows(4).position(|window| window == b"\r\n\r\n")?;
        take(rest, end + 4)?;
    }
    Some(body)
}

fn origin(target: &str) -> String {
    let target = target.split('#').next().unwrap_or_default();
    let lower = target.to_ascii_lowercase();
    let Some(rest) = ["http://", "https://"].iter().find_map(|scheme| lower.strip_prefix(scheme)) else {
        return target.to_owned();
    };
    let rest = &target[target.len() - rest.len()..];
    match rest.find(['/', '?']) {
        Some(at) if rest[at..].starts_with('?') => format!("/{}", &rest[at..]),
        Some(at) => rest[at..].to_owned(),
        None => "/".to_owned(),
    }
}

#[test]
fn a_connection_is_read_to_its_last_certain_request() {
    let read = |text: &str| -> Vec<String> {
        let shown = |meant: &Meant| {
            format!("{} {} {}", meant.method, meant.target, String::from_utf8_lossy(&meant.body))
        };
        read(text.as_bytes()).iter().map(shown).collect()
    };
    let chunked = "POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n";
    let next = "GET http://a/b#c HTTP/1.1\nHost: a\n\n";
    assert_eq!(
        read(&format!("{chunked}2 ;x\r\nok\r\n0\r\nT: 1\r\n\r\n{next}GET /")),
        ["POST /c ok", "GET /b "]
    );
    assert_eq!(read(&format!("\r\n\n{next}GET https://a?b HTTP/1.1\r\n\r\n")), ["GET /b ", "GET /?b "]);
    let close = "POST /x HTTP/1.1\r\nContent-Length: 2\r\nConnection: a, Close\r\n\r\nok";
    assert_eq!(read(&format!("{close}{next}")), ["POST /x ok"]);
    for nothing in [
        "GET  / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nA : b\r\n\r\n",
        "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
        "GET / HTTP/1.1\r\nA: b\rc\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\nab",
        "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nab",
        "POST / HTTP/1.1\r\nTransfer-Encoding: x, chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1x\r\na\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab0\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n",
    ] {
        assert!(read(nothing).is_empty(), "{nothing:?}");
    }
}
