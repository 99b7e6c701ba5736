//! One HTTP question to a replica, and what to make of the answer. As little HTTP as it takes: a
//! request line out, a status line in. The rest is read and thrown away, since to close a connection
//! with unread bytes resets it, which many servers log as an error.

use crate::failure::seconds;
use crate::plan::Endpoint;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

/// A status line begins within so many bytes, or it is none.
const ANSWER_BYTES_MAX: usize = 64;
/// So much of an answer is read before the connection is closed all the same.
const REST_BYTES_MAX: u64 = 64 << 10;
/// How long the rest of an answer is waited for.
const REST_TIME_MAX: Duration = Duration::from_millis(250);
/// So much of an answer that is not HTTP is quoted.
const QUOTE_BYTES_MAX: usize = 24;

/// What came of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// An HTTP answer with this status.
    Status(u16),
    /// Nobody listens.
    Nobody,
    /// The connection was made, and closed without a byte.
    Closed,
    /// The connection was made, and nothing came in this time, or nothing yet.
    Silent(Option<Duration>),
    /// What came is not HTTP.
    Garbage(Vec<u8>),
    /// There is no connection for another reason.
    Failed(String),
}

impl Answer {
    /// Whether it is an answer at all.
    pub(crate) fn is_http(&self) -> bool {
        matches!(self, Answer::Status(_))
    }

    /// Whether it is one that means well.
    pub(crate) fn is_good(&self) -> bool {
        matches!(self, Answer::Status(200..=399))
    }

    /// The same in words, after the endpoint or the path that was asked for.
    pub(crate) fn describe(&self, endpoint: &Endpoint, path: &str) -> String {
        match self {
            Answer::Status(404) => {
                format!("GET {path} answers 404; is this the path to ask for its health?")
            }
            Answer::Status(status) => format!("GET {path} answers {status}"),
            Answer::Nobody => format!("nothing listens on {endpoint}"),
            Answer::Closed => format!("{endpoint} closes the connection without an answer"),
            Answer::Silent(time) => {
                let within = time.map(|time| format!(" within {}", seconds(time)));
                let within = within.unwrap_or_default();
                format!("{endpoint} accepts the connection and does not answer{within}")
            }
            Answer::Garbage(bytes) => format!("{endpoint} {}", said(bytes)),
            Answer::Failed(error) => format!("no connection to {endpoint}: {error}"),
        }
    }
}

/// Bytes that are not HTTP, in words.
pub(crate) fn said(bytes: &[u8]) -> String {
    match bytes {
        [0x15 | 0x16, 3, ..] => "speaks TLS".to_owned(),
        [_, _, _, 4, _, 0, 0, 0, 0, ..] => "speaks HTTP/2 only".to_owned(),
        _ => {
            let quote = &bytes[..bytes.len().min(QUOTE_BYTES_MAX)];
            format!("answers `{}`", quote.escape_ascii())
        }
    }
}

/// Asks `GET path`. Tells `connected` when there is a connection.
pub(crate) async fn ask(
    endpoint: &Endpoint,
    path: &str,
    timeout: Duration,
    connected: impl FnOnce(),
) -> Answer {
    let mut is_connected = false;
    let connected = || {
        is_connected = true;
        connected();
    };
    let answer = async {
        match endpoint {
            Endpoint::Tcp(address) => {
                let stream = TcpStream::connect(address).await.inspect(|_| connected());
                talk(stream, &address.to_string(), path).await
            }
            Endpoint::Unix(socket) => {
                let stream = UnixStream::connect(socket).await.inspect(|_| connected());
                talk(stream, "localhost", path).await
            }
        }
    };
    match tokio::time::timeout(timeout, answer).await {
        Ok(answer) => answer,
        Err(_) if is_connected => Answer::Silent(Some(timeout)),
        Err(_) => Answer::Failed(format!("none within {}", seconds(timeout))),
    }
}

async fn talk(
    connected: io::Result<impl AsyncRead + AsyncWrite + Unpin>,
    host: &str,
    path: &str,
) -> Answer {
    let mut connection = match connected {
        Ok(connection) => connection,
        Err(error) => {
            return match error.kind() {
                io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => Answer::Nobody,
                _ => Answer::Failed(error.to_string()),
            };
        }
    };
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: samovar\r\nAccept: */*\r\n\
         Connection: close\r\n\r\n"
    );
    // Who says something before it has read our question has an answer for us all the same.
    _ = connection.write_all(request.as_bytes()).await;
    let mut answer = Vec::with_capacity(ANSWER_BYTES_MAX);
    let mut head = connection.take(ANSWER_BYTES_MAX as u64);
    loop {
        match head.read_buf(&mut answer).await {
            Ok(0) | Err(_) if answer.is_empty() => return Answer::Closed,
            Ok(0) | Err(_) => return Answer::Garbage(answer),
            Ok(_) => {}
        }
        if let Some(answer) = judge(&answer) {
            let mut rest = head.into_inner().take(REST_BYTES_MAX);
            let mut sink = tokio::io::sink();
            let drain = tokio::io::copy(&mut rest, &mut sink);
            _ = tokio::time::timeout(REST_TIME_MAX, drain).await;
            return answer;
        }
    }
}

/// What the first bytes are; `None` while they could become a status line yet.
fn judge(bytes: &[u8]) -> Option<Answer> {
    const VERSION: &[u8] = b"HTTP/1.";
    let garbage = || Some(Answer::Garbage(bytes.to_vec()));
    let common = bytes.len().min(VERSION.len());
    if bytes[..common] != VERSION[..common] {
        return garbage();
    }
    let rest = bytes.get(VERSION.len()..VERSION.len() + 5)?;
    let [b'0' | b'1', b' ', status @ ..] = rest else { return garbage() };
    let status = std::str::from_utf8(status).ok().and_then(|status| status.parse().ok());
    status.filter(|status| *status >= 100).map(Answer::Status).or_else(garbage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_lines_are_told_from_garbage() {
        assert_eq!(judge(b"HTTP/1.1 200 OK\r\n"), Some(Answer::Status(200)));
        assert_eq!(judge(b"HTTP/1.0 503"), Some(Answer::Status(503)));
        assert_eq!(judge(b"HTTP/1.1 20"), None);
        assert_eq!(judge(b"HT"), None);
        for bad in [&b"SSH-2.0"[..], b"HTTP/2 200 OK", b"HTTP/1.1  200", b"HTTP/1.1 099 x"] {
            assert_eq!(judge(bad), Some(Answer::Garbage(bad.to_vec())));
        }
    }

    #[test]
    fn garbage_is_named_where_it_is_known() {
        assert_eq!(said(b"\x15\x03\x03\0\x02"), "speaks TLS");
        assert_eq!(said(b"\0\0\x12\x04\0\0\0\0\0\0\x03"), "speaks HTTP/2 only");
        assert_eq!(said(b"+OK ready\r\n"), "answers `+OK ready\\r\\n`");
    }
}
