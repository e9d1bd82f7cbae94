//! How a `WebSocket` is told that we leave: a Close frame between two frames of the application's (RFC 6455 §5.5.1).
//!
//! Frames are only followed, never changed: until we leave, every byte passes as it came.

use std::{io, pin::pin, time::Duration};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;

/// A final Close frame with the status "going away": a page connects anew, and to another replica.
const GOING_AWAY: [u8; 4] = [0x88, 2, 0x03, 0xe9];

/// How long both sides have to end after it.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(3);

const PIECE: usize = 8 * 1024;

const CLOSE: u8 = 0x8;

/// Where in a stream of frames we are.
#[derive(Debug, Default)]
struct Frames {
    /// As much of the next frame's head as there was.
    head: Vec<u8>,
    payload_left: u64,
    /// A Close frame has begun: nothing may follow it.
    closes: bool,
}

impl Frames {
    /// Whether the next byte begins a frame.
    fn is_between(&self) -> bool {
        self.head.is_empty() && self.payload_left == 0
    }

    /// Follows all of these bytes.
    fn follow(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let taken = self.take(bytes);
            bytes = bytes.get(taken..).unwrap_or_default();
        }
    }

    /// Follows bytes to the end of one frame at most; how many these were.
    fn take(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) {
            if self.payload_left > 0 {
                let some = usize::try_from(self.payload_left).unwrap_or(usize::MAX).min(rest.len());
                self.payload_left -= some as u64;
                taken += some;
            } else {
                self.head.extend(rest.first());
                taken += 1;
                let Some(length) = payload_length(&self.head) else { continue };
                self.closes |= self.head.first().is_some_and(|first| first & 0xf == CLOSE);
                self.head.clear();
                self.payload_left = length;
            }
            if self.is_between() {
                break;
            }
        }
        taken
    }
}

/// The length of a frame's payload, once its head is whole (RFC 6455 §5.2).
fn payload_length(head: &[u8]) -> Option<u64> {
    let second = *head.get(1)?;
    let (more, short) = match second & 0x7f {
        126 => (2, None),
        127 => (8, None),
        short => (0, Some(short)),
    };
    let mask = if second & 0x80 == 0 { 0 } else { 4 };
    head.get(..2 + more + mask)?;
    let long = head.get(2..2 + more)?.iter().fold(0, |length, byte| (length << 8) | u64::from(*byte));
    Some(short.map_or(long, u64::from))
}

/// Carries what the application says to the client, until it ends or we leave; then says so to the client, and what
/// the application still says is for nobody.
pub(super) async fn carry(
    mut application: impl AsyncRead + Unpin,
    mut client: impl AsyncWrite + Unpin,
    closing: &CancellationToken,
) -> io::Result<()> {
    let (mut frames, mut buffer) = (Frames::default(), vec![0; PIECE]);
    let mut leaving = pin!(closing.cancelled());
    loop {
        let read = tokio::select! {
            // Nothing is lost when the other arm wins: what was not read is still there.
            read = application.read(&mut buffer) => read?,
            () = leaving.as_mut(), if frames.is_between() && !frames.closes => break,
        };
        let bytes = buffer.get(..read).unwrap_or_default();
        if bytes.is_empty() {
            return client.shutdown().await;
        }
        if !closing.is_cancelled() || frames.closes {
            client.write_all(bytes).await?;
            client.flush().await?;
            frames.follow(bytes);
            continue;
        }
        // The rest of the frame that has begun.
        let some = if frames.is_between() { 0 } else { frames.take(bytes) };
        client.write_all(bytes.get(..some).unwrap_or_default()).await?;
        if frames.is_between() && !frames.closes {
            break;
        }
    }
    client.write_all(&GOING_AWAY).await?;
    client.flush().await?;
    tokio::io::copy(&mut application, &mut tokio::io::sink()).await?;
    client.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_end_where_their_heads_say() {
        let short = [&[0x81, 3][..], b"one"].concat();
        let masked = [&[0x82, 0x82, 9, 9, 9, 9][..], b"ab"].concat();
        let long = [&[0x01, 126, 1, 0][..], &[7; 256]].concat();
        let longest = [&[0x80, 127, 0, 0, 0, 0, 0, 1, 0, 0][..], &vec![7; 65536]].concat();
        let empty = vec![0x89, 0];
        let all = [short, masked, long, longest, empty];
        let stream = all.concat();
        let mut frames = Frames::default();
        let mut at = 0;
        for frame in &all {
            assert!(frames.is_between());
            let taken = frames.take(&stream[at..]);
            assert_eq!(taken, frame.len());
            at += taken;
        }
        assert!(frames.is_between() && !frames.closes);
        // Byte by byte, as slowly as may be, each end is found at its byte.
        let mut ends = 0;
        for byte in &stream {
            frames.follow(&[*byte]);
            ends += usize::from(frames.is_between());
        }
        assert_eq!(ends, all.len());
        frames.follow(&[0x88, 0]);
        assert!(frames.closes);
    }

    /// What a client gets of an application that says `said` and goes on, when we leave after its first part.
    async fn heard(said: [&[u8]; 2]) -> Vec<u8> {
        let (mut application, ours) = tokio::io::duplex(1024);
        let (to_client, mut client) = tokio::io::duplex(1024);
        let closing = CancellationToken::new();
        let says = async {
            application.write_all(said[0]).await.unwrap();
            // Until it has passed.
            let mut first = vec![0; said[0].len()];
            client.read_exact(&mut first).await.unwrap();
            closing.cancel();
            application.write_all(said[1]).await.unwrap();
            drop(application);
            client.read_to_end(&mut first).await.unwrap();
            first
        };
        let (carried, heard) = tokio::join!(carry(ours, to_client, &closing), says);
        carried.unwrap();
        heard
    }

    #[tokio::test]
    async fn a_farewell_comes_between_two_frames_and_nothing_after_it() {
        let next = [0x81, 1, b'x'];
        let whole = [0x81, 3, b'o', b'n', b'e'];
        assert_eq!(heard([&whole, &next]).await, [&whole[..], &GOING_AWAY].concat());
        let rest = [&whole[3..], &next].concat();
        assert_eq!(heard([&whole[..3], &rest]).await, [&whole[..], &GOING_AWAY].concat());
        // Who said farewell already is not interrupted.
        let theirs = [0x88, 2, 0x03, 0xe8];
        assert_eq!(heard([&theirs, &[]]).await, theirs);
    }
}
