//! `crossfade health`: asks a running instance whether it may get traffic; for container health checks.
//!
//! Needs no configuration, no runtime and no TLS: it runs every few seconds beside the proxy, in an image that has
//! no shell and no curl.

use std::{
    io::{self, Read as _, Write as _},
    net::{TcpStream, ToSocketAddrs as _},
    time::Duration,
};

use url::Url;

use super::{Exit, output};
use crate::clock::Deadline;

/// Ask a running instance for its health: exits with 0 when it is well, 1 when not, 3 when it does not answer.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  crossfade health
  crossfade health --live --admin 127.0.0.1:9090 --timeout 2")]
pub(super) struct Args {
    /// The admin listener, as URL or address
    #[arg(long, value_name = "URL|ADDR", env = "CROSSFADE_ADMIN_URL", default_value = "127.0.0.1:9090")]
    admin: String,
    /// Ask only whether the process is alive (`/livez`), not whether it may get traffic (`/readyz`)
    #[arg(long)]
    live: bool,
    /// Give up after this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout: u64,
}

#[expect(clippy::needless_pass_by_value, clippy::unnecessary_wraps, reason = "all commands are run alike")]
pub(super) fn run(args: Args) -> anyhow::Result<Exit> {
    let path = if args.live { "/livez" } else { "/readyz" };
    let place = match Place::parse(&args.admin) {
        Ok(place) => place,
        Err(why) => {
            // The value is not repeated: it may hold credentials that do not belong there.
            output::note(&format!("error: --admin: {why}"));
            return Ok(Exit::BadInput);
        }
    };
    let deadline = Deadline::within(Duration::from_secs(args.timeout));
    Ok(match ask(&place, path, deadline) {
        Ok(Answer { status: 200, .. }) => Exit::Done,
        Ok(Answer { status: 0, .. }) => {
            output::note(&format!("{}: what answers there is no crossfade", place.authority));
            Exit::Failed
        }
        Ok(Answer { status, text }) => {
            output::note(&format!("{}: {status} {text}", place.authority));
            Exit::Failed
        }
        Err(error) => {
            output::note(&format!("error: {}: {error}", place.authority));
            Exit::NotReachable
        }
    })
}

/// Where the admin listener is.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    /// `host:port`, for connecting and for `Host`.
    authority: String,
    /// What comes before our paths; usually empty.
    prefix: String,
}

impl Place {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let text = if text.starts_with(':') { format!("127.0.0.1{text}") } else { text.to_owned() };
        let text = if text.contains("://") { text } else { format!("http://{text}") };
        let url = Url::parse(&text).map_err(|_| "not a URL or address")?;
        if url.scheme() != "http" {
            return Err("the admin listener speaks plain http");
        }
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
            return Err("only host, port and path are wanted");
        }
        let host = url.host_str().ok_or("no host")?;
        Ok(Self {
            authority: format!("{host}:{}", url.port_or_known_default().unwrap_or(80)),
            prefix: url.path().trim_end_matches('/').to_owned(),
        })
    }
}

/// What came back; status 0 when it is not HTTP.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    /// The first line of the body, for the person who reads the health log.
    text: String,
}

fn ask(place: &Place, path: &str, deadline: Deadline) -> io::Result<Answer> {
    let mut stream = connect(&place.authority, deadline)?;
    let request = format!(
        "GET {}{path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        place.prefix, place.authority
    );
    stream.set_write_timeout(Some(left(deadline)?))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    let mut piece = [0_u8; 1024];
    // Nothing of ours is longer; whoever sends more is not us.
    while answer.len() < 8 * 1024 {
        stream.set_read_timeout(Some(left(deadline)?))?;
        match stream.read(&mut piece).map_err(in_time)? {
            0 => break,
            got => answer.extend_from_slice(piece.get(..got).unwrap_or_default()),
        }
    }
    if answer.is_empty() {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "no answer"));
    }
    Ok(parse(&String::from_utf8_lossy(&answer)))
}

/// Tries every address of the name: `localhost` is two of them.
fn connect(authority: &str, deadline: Deadline) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in authority.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, left(deadline)?) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A socket's own time limit calls itself "temporarily unavailable" (`EAGAIN`).
fn in_time(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => late(),
        _ => error,
    }
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no answer in time")
}

fn left(deadline: Deadline) -> io::Result<Duration> {
    let left = deadline.remaining();
    if left.is_zero() { Err(late()) } else { Ok(left) }
}

fn parse(answer: &str) -> Answer {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let mut words = head.split(' ');
    let is_http = words.next().is_some_and(|version| version.starts_with("HTTP/1."));
    let status = words.next().and_then(|word| word.get(..3)).and_then(|word| word.parse().ok());
    let line = body.lines().next().unwrap_or_default();
    Answer {
        status: status.filter(|_| is_http).unwrap_or(0),
        text: line.chars().filter(|c| !c.is_control()).take(200).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// An admin listener that answers once.
    fn answering(answer: &'static [u8]) -> (String, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let served = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0_u8; 1024];
            let got = stream.read(&mut request).unwrap();
            stream.write_all(answer).unwrap();
            String::from_utf8_lossy(&request[..got]).into_owned()
        });
        (address, served)
    }

    fn check(admin: String, live: bool) -> Exit {
        run(Args { admin, live, timeout: 2 }).unwrap()
    }

    #[test]
    fn the_exit_code_says_how_it_is() {
        for (answer, exit) in [
            (&b"HTTP/1.1 200 OK\r\n\r\nready\n"[..], Exit::Done),
            (b"HTTP/1.1 503 Service Unavailable\r\n\r\nnot ready: draining\n", Exit::Failed),
            (b"HTTP/1.1 404 Not Found\r\n\r\n", Exit::Failed),
            (b"SSH-2.0-x\r\n", Exit::Failed),
            (b"", Exit::NotReachable),
        ] {
            let (address, served) = answering(answer);
            assert_eq!(check(address, false), exit);
            assert!(served.join().unwrap().starts_with("GET /readyz HTTP/1.1\r\n"));
        }
        let (address, served) = answering(b"HTTP/1.1 200 OK\r\n\r\nalive\n");
        assert_eq!(check(format!("http://{address}/behind/"), true), Exit::Done);
        let request = served.join().unwrap();
        assert!(request.starts_with("GET /behind/livez HTTP/1.1\r\n"), "{request}");
        assert!(request.contains(&format!("\r\nHost: {address}\r\n")));
    }

    #[test]
    fn nobody_there_is_not_reachable() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert_eq!(check(free.to_string(), false), Exit::NotReachable);
        // Accepts (in the kernel's queue) and never says a word.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(check(silent.local_addr().unwrap().to_string(), false), Exit::NotReachable);
    }

    #[test]
    fn a_place_is_a_url_or_an_address() {
        for (text, authority, prefix) in [
            ("127.0.0.1:9090", "127.0.0.1:9090", ""),
            (":9090", "127.0.0.1:9090", ""),
            ("localhost:9090", "localhost:9090", ""),
            ("[::1]:9090", "[::1]:9090", ""),
            ("http://admin.example.test", "admin.example.test:80", ""),
            ("http://admin.example.test:1/x/", "admin.example.test:1", "/x"),
        ] {
            let expected = Place { authority: authority.into(), prefix: prefix.into() };
            assert_eq!(Place::parse(text), Ok(expected), "{text}");
        }
        for bad in ["", "https://a", "http://u:p@a", "http://a?x", "a b", "ftp://a"] {
            assert_eq!(check(bad.into(), false), Exit::BadInput, "{bad}");
        }
    }
}
