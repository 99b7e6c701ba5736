//! Answers of callees that are read before their callers ask for them.
//!
//! A replica may hold its place until its answer has been read. A caller that waits for another
//! call first, which needs that very place, would wait for itself, and the graph of calls could not
//! see it: it takes for granted that whoever calls nobody ends. So what is not too large is read
//! ahead. What is larger waits for its reader.

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tokio::task::AbortHandle;

/// Bytes of one answer that are read before anybody asks for them.
const AHEAD_BYTES: usize = 64 << 10;
/// What a piece counts at least, however short it is.
const PIECE_BYTES: usize = 256;

/// How long the head of an answer waits for its body: most are short, and a guest that finds all of
/// the answer there need not be suspended for it, nor a task be started that reads.
const MOMENT: Duration = Duration::from_millis(1);

/// A body that is read ahead.
pub struct Ahead<B: Body<Data = Bytes>> {
    reading: Arc<Mutex<Reading<B>>>,
    /// Reads ahead until somebody asks; none if there is nothing more to read ahead.
    task: Option<AbortHandle>,
}

struct Reading<B: Body<Data = Bytes>> {
    body: B,
    /// What was read and not asked for yet.
    pieces: VecDeque<Result<Frame<Bytes>, B::Error>>,
    bytes: usize,
    is_over: bool,
    /// Whether somebody has asked: from then on only they read.
    is_taken: bool,
}

impl<B> Ahead<B>
where
    B: Body<Data = Bytes, Error: Send> + Unpin + Send + 'static,
{
    /// Begins to read.
    pub async fn new(body: B) -> Self {
        let pieces = VecDeque::new();
        let mut reading = Reading { body, pieces, bytes: 0, is_over: false, is_taken: false };
        let is_here = reading.poll_ahead(&mut Context::from_waker(Waker::noop())).is_ready()
            || tokio::time::timeout(MOMENT, poll_fn(|cx| reading.poll_ahead(cx))).await.is_ok();
        if is_here {
            return Ahead { reading: Arc::new(Mutex::new(reading)), task: None };
        }
        let reading = Arc::new(Mutex::new(reading));
        let ahead = Arc::clone(&reading);
        let task = tokio::spawn(poll_fn(move |cx| ahead.lock().poll_ahead(cx)));
        Ahead { reading, task: Some(task.abort_handle()) }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Reading<B> {
    /// Ready when there is nothing more to read ahead.
    fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.is_over && !self.is_taken && self.bytes < AHEAD_BYTES {
            let Some(piece) = ready!(Pin::new(&mut self.body).poll_frame(cx)) else {
                self.is_over = true;
                break;
            };
            self.is_over = piece.is_err();
            let data = piece.as_ref().ok().and_then(Frame::data_ref);
            self.bytes += data.map_or(0, Bytes::len).max(PIECE_BYTES);
            self.pieces.push_back(piece);
        }
        Poll::Ready(())
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Ahead<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut reading = self.reading.lock();
        if !reading.is_taken {
            reading.is_taken = true;
            if let Some(task) = &self.task {
                task.abort();
            }
        }
        match reading.pieces.pop_front() {
            Some(piece) => Poll::Ready(Some(piece)),
            None if reading.is_over => Poll::Ready(None),
            None => Pin::new(&mut reading.body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        let reading = self.reading.lock();
        reading.pieces.is_empty() && (reading.is_over || reading.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

impl<B: Body<Data = Bytes>> Drop for Ahead<B> {
    /// Whoever writes the body is told at once that nobody wants it.
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;
    use http_body_util::BodyExt as _;
    use http_body_util::channel::{Channel, Sender};

    type Broken = std::io::Error;

    async fn body() -> (Sender<Bytes, Broken>, Ahead<Channel<Bytes, Broken>>) {
        let (sender, body) = Channel::new(1);
        (sender, Ahead::new(body).await)
    }

    fn piece(bytes: usize) -> Bytes {
        vec![b'x'; bytes].into()
    }

    #[tokio::test]
    async fn small_answers_are_read_to_their_end_by_themselves() {
        let (mut sender, body) = body().await;
        for _ in 0..100 {
            sender.send_data(piece(10)).await.unwrap();
        }
        sender.send_trailers(HeaderMap::from_iter([(http::header::AGE, 7.into())])).await.unwrap();
        drop(sender);
        let read = body.collect().await.unwrap();
        assert_eq!(read.trailers().unwrap()[http::header::AGE], "7");
        assert_eq!(read.to_bytes().len(), 1000);
    }

    #[tokio::test]
    async fn large_answers_wait_for_their_reader() {
        let (mut sender, mut body) = body().await;
        let writer = tokio::spawn(async move {
            let mut sent = 0;
            while sender.send_data(piece(1000)).await.is_ok() {
                sent += 1000;
                if sent == 1_000_000 {
                    break;
                }
            }
            sent
        });
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        let read = body.reading.lock().bytes;
        assert!((AHEAD_BYTES..AHEAD_BYTES + 1000).contains(&read), "{read}");
        assert!(!writer.is_finished());
        let mut total = 0;
        while let Some(frame) = body.frame().await {
            total += frame.unwrap().into_data().unwrap().len();
        }
        assert_eq!((total, writer.await.unwrap()), (1_000_000, 1_000_000));
    }

    #[tokio::test]
    async fn readers_that_come_and_go_lose_nothing() {
        let (mut sender, mut body) = body().await;
        sender.send_data(piece(1)).await.unwrap();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), piece(1));
        // It was waiting when it went.
        tokio::select! {
            biased;
            _ = body.frame() => panic!("there is nothing to read"),
            () = tokio::task::yield_now() => {}
        }
        sender.send_data(piece(2)).await.unwrap();
        sender.abort(Broken::other("broken"));
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), piece(2));
        assert_eq!(body.frame().await.unwrap().unwrap_err().to_string(), "broken");
    }

    #[tokio::test]
    async fn errors_come_after_what_was_read_ahead() {
        let (mut sender, mut body) = body().await;
        sender.send_data(piece(3)).await.unwrap();
        sender.abort(Broken::other("broken"));
        while !body.reading.lock().is_over {
            tokio::task::yield_now().await;
        }
        assert!(!body.is_end_stream());
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), piece(3));
        assert_eq!(body.frame().await.unwrap().unwrap_err().to_string(), "broken");
        assert!(body.frame().await.is_none() && body.is_end_stream());
    }

    #[tokio::test]
    async fn writers_are_told_that_nobody_reads() {
        let (mut sender, body) = body().await;
        sender.send_data(piece(1)).await.unwrap();
        drop(body);
        while sender.send_data(piece(1)).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }
}
