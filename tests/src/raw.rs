//! HTTP/1.1 over a bare TCP connection, for what a polite client would not do.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::wait::within;

/// One open connection.
pub struct Raw {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Raw {
    /// Connects to `address`.
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = within("connect", TcpStream::connect(address)).await;
        Self { stream: stream.expect("the server listens"), unread: Vec::new() }
    }

    /// Writes `text` as it is.
    pub async fn write(&mut self, text: &str) {
        let written = within("write", self.stream.write_all(text.as_bytes())).await;
        written.expect("the connection is open");
    }

    /// Tells the server that nothing more will come.
    pub async fn finish_writing(&mut self) {
        let _ = self.stream.shutdown().await; // It may have hung up already.
    }

    /// Reads one answer that has a `content-length`, and returns its head and body.
    pub async fn read_answer(&mut self) -> (String, String) {
        let head = self.read_until("\r\n\r\n").await;
        let length = head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .map(|(_, value)| value.trim().parse::<usize>().expect("a number"))
            .unwrap_or_else(|| panic!("an answer without content-length: {head}"));
        while self.unread.len() < length {
            assert!(self.read_more().await > 0, "the body ended early");
        }
        let body = self.unread.drain(..length).collect();
        (head, String::from_utf8(body).expect("text"))
    }

    /// Reads up to and including `end`.
    pub async fn read_until(&mut self, end: &str) -> String {
        loop {
            let found = self.unread.windows(end.len()).position(|window| window == end.as_bytes());
            if let Some(at) = found {
                let taken = self.unread.drain(..at + end.len()).collect();
                return String::from_utf8(taken).expect("text");
            }
            assert!(self.read_more().await > 0, "the connection ended before {end:?}");
        }
    }

    /// Everything up to the end of the connection, proper or not.
    pub async fn read_to_end(mut self) -> String {
        while self.read_more().await > 0 {}
        String::from_utf8_lossy(&self.unread).into_owned()
    }

    async fn read_more(&mut self) -> usize {
        let mut piece = [0; 4096];
        let read = within("read", self.stream.read(&mut piece)).await;
        let length = read.unwrap_or(0);
        self.unread.extend_from_slice(&piece[..length]);
        length
    }
}
