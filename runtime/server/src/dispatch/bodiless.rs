//! Requests that have no body as a rule, but may.
//!
//! A guest that makes a GET may end its body only after it has sent the request. Over HTTP/1.1 that
//! would have to be announced as a body of unknown length, which many servers mistrust, and whose
//! end may come after the answer: then the server closes the connection. So such a request waits a
//! moment for the end of its body.

use super::body::empty;
use bytes::Bytes;
use http::{Method, Request};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use wasmtime_wasi_http::{Error as WasiError, WasiBody};

/// How long a request waits. Guests that end their body at all do it within microseconds.
const SETTLE_MAX: Duration = Duration::from_millis(100);

/// A request whose method says that it has no body, with none if that is so.
pub async fn settled(request: Request<WasiBody>) -> Request<WasiBody> {
    let has_none = [Method::GET, Method::HEAD, Method::OPTIONS, Method::DELETE, Method::TRACE];
    if !has_none.contains(request.method()) || request.body().size_hint().exact().is_some() {
        return request;
    }
    let (parts, mut body) = request.into_parts();
    let body = match tokio::time::timeout(SETTLE_MAX, body.frame()).await {
        Ok(None) => empty(),
        Ok(first @ Some(_)) => Begun { first, rest: body }.boxed_unsync(),
        Err(_) => body,
    };
    Request::from_parts(parts, body)
}

/// A body of which the first piece was read.
struct Begun {
    first: Option<Result<Frame<Bytes>, WasiError>>,
    rest: WasiBody,
}

impl Body for Begun {
    type Data = Bytes;
    type Error = WasiError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, WasiError>>> {
        match self.first.take() {
            Some(first) => Poll::Ready(Some(first)),
            None => Pin::new(&mut self.rest).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;
    use http_body_util::channel::{Channel, Sender};

    fn request(method: Method) -> (Sender<Bytes, WasiError>, Request<WasiBody>) {
        let (sender, body) = Channel::new(4);
        let mut request = Request::new(body.boxed_unsync());
        *request.method_mut() = method;
        (sender, request)
    }

    #[tokio::test]
    async fn a_body_that_ends_at_once_is_none() {
        for method in [Method::GET, Method::HEAD, Method::DELETE] {
            let (sender, request) = request(method);
            drop(sender);
            assert!(settled(request).await.body().is_end_stream());
        }
    }

    #[tokio::test]
    async fn what_is_there_is_kept() {
        let (mut sender, request) = request(Method::GET);
        sender.send_data(Bytes::from_static(b"one ")).await.unwrap();
        sender.send_data(Bytes::from_static(b"two")).await.unwrap();
        let trailers = HeaderMap::from_iter([(http::header::AGE, 7.into())]);
        sender.send_trailers(trailers.clone()).await.unwrap();
        drop(sender);
        let settled = settled(request).await;
        assert!(!settled.body().is_end_stream());
        let read = settled.into_body().collect().await.unwrap();
        assert_eq!(read.trailers(), Some(&trailers));
        assert_eq!(read.to_bytes(), "one two");
    }

    #[tokio::test]
    async fn one_that_comes_late_comes() {
        let (mut sender, request) = request(Method::DELETE);
        let settled = settled(request).await;
        sender.send_data(Bytes::from_static(b"late")).await.unwrap();
        drop(sender);
        assert_eq!(settled.into_body().collect().await.unwrap().to_bytes(), "late");
    }

    #[tokio::test]
    async fn others_are_left_as_they_are() {
        let (sender, request) = request(Method::POST);
        drop(sender);
        assert!(!settled(request).await.body().is_end_stream(), "it is not looked at");
    }
}
