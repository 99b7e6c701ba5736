//! Bodies of requests: nothing, bytes, or a file that is read while it is sent.

use std::io;
use std::path::Path;

use bytes::Bytes;
use futures::stream;
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Full, StreamBody};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

use super::ClientError;

/// The body of a request.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Large enough that the calls do not cost, small enough for a smooth progress bar.
const CHUNK_BYTES: usize = 64 * 1024;

/// A body without bytes.
pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A body that is in memory already.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A file as a body, with its size. `on_sent` is told the length of each piece that was handed on.
///
/// # Errors
///
/// When the file cannot be opened.
pub async fn file(
    path: &Path,
    on_sent: impl FnMut(u64) + Send + 'static,
) -> Result<(Body, u64), ClientError> {
    let file_error = |source| ClientError::File { path: path.to_owned(), source };
    let file = File::open(path).await.map_err(file_error)?;
    let size_bytes = file.metadata().await.map_err(file_error)?.len();
    let pieces = stream::unfold(Some((file, on_sent)), |state| async {
        let (mut file, mut on_sent) = state?;
        let mut piece = Vec::with_capacity(CHUNK_BYTES);
        match file.read_buf(&mut piece).await {
            Ok(0) => None,
            Ok(count) => {
                on_sent(count as u64);
                Some((Ok(Frame::data(Bytes::from(piece))), Some((file, on_sent))))
            }
            Err(error) => Some((Err(error), None)),
        }
    });
    Ok((StreamBody::new(pieces).boxed_unsync(), size_bytes))
}
