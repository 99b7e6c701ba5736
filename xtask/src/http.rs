//! A small HTTP/1.1 client with a kept connection: enough to be a user of both listeners.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Longest silence before a request counts as failed.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// One connection to `host`, opened when it is needed.
pub struct Http {
    host: String,
    connection: Option<BufReader<TcpStream>>,
}

pub struct Reply {
    pub status: u16,
    pub body: Vec<u8>,
    keep: bool,
}

impl Http {
    /// `address` is what the server prints, such as `http://127.0.0.1:8080`.
    pub fn new(address: &str) -> Self {
        let host = address.trim_start_matches("http://").trim_end_matches('/').to_owned();
        Self { host, connection: None }
    }

    /// GET, and the answer read as JSON.
    pub fn json(&mut self, path: &str) -> Result<Value> {
        let reply = self.send("GET", path, &[]).with_context(|| format!("GET {path}"))?;
        if reply.status != 200 {
            bail!("GET {path}: {} {}", reply.status, String::from_utf8_lossy(&reply.body));
        }
        serde_json::from_slice(&reply.body).with_context(|| format!("GET {path}: read JSON"))
    }

    /// Sends a request and reads the whole answer. Nothing is tried twice.
    pub fn send(&mut self, method: &str, path: &str, body: &[u8]) -> io::Result<Reply> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\ncontent-length: {}\r\n\r\n",
            self.host,
            body.len()
        );
        let mut stream = connection.get_ref();
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)?;
        let reply = read_reply(&mut connection)?;
        if reply.keep {
            self.connection = Some(connection);
        }
        Ok(reply)
    }

    fn connect(&self) -> io::Result<BufReader<TcpStream>> {
        let stream = TcpStream::connect(&self.host)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SILENCE_MAX))?;
        stream.set_write_timeout(Some(SILENCE_MAX))?;
        Ok(BufReader::new(stream))
    }
}

fn read_reply(from: &mut impl BufRead) -> io::Result<Reply> {
    let status_line = line(from)?;
    let status = status_line.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| broken(&format!("status line `{status_line}`")))?;
    let (mut length, mut chunked, mut keep) = (None, false, true);
    loop {
        let header = line(from)?.to_ascii_lowercase();
        match header.split_once(':').map(|(name, value)| (name, value.trim())) {
            Some(("content-length", value)) => length = value.parse::<usize>().ok(),
            Some(("transfer-encoding", value)) => chunked = value == "chunked",
            Some(("connection", value)) => keep = value != "close",
            Some(_) => {}
            None if header.is_empty() => break,
            None => return Err(broken(&format!("header `{header}`"))),
        }
    }
    let mut body = Vec::new();
    match length {
        _ if chunked => while read_chunk(from, &mut body)? {},
        Some(length) => append(from, &mut body, length)?,
        None if status == 204 || status == 304 => {}
        None => {
            keep = false;
            from.read_to_end(&mut body)?;
        }
    }
    Ok(Reply { status, body, keep })
}

/// False at the end of the body.
fn read_chunk(from: &mut impl BufRead, body: &mut Vec<u8>) -> io::Result<bool> {
    let size = line(from)?;
    let size = usize::from_str_radix(size.split(';').next().unwrap_or_default().trim(), 16);
    let size = size.map_err(|_| broken("chunk size"))?;
    if size == 0 {
        while !line(from)?.is_empty() {} // Trailers.
        return Ok(false);
    }
    append(from, body, size)?;
    line(from)?;
    Ok(true)
}

fn append(from: &mut impl Read, body: &mut Vec<u8>, length: usize) -> io::Result<()> {
    if from.take(length as u64).read_to_end(body)? < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

fn line(from: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    if from.take(64 * 1024).read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not HTTP: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, status: u16, body: &str, keep: bool) {
        let reply = read_reply(&mut text.as_bytes()).unwrap();
        assert_eq!((reply.status, reply.keep), (status, keep));
        assert_eq!(String::from_utf8(reply.body).unwrap(), body);
    }

    #[test]
    fn bodies_of_all_kinds_are_read() {
        check("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhirest", 200, "hi", true);
        check("HTTP/1.1 204 No Content\r\n\r\n", 204, "", true);
        check(
            "HTTP/1.1 503 Busy\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
            503,
            "",
            false,
        );
        check("HTTP/1.1 200 OK\r\n\r\nto the end", 200, "to the end", false);
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n1;x=y\r\n!\r\n0\r\nt: 1\r\n\r\n";
        check(chunked, 200, "hi!", true);
    }

    #[test]
    fn cut_answers_are_errors() {
        for text in ["", "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nhi", "hello\r\n\r\n"] {
            assert!(read_reply(&mut text.as_bytes()).is_err(), "{text}");
        }
    }
}
