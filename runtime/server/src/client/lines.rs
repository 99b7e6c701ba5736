//! The log as a sequence of lines.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::{ClientError, error};

/// A line of this length is not a log line; without a bound a broken server could fill the memory.
const LINE_BYTES_MAX: usize = 1024 * 1024;

/// The lines of an answer with one JSON object per line.
pub struct LogLines {
    url: String,
    body: Incoming,
    /// What was received and not handed out.
    rest: BytesMut,
}

impl LogLines {
    pub(super) fn new(url: String, body: Incoming) -> LogLines {
        LogLines { url, body, rest: BytesMut::new() }
    }

    /// The next line, without its end; `None` when there are no more. Empty lines are left out.
    ///
    /// # Errors
    ///
    /// When the connection breaks or a line does not end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        loop {
            if let Some(line) = take_line(&mut self.rest) {
                return Ok(Some(line));
            }
            if self.rest.len() > LINE_BYTES_MAX {
                return Err(self.broken("a line does not end".to_owned()));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        self.rest.extend_from_slice(&bytes);
                    }
                }
                Some(Err(error)) => return Err(self.broken(error::root_cause(&error))),
                None if self.rest.is_empty() => return Ok(None),
                None => self.rest.extend_from_slice(b"\n"),
            }
        }
    }

    fn broken(&self, reason: String) -> ClientError {
        ClientError::Broken { url: self.url.clone(), reason }
    }
}

/// Takes the first line that is complete and not empty.
fn take_line(rest: &mut BytesMut) -> Option<Bytes> {
    while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
        let mut line = rest.split_to(end + 1);
        line.truncate(end);
        if line.last() == Some(&b'\r') {
            line.truncate(end - 1);
        }
        if !line.is_empty() {
            return Some(line.freeze());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_at_newlines() {
        let mut rest = BytesMut::from(&b"one\r\n\n\ntwo\nthr"[..]);
        assert_eq!(take_line(&mut rest).unwrap(), "one");
        assert_eq!(take_line(&mut rest).unwrap(), "two");
        assert_eq!(take_line(&mut rest), None);
        assert_eq!(rest, "thr");
    }
}
