//! HTTP/1.1 over a bare TCP connection, for what a polite client would not do.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::wait::within;

/// One open connection. Dropping it closes it properly.
pub struct Raw {
    stream: TcpStream,
    unread: Vec<u8>,
}

/// A complete answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// Status line and headers.
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a header; the last one if there are several.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }
}

fn header<'head>(head: &'head str, name: &str) -> Option<&'head str> {
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    let mut named = lines.filter(|(other, _)| other.eq_ignore_ascii_case(name));
    named.next_back().map(|(_, value)| value.trim())
}

impl Raw {
    /// Connects to `address`.
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = within("connect", TcpStream::connect(address)).await;
        Self { stream: stream.expect("the server listens"), unread: Vec::new() }
    }

    /// Connects to `address` from an address of this machine.
    pub async fn connect_from(source: Ipv4Addr, address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("make a socket");
        socket.bind(SocketAddr::new(IpAddr::V4(source), 0)).expect("the address has a free port");
        Self::connect_socket(socket, address).await
    }

    /// Connects to `address` with so little room for what comes that the server has to wait soon.
    pub async fn connect_narrow(address: SocketAddr) -> Self {
        const RECEIVE_BYTES: u32 = 4096;
        let socket = TcpSocket::new_v4().expect("make a socket");
        socket.set_recv_buffer_size(RECEIVE_BYTES).expect("the kernel allows it");
        Self::connect_socket(socket, address).await
    }

    async fn connect_socket(socket: TcpSocket, address: SocketAddr) -> Self {
        let stream = within("connect", socket.connect(address)).await;
        Self { stream: stream.expect("the server listens"), unread: Vec::new() }
    }

    /// Writes `text` as it is.
    pub async fn write(&mut self, text: &str) {
        self.try_write(text.as_bytes()).await.expect("the connection is open");
    }

    /// Writes `bytes` as they are.
    ///
    /// # Errors
    /// When the server has hung up.
    pub async fn try_write(&mut self, bytes: &[u8]) -> io::Result<()> {
        within("write", self.stream.write_all(bytes)).await
    }

    /// Tells the server that nothing more will come.
    pub async fn finish_writing(&mut self) {
        let _ = self.stream.shutdown().await; // It may have hung up already.
    }

    /// Vanishes: whatever the server still sends or asks is answered with a reset.
    pub fn reset(self) {
        self.stream.set_zero_linger().expect("the socket is open");
    }

    /// The parts of the connection, for those who read and write at once. Nothing may be unread.
    pub fn into_stream(self) -> TcpStream {
        assert!(self.unread.is_empty(), "something was read and not used");
        self.stream
    }

    /// Reads one answer that has a `content-length`, and returns its head and body.
    pub async fn read_answer(&mut self) -> (String, String) {
        let head = self.read_until("\r\n\r\n").await;
        let length = content_length(&head)
            .unwrap_or_else(|| panic!("an answer without content-length: {head}"));
        let body = self.read_bytes(length).await;
        (head, String::from_utf8(body).expect("text"))
    }

    /// Reads one answer to a request of the method `method`.
    pub async fn read_answer_to(&mut self, method: &str) -> Answer {
        let head = self.read_until("\r\n\r\n").await;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status: {head}"));
        let body = if method == "HEAD" || matches!(status, 204 | 304) {
            Vec::new()
        } else if header(&head, "transfer-encoding") == Some("chunked") {
            self.read_chunks().await
        } else {
            let length = content_length(&head);
            self.read_bytes(length.unwrap_or_else(|| panic!("a body without end: {head}"))).await
        };
        Answer { status, head, body }
    }

    async fn read_chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let line = self.read_until("\r\n").await;
            let length = usize::from_str_radix(line.trim_end(), 16).expect("a chunk's length");
            let mut chunk = self.read_bytes(length + 2).await;
            chunk.truncate(length);
            if chunk.is_empty() {
                return body;
            }
            body.extend_from_slice(&chunk);
        }
    }

    /// Reads so many bytes.
    pub async fn read_bytes(&mut self, count: usize) -> Vec<u8> {
        while self.unread.len() < count {
            assert!(self.read_more().await > 0, "the connection ended early");
        }
        self.unread.drain(..count).collect()
    }

    /// Takes one byte, and no more, from the kernel. None if the connection has ended.
    pub async fn take_byte(&mut self) -> Option<u8> {
        assert!(self.unread.is_empty(), "something was read and not used");
        let mut byte = [0];
        let read = within("read", self.stream.read(&mut byte)).await;
        (read.unwrap_or(0) == 1).then_some(byte[0])
    }

    /// Puts back what was read last.
    pub fn unread(&mut self, bytes: &[u8]) {
        self.unread.splice(..0, bytes.iter().copied());
    }

    /// Reads up to and including `end`.
    pub async fn read_until(&mut self, end: &str) -> String {
        let mut searched = 0;
        loop {
            let rest = self.unread.get(searched..).unwrap_or_default();
            let found = rest.windows(end.len()).position(|window| window == end.as_bytes());
            if let Some(at) = found {
                let taken = self.unread.drain(..searched + at + end.len()).collect();
                return String::from_utf8(taken).expect("text");
            }
            searched = (self.unread.len() + 1).saturating_sub(end.len());
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

fn content_length(head: &str) -> Option<usize> {
    header(head, "content-length").map(|value| value.parse().expect("a number"))
}
