//! A strict reading of what reached the application (SEC-01), and the verdicts of SEC-19.

/// A complete request, read strictly by RFC 9112.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) line: String,
    /// The head and the trailers, one field a line, as patterns are matched against them.
    pub(super) text: String,
    /// Names in lower case.
    pub(super) fields: Vec<(String, Vec<u8>)>,
    pub(super) body: Vec<u8>,
}

impl Seen {
    /// Every value of a field.
    pub(super) fn all(&self, name: &str) -> Vec<String> {
        let values = self.fields.iter().filter(|(found, _)| found == name);
        values.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
    }
}

/// All that one connection carried.
#[derive(Debug, Default)]
pub(super) struct Carried {
    pub(super) requests: Vec<Seen>,
    /// The first thing that is not valid.
    pub(super) fault: Option<String>,
    /// How many bytes the complete requests took.
    pub(super) consumed: usize,
}

/// Where reading stops.
enum Stop {
    /// More bytes are needed.
    Unfinished,
    Fault(String),
}

/// Reads a connection's bytes from the first to the last.
pub(super) fn read(bytes: &[u8]) -> Carried {
    let mut carried = Carried::default();
    let mut rest = bytes;
    while !rest.is_empty() {
        match request(&mut rest) {
            Ok(request) => {
                carried.requests.push(request);
                carried.consumed = bytes.len() - rest.len();
            }
            Err(Stop::Unfinished) => break,
            Err(Stop::Fault(fault)) => {
                carried.fault = Some(fault);
                break;
            }
        }
    }
    carried
}

fn fault<T>(what: &str, bytes: &[u8]) -> Result<T, Stop> {
    Err(Stop::Fault(format!("{what}: {:?}", String::from_utf8_lossy(&bytes[..bytes.len().min(60)]))))
}

/// Takes a line that ends with CRLF; a CR or LF anywhere else is a fault.
fn line<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Stop> {
    let Some(end) = rest.iter().position(|byte| *byte == b'\n') else { return Err(Stop::Unfinished) };
    let (line, after) = rest.split_at(end + 1);
    *rest = after;
    match line.strip_suffix(b"\r\n") {
        Some(line) if !line.contains(&b'\r') && !line.contains(&0) => Ok(line),
        _ => fault("line end", line),
    }
}

fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty()
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

fn field(line: &[u8]) -> Result<(String, Vec<u8>), Stop> {
    let Some(colon) = line.iter().position(|byte| *byte == b':') else { return fault("no colon", line) };
    let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
    if !is_token(name) || value.iter().any(|byte| (*byte < 0x20 && *byte != b'\t') || *byte == 0x7f) {
        return fault("field", line);
    }
    Ok((String::from_utf8_lossy(name).to_ascii_lowercase(), value.to_vec()))
}

fn request(rest: &mut &[u8]) -> Result<Seen, Stop> {
    if !rest.windows(4).any(|window| window == b"\r\n\r\n") {
        let bare = rest.windows(2).any(|window| window == b"\n\n");
        return if bare { fault("bare LF", rest) } else { Err(Stop::Unfinished) };
    }
    let first = line(rest)?;
    let parts: Vec<&[u8]> = first.split(|byte| *byte == b' ').collect();
    let [method, target, b"HTTP/1.1"] = parts[..] else { return fault("request line", first) };
    if !is_token(method) || target.is_empty() || !target.iter().all(|byte| (0x21..=0x7e).contains(byte)) {
        return fault("request line", first);
    }
    let mut text = format!("{}\n", String::from_utf8_lossy(first));
    let mut fields = Vec::new();
    loop {
        let next = line(rest)?;
        if next.is_empty() {
            break;
        }
        fields.push(field(next)?);
        text.push_str(&String::from_utf8_lossy(next));
        text.push('\n');
    }
    let all = |name: &str| {
        fields.iter().filter(|(found, _)| found == name).map(|(_, value)| value).collect::<Vec<_>>()
    };
    if all("host").len() != 1 {
        return fault("not one Host", first);
    }
    let body = match (&all("content-length")[..], &all("transfer-encoding")[..]) {
        ([], []) => Vec::new(),
        ([length], []) if is_length(length) => {
            let length: usize = String::from_utf8_lossy(length).parse().unwrap();
            take(rest, length)?
        }
        ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") => chunked(rest, &mut text)?,
        _ => return fault("framing", first),
    };
    Ok(Seen { line: String::from_utf8_lossy(first).into_owned(), text, fields, body })
}

/// Decimal, as one would write it.
fn is_length(text: &[u8]) -> bool {
    (1..=18).contains(&text.len())
        && text.iter().all(u8::is_ascii_digit)
        && (text.len() == 1 || !text.starts_with(b"0"))
}

fn take(rest: &mut &[u8], length: usize) -> Result<Vec<u8>, Stop> {
    if rest.len() < length {
        return Err(Stop::Unfinished);
    }
    let (taken, after) = rest.split_at(length);
    *rest = after;
    Ok(taken.to_vec())
}

fn chunked(rest: &mut &[u8], text: &mut String) -> Result<Vec<u8>, Stop> {
    let mut body = Vec::new();
    loop {
        let head = line(rest)?;
        if !(1..=16).contains(&head.len()) || !head.iter().all(u8::is_ascii_hexdigit) {
            return fault("chunk", head);
        }
        let size = usize::from_str_radix(&String::from_utf8_lossy(head), 16).unwrap();
        if size == 0 {
            break;
        }
        body.extend(take(rest, size)?);
        let end = take(rest, 2)?;
        if end != b"\r\n" {
            return fault("chunk end", &end);
        }
    }
    loop {
        let trailer = line(rest)?;
        if trailer.is_empty() {
            return Ok(body);
        }
        field(trailer)?;
        text.push_str(&String::from_utf8_lossy(trailer));
        text.push('\n');
    }
}

/// A field that must not have come this far (SEC-11, SEC-16, SEC-17): `identity` is the configured name, `session`
/// whether there is one to speak of.
pub(super) fn foreign_field(seen: &Seen, identity: &str, session: bool) -> Option<String> {
    let identity = identity.to_ascii_lowercase();
    let upgrade = seen.all("upgrade").iter().all(|value| value == "websocket");
    for (name, _) in &seen.fields {
        let refused = match name.as_str() {
            "connection" => !seen.all("upgrade").iter().any(|value| value == "websocket"),
            "upgrade" => !upgrade,
            "keep-alive"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "http2-settings"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "remote-user"
            | "forwarded"
            | "x-real-ip"
            | "x-original-url"
            | "x-rewrite-url"
            | "app-user" => true,
            "x-forwarded-for" | "x-forwarded-proto" | "x-forwarded-host" | "x-request-id" => {
                seen.all(name).len() != 1
            }
            // A signed assertion, ours.
            name if name == identity => {
                let values = seen.all(name);
                !session || values.len() != 1 || !values[0].starts_with("eyJ")
            }
            name => {
                name.contains('_') || name.starts_with("x-forwarded-") || name.starts_with("x-auth-request-")
            }
        };
        if refused {
            return Some(format!("`{name}` came through: {}", seen.line));
        }
    }
    None
}

#[test]
fn the_judge_sees_what_is_wrong() {
    let good = b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nT: 1\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nGET";
    let carried = read(good);
    assert_eq!((carried.requests.len(), carried.fault, carried.consumed), (2, None, good.len() - 3));
    assert_eq!(carried.requests[0].body, b"ok");
    assert!(carried.requests[0].text.ends_with("T: 1\n"));
    for bad in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"GET / HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n",
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX : 1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n X: 1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\na",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 01\r\n\r\na",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1 \r\na\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
    ] {
        assert!(read(bad).fault.is_some(), "{:?}", String::from_utf8_lossy(bad));
    }
    for (fields, foreign) in [
        ("X-Id: eyJ\r\n", false),
        ("X-Id: mallory\r\n", true),
        ("X-Id: eyJ\r\nX-Id: eyJ\r\n", true),
        ("X_Id: eyJ\r\n", true),
        ("Remote-User: a\r\n", true),
        ("X-Forwarded-For: a\r\n", false),
        ("X-Forwarded-For: a\r\nX-Forwarded-For: b\r\n", true),
        ("Connection: upgrade\r\nUpgrade: websocket\r\n", false),
        ("Connection: keep-alive\r\n", true),
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let carried = read(request.as_bytes());
        assert_eq!(foreign_field(&carried.requests[0], "X-Id", true).is_some(), foreign, "{fields}");
    }
}
