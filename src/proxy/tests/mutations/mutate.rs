//! The samples: payloads with some bytes, lines or sizes changed, and whole requests whose body poses as requests.

use super::super::payloads::{self, Stage};

/// What is sent on one connection.
pub(super) struct Sample {
    pub(super) pieces: Vec<Vec<u8>>,
    /// A text that stands in a body under every reading that is not refused.
    pub(super) token: Option<String>,
}

pub(super) struct Sampler<'a> {
    stage: &'a Stage<'a>,
    payloads: Vec<Vec<u8>>,
}

/// Numbers from a seed (`SplitMix64`).
pub(super) struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `end`; 0 when `end` is.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.roll() % end.max(1) as u64).unwrap()
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn of<'a, T: ?Sized>(&mut self, choice: &[&'a T]) -> &'a T {
        choice[self.below(choice.len())]
    }

    fn byte(&mut self) -> u8 {
        self.roll().to_le_bytes()[0]
    }
}

/// What is put in anywhere.
const SCRAPS: [&[u8]; 26] = [
    b"\r",
    b"\n",
    b"\r\n",
    b"\n\n",
    b"\r\n\r\n",
    b"\0",
    b" ",
    b"\t",
    b"\x0b",
    b"\x0c",
    b"\x7f",
    b"\x80",
    b"\xff",
    b"\xc2\xa0",
    b":",
    b";",
    b",",
    b"\r\n ",
    b"\r\n\t",
    b"0\r\n\r\n",
    b"5\r\n",
    b"#",
    b"%0d%0a",
    b"\"",
    b"_",
    b"\\",
];

/// What is put in as a line of a head.
const LINES: [&str; 40] = [
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: CHUNKED",
    "Transfer-Encoding:chunked ",
    "Transfer-Encoding : chunked",
    "Transfer-Encoding: identity",
    "Transfer-Encoding: chunked, identity",
    "Transfer-Encoding: identity, chunked",
    "Transfer-Encoding:\tchunked",
    "Transfer-Encoding: \"chunked\"",
    "Transfer_Encoding: chunked",
    "X: y\rTransfer-Encoding: chunked",
    " Transfer-Encoding: chunked",
    "Content-Length: 0",
    "Content-Length: 4",
    "Content-Length: 5",
    "Content-Length: 60",
    "Content-Length: 05",
    "Content-Length: +5",
    "Content-Length: -1",
    "Content-Length: 5, 5",
    "Content-Length: 5;5",
    "Content_Length: 5",
    "Content-Length:",
    "Host: app.example.test",
    "Host: evil.test",
    "Connection: close",
    "Connection: keep-alive, Content-Length, Host, Transfer-Encoding",
    "Connection: X-Forwarded-For, Cookie, Via, X-Crossfade-Assertion",
    "Connection: upgrade",
    "Upgrade: websocket",
    "Upgrade: h2c",
    "HTTP2-Settings: AAMAAABkAAQAAP__",
    "Expect: 100-continue",
    "Expect: 200-ok",
    "TE: trailers, chunked",
    "Trailer: X-Crossfade-Assertion",
    "X-Crossfade-Assertion: mallory",
    "X_Forwarded_User: mallory",
    "X-Forwarded-For: 10.0.0.1",
    "Via: 1.1 somebody",
];

impl<'a> Sampler<'a> {
    pub(super) fn new(stage: &'a Stage<'a>) -> Self {
        let whole = |case: &payloads::Case| {
            let bytes: Vec<u8> = case.segments().into_iter().flat_map(|(bytes, _)| bytes).collect();
            stage.filled_in(&bytes)
        };
        Self { stage, payloads: payloads::all().iter().map(whole).collect() }
    }

    /// The sample with this number.
    pub(super) fn sample(&self, seed: u64, number: u64) -> Sample {
        let mut dice = Dice(seed ^ number.wrapping_mul(0xd6e8_feb8_6659_fd93));
        let (bytes, token) = if dice.one_in(4) {
            let token = format!("bodytoken{number:08}");
            (self.posing(&mut dice, &token), Some(token))
        } else {
            (self.mutated(&mut dice), None)
        };
        Sample { pieces: split(&mut dice, &bytes), token }
    }

    fn payload(&self, dice: &mut Dice) -> Vec<u8> {
        self.payloads[dice.below(self.payloads.len())].clone()
    }

    fn plain(&self, path: &str) -> Vec<u8> {
        format!("GET /{path} HTTP/1.1\r\nHost: {}\r\n{}\r\n", self.stage.host, self.stage.auth).into_bytes()
    }

    fn mutated(&self, dice: &mut Dice) -> Vec<u8> {
        let mut bytes = self.payload(dice);
        for _ in 0..=dice.below(3) {
            change(dice, &mut bytes);
        }
        // Two on one connection: what is left over of the first would begin the second.
        match dice.below(6) {
            0 => bytes.extend(self.payload(dice)),
            1 => bytes.extend(self.plain("second")),
            2 => bytes.splice(0..0, self.plain("first")).for_each(drop),
            _ => {}
        }
        if dice.one_in(6) {
            change(dice, &mut bytes);
        }
        bytes
    }

    /// A request whose body holds further ones, in a framing of one meaning or in one that must be refused.
    fn posing(&self, dice: &mut Dice, token: &str) -> Vec<u8> {
        let host = self.stage.host;
        let inner = format!("GET /{token} HTTP/1.1\r\nHost: {host}\r\nX-Token: {token}\r\n\r\n");
        let body = match dice.below(5) {
            0 => inner.clone(),
            1 => format!("0\r\n\r\n{inner}"),
            2 => format!("\r\n\r\n{inner}{inner}"),
            3 => format!("5\r\nhello\r\n0\r\n\r\n{inner}"),
            _ => format!("x={token}&y={inner}"),
        };
        let mut head = format!("POST /outer HTTP/1.1\r\nHost: {host}\r\n{}", self.stage.auth);
        let mut lines = Vec::new();
        let chunks = dice.one_in(2);
        let framed = if chunks {
            lines.push("Transfer-Encoding: chunked".to_owned());
            // Chunked wins over any length, or both are refused.
            if dice.one_in(3) {
                lines.push(format!("Content-Length: {}", dice.of(&["0", "4", "5", "7", "40"])));
            }
            in_chunks(dice, body.as_bytes())
        } else {
            let length = format!("Content-Length: {}", body.len());
            // A second, different length is refused; so is any coding that is not exactly chunked.
            match dice.below(6) {
                0 => lines.push("Content-Length: 0".to_owned()),
                1 => lines.push("Transfer-Encoding: identity".to_owned()),
                2 => lines.push("Transfer-Encoding: xchunked".to_owned()),
                3 => lines.push("Transfer-Encoding : chunked".to_owned()),
                _ => {}
            }
            lines.push(length);
            body.into_bytes()
        };
        for _ in 0..dice.below(3) {
            let harmless =
                ["X-A: b", "Connection: keep-alive", "Expect: 100-continue", "TE: trailers", "X-B:"];
            lines.push(dice.of(&harmless).to_owned());
        }
        for _ in 0..dice.below(3) {
            let (one, other) = (dice.below(lines.len()), dice.below(lines.len()));
            lines.swap(one, other);
        }
        for line in lines {
            head += &line;
            head += "\r\n";
        }
        let mut bytes = [head.as_bytes(), b"\r\n", &framed].concat();
        if dice.one_in(2) {
            bytes.extend(self.plain("after"));
        }
        bytes
    }
}

fn in_chunks(dice: &mut Dice, mut body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    while !body.is_empty() {
        let (chunk, rest) = body.split_at(1 + dice.below(body.len()));
        let size = match dice.below(4) {
            0 => format!("{:X}", chunk.len()),
            1 => format!("000{:x}", chunk.len()),
            2 => format!("{:x};ext=\"1\"", chunk.len()),
            _ => format!("{:x}", chunk.len()),
        };
        bytes.extend_from_slice(size.as_bytes());
        bytes.extend_from_slice(&[b"\r\n", chunk, b"\r\n"].concat());
        body = rest;
    }
    bytes.extend_from_slice(dice.of(&["0\r\n\r\n", "0\r\nX-T: 1\r\n\r\n", "000\r\n\r\n"]).as_bytes());
    bytes
}

/// The places of the lines, each with its end.
fn lines(bytes: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut start = 0;
    let mut all = Vec::new();
    for (at, byte) in bytes.iter().enumerate() {
        if *byte == b'\n' {
            all.push(start..at + 1);
            start = at + 1;
        }
    }
    all.push(start..bytes.len());
    all
}

fn change(dice: &mut Dice, bytes: &mut Vec<u8>) {
    let at = dice.below(bytes.len());
    let all = lines(bytes);
    let line = all[dice.below(all.len())].clone();
    let other = all[dice.below(all.len())].clone();
    match dice.below(16) {
        0 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (at % 8)),
        1 => {
            let byte = dice.byte();
            bytes.iter_mut().skip(at).take(1).for_each(|changed| *changed = byte);
        }
        2 | 3 => {
            let scrap = dice.of(&SCRAPS);
            bytes.splice(at..at, scrap.iter().copied()).for_each(drop);
        }
        // At the end of a line, where framing is decided.
        4 | 5 => {
            let at = line.end.saturating_sub(dice.below(3));
            let scrap = dice.of(&SCRAPS);
            bytes.splice(at..at, scrap.iter().copied()).for_each(drop);
        }
        6 => {
            let end = (at + 1 + dice.below(8)).min(bytes.len());
            bytes.drain(at.min(end)..end);
        }
        7 => {
            let doubled = bytes[line.clone()].to_vec();
            bytes.splice(line.end..line.end, doubled).for_each(drop);
        }
        8 => drop(bytes.drain(line)),
        // The two lines change places.
        9 => {
            let (first, second) = if line.start <= other.start { (line, other) } else { (other, line) };
            if first.end <= second.start {
                let moved = bytes[second.clone()].to_vec();
                let back = bytes[first.clone()].to_vec();
                bytes.splice(second, back).for_each(drop);
                bytes.splice(first, moved).for_each(drop);
            }
        }
        10 => {
            let upper = dice.one_in(2);
            for byte in &mut bytes[line] {
                *byte = if upper { byte.to_ascii_uppercase() } else { byte.to_ascii_lowercase() };
            }
        }
        11 | 12 => {
            let put = format!("{}\r\n", dice.of(&LINES));
            bytes.splice(line.end..line.end, put.into_bytes()).for_each(drop);
        }
        13 => number(dice, bytes),
        14 => bytes.truncate(at),
        _ => {
            let end = line.end;
            let start = end.saturating_sub(2).max(line.start);
            let ending = dice.of(&[&b"\n"[..], b"\r", b"\r\r\n", b"\n\r", b" \r\n", b"\r\n\r\n", b""]);
            bytes.splice(start..end, ending.iter().copied()).for_each(drop);
        }
    }
}

/// Another number in the place of one: a length, a chunk's size, a version.
fn number(dice: &mut Dice, bytes: &mut Vec<u8>) {
    let starts: Vec<usize> = (0..bytes.len())
        .filter(|at| bytes[*at].is_ascii_digit() && (*at == 0 || !bytes[*at - 1].is_ascii_alphanumeric()))
        .collect();
    if starts.is_empty() {
        return;
    }
    let start = starts[dice.below(starts.len())];
    let length = bytes[start..].iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let small = dice.below(64);
    let put = match dice.below(8) {
        0 => "0".to_owned(),
        1 => format!("{small:x}"),
        2 => small.to_string(),
        3 => format!("0{small}"),
        4 => format!("0x{small:x}"),
        5 => "ffffffffffffffff".to_owned(),
        6 => "18446744073709551617".to_owned(),
        _ => format!("-{small}"),
    };
    bytes.splice(start..start + length, put.into_bytes()).for_each(drop);
}

/// Sent in up to five pieces with borders anywhere.
fn split(dice: &mut Dice, bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut borders: Vec<usize> = (0..dice.below(5)).map(|_| dice.below(bytes.len() + 1)).collect();
    borders.push(bytes.len());
    borders.sort_unstable();
    let mut start = 0;
    let mut pieces = Vec::new();
    for border in borders {
        if border > start {
            pieces.push(bytes[start..border].to_vec());
        }
        start = border;
    }
    pieces
}
