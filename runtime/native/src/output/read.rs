//! The task that reads one stream of one process.

use super::{Lines, Stream, Tap};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const CHUNK_BYTES: usize = 64 * 1024;
/// After the end of the replica, a pipe that some stranger holds open is read no longer.
const LINGER: Duration = Duration::from_millis(500);

/// Reads until the last writer has closed the pipe, or the replica is over.
pub(crate) async fn stream(
    pipe: OwnedFd,
    source: (u32, Stream),
    tap: Arc<Tap>,
    over: CancellationToken,
) {
    if let Err(error) = read(pipe, source, &tap, over).await {
        tap.note(&format!("cannot read {:?} any more: {error}", source.1));
    }
    tap.finish();
}

async fn read(
    pipe: OwnedFd,
    (rank, stream): (u32, Stream),
    tap: &Tap,
    over: CancellationToken,
) -> io::Result<()> {
    let mut pipe = pipe::Receiver::from_owned_fd(pipe)?;
    let mut lines = Lines::default();
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut last = Vec::new();
    let lingering = async {
        over.cancelled().await;
        tokio::time::sleep(LINGER).await;
    };
    tokio::pin!(lingering);
    loop {
        let tells_at = tap.tells_at();
        let read = tokio::select! {
            biased;
            () = &mut lingering => 0,
            read = pipe.read(&mut chunk) => read?,
            () = at(tells_at) => {
                tap.tell_left_out(Instant::now());
                continue;
            }
        };
        let now = Instant::now();
        let mut each = |line: &[u8]| {
            if !line.trim_ascii().is_empty() {
                last.clear();
                last.extend_from_slice(line);
            }
            tap.line(rank, stream, line, now);
        };
        if read == 0 {
            lines.finish(&mut each);
        } else {
            lines.push(&chunk[..read], &mut each);
        }
        if !last.is_empty() {
            tap.keep_last(rank, stream, &last);
            last.clear();
        }
        if read == 0 {
            return Ok(());
        }
        let ahead = tap.pace(read, now);
        if !ahead.is_zero() {
            tokio::time::sleep(ahead).await;
        }
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}
