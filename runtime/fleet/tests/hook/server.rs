//! A server that answers with what a test wrote down, byte for byte.

use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

/// One request as it arrived.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Request line and headers in lower case.
    pub head: String,
    pub body: String,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// Answers each connection once: with the next of its answers, then with the last for ever.
pub struct Server {
    /// `127.0.0.1:PORT`.
    pub address: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub async fn start(answers: &[&str]) -> Self {
        Self::listen(answers, None).await
    }

    pub async fn start_tls(answers: &[&str], tls: rustls::ServerConfig) -> Self {
        Self::listen(answers, Some(TlsAcceptor::from(Arc::new(tls)))).await
    }

    pub fn url(&self) -> String {
        format!("http://{}/fleet?secret=1", self.address)
    }

    /// The requests so far, first one first.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    async fn listen(answers: &[&str], tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let answers: Vec<String> = answers.iter().map(|&answer| answer.to_owned()).collect();
        let shared = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                match &tls {
                    None => answer(stream, &answers, &shared).await,
                    // A client that trusts nobody goes away here.
                    Some(tls) => match tls.accept(stream).await {
                        Ok(stream) => answer(stream, &answers, &shared).await,
                        Err(_) => continue,
                    },
                }
            }
        });
        Self { address, seen, task }
    }
}

/// One request, one answer. An empty answer closes the connection, `hang` keeps it open.
async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answers: &[String],
    seen: &Mutex<Vec<Seen>>,
) {
    let Some(request) = read(&mut stream).await else { return };
    let number = {
        let mut seen = seen.lock().unwrap();
        seen.push(request);
        seen.len()
    };
    let answer = &answers[(number - 1).min(answers.len() - 1)];
    if answer == "hang" {
        // Until the client has had enough.
        let _ = stream.read(&mut [0]).await;
        return;
    }
    // The client may have read enough before the end.
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<Seen> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let seen = Seen { head: head.to_lowercase(), body: body.to_owned() };
            let length = seen.header("content-length").map_or(0, |n| n.parse().unwrap());
            if body.len() >= length {
                return Some(seen);
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

/// A complete answer with a body.
pub fn reply(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{headers}\r\n{body}")
}
