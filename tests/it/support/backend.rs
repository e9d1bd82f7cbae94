//! An application at the level of sockets: answers with what it was asked, as its path says.

use std::{
    fmt::Write as _,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// Answers 200 with the request's first line, its fields in lower case, and `body-bytes: N`. Paths of their own:
/// `/big/N` sends N MiB, `/early…` says 403 before it reads the body, `/close…` says `Connection: close`.
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    open: Arc<AtomicUsize>,
    /// Answers of `/big` under way.
    sending: Arc<AtomicUsize>,
}

impl Backend {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (open, sending) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let (opened, sends) = (Arc::clone(&open), Arc::clone(&sending));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (opened, sends) = (Arc::clone(&opened), Arc::clone(&sends));
                opened.fetch_add(1, Ordering::Relaxed);
                thread::spawn(move || {
                    let _ = stream.set_nodelay(true);
                    // However it ends, the connection is over; what clients got is what tests look at.
                    let _ended = attend(&stream, &sends);
                    opened.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        Self { address, open, sending }
    }

    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    pub(crate) fn sending(&self) -> usize {
        self.sending.load(Ordering::Relaxed)
    }
}

fn attend(stream: &TcpStream, sending: &AtomicUsize) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let head = head(&mut reader)?;
        let path = head.split(' ').nth(1)?.to_owned();
        if let Some(size) = path.strip_prefix("/big/") {
            sending.fetch_add(1, Ordering::Relaxed);
            let sent = big(stream, size.parse().ok()?);
            sending.fetch_sub(1, Ordering::Relaxed);
            sent?;
            continue;
        }
        if path.starts_with("/early") {
            answer(stream, "403 Forbidden", "", &format!("{head}early"))?;
            body(&mut reader, &head)?;
            continue;
        }
        let mut told = head.clone();
        let _ = write!(told, "body-bytes: {}", body(&mut reader, &head)?);
        let close = path.starts_with("/close");
        answer(stream, "200 OK", if close { "Connection: close\r\n" } else { "" }, &told)?;
        if close {
            return None;
        }
    }
}

/// The head in lower case but for its first line, `\n` between lines.
fn head(reader: &mut impl Reads) -> Option<String> {
    let mut head = reader.text_line()?;
    head.push('\n');
    loop {
        let line = reader.text_line()?;
        if line.is_empty() {
            return Some(head);
        }
        let (name, value) = line.split_once(':')?;
        let _ = writeln!(head, "{}: {}", name.to_ascii_lowercase(), value.trim());
    }
}

/// Reads a body to its end and gives its length.
fn body(reader: &mut impl Reads, head: &str) -> Option<usize> {
    if head.contains("\ntransfer-encoding: chunked\n") {
        let mut all = 0;
        loop {
            let size = usize::from_str_radix(&reader.text_line()?, 16).ok()?;
            reader.skip(size)?;
            reader.text_line()?;
            all += size;
            if size == 0 {
                return Some(all);
            }
        }
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let length = length.unwrap_or(0);
    reader.skip(length)?;
    Some(length)
}

fn answer(mut stream: &TcpStream, status: &str, fields: &str, text: &str) -> Option<()> {
    let answer = format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {}\r\n\r\n{text}", text.len());
    stream.write_all(answer.as_bytes()).ok()
}

fn big(mut stream: &TcpStream, mebibytes: usize) -> Option<()> {
    let piece = vec![b'x'; 64 * 1024];
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", mebibytes << 20);
    stream.write_all(head.as_bytes()).ok()?;
    (0..mebibytes * 16).try_for_each(|_| stream.write_all(&piece).ok())
}

/// What is read of a request.
trait Reads {
    fn text_line(&mut self) -> Option<String>;
    fn skip(&mut self, length: usize) -> Option<()>;
}

impl Reads for BufReader<&TcpStream> {
    fn text_line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        self.read_until(b'\n', &mut line).ok().filter(|length| *length > 0)?;
        Some(String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    fn skip(&mut self, length: usize) -> Option<()> {
        let skipped = std::io::copy(&mut self.by_ref().take(length as u64), &mut std::io::sink()).ok()?;
        (skipped == length as u64).then_some(())
    }
}
