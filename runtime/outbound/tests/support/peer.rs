//! A site that does, byte by byte, what the test does.

use super::{Answer, soon, start};
use http::Request;
use samovar_outbound::Client;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A site without any behaviour of its own.
pub struct Blank {
    listener: TcpListener,
}

/// The site's end of a connection.
pub struct Peer(pub TcpStream);

impl Blank {
    pub async fn new() -> Blank {
        Blank { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://site.example:{}{path}", self.listener.local_addr().unwrap().port())
    }

    pub async fn accept(&self) -> Peer {
        Peer(soon(self.listener.accept()).await.unwrap().0)
    }

    /// What becomes of a request whose answer is these bytes, after which the site closes.
    pub async fn answer_and_close(
        &self,
        client: &Client,
        request: Request<super::Sent>,
        bytes: &[u8],
    ) -> Answer {
        let sent = start(client, request);
        let mut peer = self.accept().await;
        peer.head().await;
        peer.write(bytes).await;
        drop(peer);
        soon(sent).await.unwrap()
    }
}

impl Peer {
    /// The head of a request, without its last empty line.
    pub async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let byte = soon(self.0.read_u8()).await.expect("the connection ends in a head");
            head.push(byte);
        }
        String::from_utf8(head).unwrap().trim_end().replace("\r\n", "\n")
    }

    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        soon(self.0.write_all(bytes.as_ref())).await.unwrap();
    }

    /// Answers with this body.
    pub async fn answer(&mut self, body: &str) {
        let length = body.len();
        self.write(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}")).await;
    }

    /// Waits until the client closes the connection.
    pub async fn sees_the_end(&mut self) {
        // A connection with unread bytes is reset; that is an end too.
        _ = soon(tokio::io::copy(&mut self.0, &mut tokio::io::sink())).await;
    }
}
