//! HTTP/2 frame by frame, for what a polite client would not do. Without any checks.
//!
//! Frames are laid out as RFC 9113 says. Headers are written as literals that are not indexed, so
//! that no state is kept (RFC 7541, section 6.2.2).

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::wait::within;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEAD_BYTES: usize = 9;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// The setting for how many bytes of a stream may be sent before its window is opened further.
pub const INITIAL_WINDOW_SIZE: u16 = 4;
/// The stream was not worked on, and may be tried again.
pub const REFUSED_STREAM: u32 = 7;
/// The stream is not wanted any more.
pub const CANCEL: u32 = 8;

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn new(kind: u8, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) -> Self {
        Frame { kind, flags, stream, payload: payload.into() }
    }

    /// The request of a method and a path, with a body still to come unless `flags` says that it
    /// has ended.
    pub fn request(stream: u32, method: &str, path: &str, flags: u8) -> Self {
        let mut block = Vec::new();
        let fields =
            [(":method", method), (":scheme", "http"), (":authority", "x"), (":path", path)];
        for (name, value) in fields {
            literal(&mut block, name, value);
        }
        Frame::new(HEADERS, flags | END_HEADERS, stream, block)
    }

    /// Gives up a stream.
    pub fn reset(stream: u32) -> Self {
        Frame::new(RST_STREAM, 0, stream, CANCEL.to_be_bytes())
    }

    /// A question that the other side answers once it has read what came before.
    pub fn ping() -> Self {
        Frame::new(PING, 0, 0, [0; 8])
    }

    /// Lets the other side send so many bytes more.
    pub fn window(stream: u32, more_bytes: u32) -> Self {
        Frame::new(WINDOW_UPDATE, 0, stream, more_bytes.to_be_bytes())
    }

    /// Whether it ends its stream.
    pub fn ends_stream(&self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }

    /// Whether it is the head of an answer with the status 200, as the server writes it.
    pub fn is_ok(&self) -> bool {
        const INDEXED_STATUS_200: u8 = 0x88;
        self.kind == HEADERS && self.payload.first() == Some(&INDEXED_STATUS_200)
    }

    /// The code of a stream's or a connection's end.
    pub fn code(&self) -> Option<u32> {
        let at = match self.kind {
            RST_STREAM => 0,
            GOAWAY => 4,
            _ => return None,
        };
        Some(u32::from_be_bytes(self.payload.get(at..at + 4)?.try_into().ok()?))
    }

    /// Appends it as it is sent.
    pub fn write_to(&self, bytes: &mut Vec<u8>) {
        let length = u32::try_from(self.payload.len()).expect("a short payload");
        bytes.extend_from_slice(&length.to_be_bytes()[1..]);
        bytes.extend_from_slice(&[self.kind, self.flags]);
        bytes.extend_from_slice(&self.stream.to_be_bytes());
        bytes.extend_from_slice(&self.payload);
    }
}

/// Appends a header whose name and value are shorter than 127 bytes.
pub fn literal(block: &mut Vec<u8>, name: &str, value: &str) {
    const LITERAL_NEW_NAME: u8 = 0;
    block.push(LITERAL_NEW_NAME);
    for text in [name, value] {
        assert!(text.len() < 127, "longer lengths are written in another way");
        block.push(text.len() as u8);
        block.extend_from_slice(text.as_bytes());
    }
}

/// All of `frames` as they are sent.
pub fn bytes_of(frames: impl IntoIterator<Item = Frame>) -> Vec<u8> {
    let mut bytes = Vec::new();
    frames.into_iter().for_each(|frame| frame.write_to(&mut bytes));
    bytes
}

/// The number of the stream that a client opens as its `index`-th, from 0.
pub fn stream_number(index: usize) -> u32 {
    u32::try_from(2 * index + 1).expect("a small number")
}

/// Sends frames.
pub struct Sender(OwnedWriteHalf);

/// Receives frames.
pub struct Receiver {
    half: OwnedReadHalf,
    unread: Vec<u8>,
}

/// Opens a connection with these settings. Nothing is acknowledged or answered by itself.
pub async fn connect(address: SocketAddr, settings: &[(u16, u32)]) -> (Sender, Receiver) {
    let stream = within("connect", TcpStream::connect(address)).await.expect("the server listens");
    stream.set_nodelay(true).expect("the socket is open");
    let (read, write) = stream.into_split();
    let mut sender = Sender(write);
    let mut payload = Vec::new();
    for (name, value) in settings {
        payload.extend_from_slice(&name.to_be_bytes());
        payload.extend_from_slice(&value.to_be_bytes());
    }
    let mut bytes = PREFACE.to_vec();
    Frame::new(SETTINGS, 0, 0, payload).write_to(&mut bytes);
    assert!(sender.send_bytes(&bytes).await, "the server has hung up already");
    (sender, Receiver { half: read, unread: Vec::new() })
}

/// Vanishes: whatever the server still sends is answered with a reset.
pub fn vanish(sender: Sender, receiver: Receiver) {
    let stream = receiver.half.reunite(sender.0).expect("they are of one connection");
    stream.set_zero_linger().expect("the socket is open");
}

impl Sender {
    /// Sends frames in one write. False if the server has hung up.
    pub async fn send(&mut self, frames: impl IntoIterator<Item = Frame>) -> bool {
        self.send_bytes(&bytes_of(frames)).await
    }

    /// Sends bytes as they are. False if the server has hung up.
    pub async fn send_bytes(&mut self, bytes: &[u8]) -> bool {
        within("write frames", self.0.write_all(bytes)).await.is_ok()
    }
}

impl Receiver {
    /// The next frame. None when the connection has ended.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.take() {
                return Some(frame);
            }
            let mut piece = [0; 4096];
            let read = within("read a frame", self.half.read(&mut piece)).await;
            let length = read.unwrap_or(0);
            if length == 0 {
                return None;
            }
            self.unread.extend_from_slice(&piece[..length]);
        }
    }

    fn take(&mut self) -> Option<Frame> {
        let head = self.unread.get(..HEAD_BYTES)?;
        let (kind, flags) = (head[3], head[4]);
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let stream = u32::from_be_bytes(head[5..HEAD_BYTES].try_into().expect("four bytes"));
        let payload = self.unread.get(HEAD_BYTES..HEAD_BYTES + length)?.to_vec();
        self.unread.drain(..HEAD_BYTES + length);
        Some(Frame { kind, flags, stream, payload })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_laid_out_as_the_standard_says() {
        assert_eq!(bytes_of([Frame::reset(5)]), [0, 0, 4, 3, 0, 0, 0, 0, 5, 0, 0, 0, 8]);
        let window = [0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 1, 0];
        assert_eq!(bytes_of([Frame::window(0, 256)]), window);
        let mut block = Vec::new();
        literal(&mut block, "a", "bc");
        assert_eq!(block, [0, 1, b'a', 2, b'b', b'c']);
    }

    #[test]
    fn ends_are_told_with_their_code() {
        assert_eq!(Frame::reset(5).code(), Some(CANCEL));
        assert_eq!(Frame::new(GOAWAY, 0, 0, [0, 0, 0, 1, 0, 0, 0, 11]).code(), Some(11));
        assert_eq!(Frame::new(DATA, 0, 1, [1, 2, 3, 4]).code(), None);
        assert!(Frame::new(DATA, END_STREAM, 1, []).ends_stream());
        assert!(!Frame::reset(1).ends_stream());
    }
}
