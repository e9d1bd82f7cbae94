//! A `WebSocket` that says everything back (RFC 6455): what a page's live updates are to a proxy.

use std::io;

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hyper_util::rt::TokioIo;
use sha1::{Digest as _, Sha1};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// What a server adds to the client's key (RFC 6455 §1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

const FINAL: u8 = 0x80;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;

/// The longest frame.
const MOST_BYTES: u64 = 64 * 1024;

/// `GET /live`
pub(super) async fn live(mut request: Request) -> Response {
    let Some(key) = request.headers().get("sec-websocket-key") else {
        return StatusCode::UPGRADE_REQUIRED.into_response();
    };
    let accept = STANDARD.encode(Sha1::new().chain_update(key.as_bytes()).chain_update(GUID).finalize());
    let Ok(accept) = HeaderValue::try_from(accept) else { return StatusCode::BAD_REQUEST.into_response() };
    let switched = hyper::upgrade::on(&mut request);
    #[expect(clippy::disallowed_methods, reason = "a stand-in drains nothing; the connection ends with it")]
    tokio::spawn(async move {
        let Ok(stream) = switched.await else { return };
        if let Err(error) = converse(TokioIo::new(stream)).await {
            tracing::debug!(%error, "a WebSocket ended early");
        }
    });
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert("sec-websocket-accept", accept);
    answer
}

async fn converse(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    loop {
        let (first, payload) = frame(&mut stream).await?;
        let opcode = first & 0xf;
        let answer = if opcode == PING { first & 0xf0 | PONG } else { first };
        if opcode != PONG {
            say(&mut stream, answer, &payload).await?;
        }
        if opcode == CLOSE {
            return stream.shutdown().await;
        }
    }
}

/// The next frame's first byte and its payload, unmasked.
async fn frame(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<(u8, Vec<u8>)> {
    let first = stream.read_u8().await?;
    let second = stream.read_u8().await?;
    let length = match second & 0x7f {
        126 => u64::from(stream.read_u16().await?),
        127 => stream.read_u64().await?,
        short => u64::from(short),
    };
    if second & 0x80 == 0 || length > MOST_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut mask = [0; 4];
    stream.read_exact(&mut mask).await?;
    let mut payload = Vec::new();
    stream.take(length).read_to_end(&mut payload).await?;
    payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    Ok((first, payload))
}

async fn say(stream: &mut (impl AsyncWrite + Unpin), first: u8, payload: &[u8]) -> io::Result<()> {
    let mut whole = vec![first | FINAL];
    match u16::try_from(payload.len()) {
        Ok(length) if length < 126 => whole.push(length.to_le_bytes()[0]),
        Ok(length) => {
            whole.push(126);
            whole.extend(length.to_be_bytes());
        }
        Err(_) => {
            whole.push(127);
            whole.extend((payload.len() as u64).to_be_bytes());
        }
    }
    whole.extend(payload);
    stream.write_all(&whole).await
}
