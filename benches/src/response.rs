//! Just enough of an HTTP/1.1 response to know its status and where it ends.

/// A complete response at the start of a buffer.
#[derive(Debug, PartialEq, Eq)]
pub struct Complete {
    pub status: u16,
    /// Head and body.
    pub len: usize,
    /// Of the body, without its framing.
    pub body_bytes: usize,
    /// The server closes the connection after it.
    pub is_last: bool,
}

/// The response at the start of `bytes`; `None` while it is not complete.
///
/// # Errors
///
/// When it is no response that a server under test should send.
pub fn parse(bytes: &[u8]) -> Result<Option<Complete>, String> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let head = match response.parse(bytes).map_err(|error| error.to_string())? {
        httparse::Status::Complete(len) => len,
        httparse::Status::Partial => return Ok(None),
    };
    let status = response.code.ok_or("no status")?;
    let (mut body, mut is_last) = (Body::None, false);
    for header in response.headers {
        if header.name.eq_ignore_ascii_case("content-length") {
            let text = std::str::from_utf8(header.value).map_err(|error| error.to_string())?;
            body = Body::Length(text.parse().map_err(|_| format!("content length `{text}`"))?);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            body = Body::Chunked;
        } else if header.name.eq_ignore_ascii_case("connection") {
            is_last = header.value.eq_ignore_ascii_case(b"close");
        }
    }
    let body = match body {
        Body::None => Some((0, 0)),
        Body::Length(len) => (bytes.len() - head >= len).then_some((len, len)),
        Body::Chunked => chunked_len(&bytes[head..])?,
    };
    Ok(body.map(|(len, body_bytes)| Complete { status, len: head + len, body_bytes, is_last }))
}

enum Body {
    None,
    Length(usize),
    Chunked,
}

/// Length of a chunked body with its framing and without; `None` while it is not complete.
fn chunked_len(bytes: &[u8]) -> Result<Option<(usize, usize)>, String> {
    let (mut at, mut body_bytes) = (0, 0);
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        match httparse::parse_chunk_size(rest).map_err(|_| "chunk size".to_owned())? {
            httparse::Status::Partial => return Ok(None),
            httparse::Status::Complete((line, 0)) => {
                // Servers under test send no trailers.
                return Ok((rest.len() >= line + 2).then_some((at + line + 2, body_bytes)));
            }
            httparse::Status::Complete((line, size)) => {
                at += line + size as usize + 2;
                body_bytes += size as usize;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, status: u16, body_bytes: usize, is_last: bool) {
        let expected = Complete { status, len: text.len(), body_bytes, is_last };
        let longer = format!("{text}HTTP/1.1");
        assert_eq!(parse(longer.as_bytes()), Ok(Some(expected)));
        for end in 0..text.len() {
            assert_eq!(parse(&text.as_bytes()[..end]), Ok(None), "{end}");
        }
    }

    #[test]
    fn responses_end_where_they_end() {
        check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, 2, false);
        check("HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n", 204, 0, true);
        check(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n1\r\n!\r\n0\r\n\r\n",
            200,
            3,
            false,
        );
    }

    #[test]
    fn nonsense_is_an_error() {
        assert!(parse(b"hello\r\n\r\n").is_err());
    }
}
