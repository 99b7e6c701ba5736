//! Guests that compute for long, on threads of their own.
//!
//! A guest is called on the threads that serve everybody. One that has computed for a whole epoch
//! goes on elsewhere, on threads that the kernel gives the processor only when the others do not
//! want it. Else as many guests that compute as there are threads would hold up every request that
//! only takes microseconds.

use super::Vitals;
use rustix::time::ClockId;
use std::cell::Cell;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

/// How much the threads give way, as of `nice`: at 10 they get a tenth of a processor that others
/// want as well, so that they go on even then.
const NICENESS: i32 = 10;
/// So often in a row a guest must have given way before its epoch was over to come back.
const CALM_TURNS: u32 = 16;

/// Starts the threads for guests that compute for long, as many as there are processors.
///
/// # Errors
///
/// When the system gives no threads.
pub fn start() -> std::io::Result<Runtime> {
    Builder::new_multi_thread()
        .thread_name("heavy")
        // Turns are long here, so the clock and the network are looked at after each one.
        .event_interval(1)
        .global_queue_interval(1)
        .on_thread_start(give_way)
        .enable_all()
        .build()
}

thread_local! {
    /// Whether this is one of the threads for long computations.
    static IS_HEAVY: Cell<bool> = const { Cell::new(false) };
}

/// The CPU time of this thread, if it is one of those for long computations.
pub(super) fn cpu_time() -> Option<Duration> {
    IS_HEAVY.get().then(|| {
        let time = rustix::time::clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    })
}

#[expect(unsafe_code, reason = "a system call that is in no safe library with threads in mind")]
fn give_way() {
    IS_HEAVY.set(true);
    // SAFETY: no memory is involved. Zero is the calling thread.
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS);
    }
}

/// A call, or the life, of a guest. Where it is polled depends on how the guest behaves. Dropping
/// it ends the guest, at the end of its epoch at the latest.
pub struct Movable<F: Future> {
    at: At<F>,
    vitals: Arc<Vitals>,
    heavy: Handle,
}

enum At<F: Future> {
    /// On the threads that serve everybody.
    Home(F),
    /// On those for long computations.
    Away(JoinHandle<Stay<F>>),
    Over,
}

/// What became of a stay.
enum Stay<F: Future> {
    Ended(F::Output),
    /// It may go on at home.
    Back(F),
}

impl<F, T> Movable<F>
where
    F: Future<Output = wasmtime::Result<T>> + Send + Unpin + 'static,
    T: Send + 'static,
{
    /// Polls `guest` where its `vitals` say; `heavy` are the threads for long computations.
    pub fn new(guest: F, vitals: Arc<Vitals>, heavy: Handle) -> Self {
        Movable { at: At::Home(guest), vitals, heavy }
    }

    /// How the guest is doing.
    pub fn vitals(&self) -> &Arc<Vitals> {
        &self.vitals
    }

    /// Sends the guest away if it is at home.
    fn leave(&mut self) {
        match std::mem::replace(&mut self.at, At::Over) {
            At::Home(guest) => {
                let vitals = Arc::clone(&self.vitals);
                self.at = At::Away(self.heavy.spawn(stay(guest, vitals)));
            }
            other => self.at = other,
        }
    }
}

impl<F, T> Future for Movable<F>
where
    F: Future<Output = wasmtime::Result<T>> + Send + Unpin + 'static,
    T: Send + 'static,
{
    type Output = wasmtime::Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            if self.vitals.is_heavy() {
                self.leave();
            }
            match &mut self.at {
                At::Home(guest) => {
                    if let Poll::Ready(ended) = Pin::new(guest).poll(cx) {
                        self.at = At::Over;
                        return Poll::Ready(ended);
                    }
                    if !self.vitals.is_heavy() {
                        return Poll::Pending;
                    }
                }
                At::Away(stay) => match ready!(Pin::new(stay).poll(cx)) {
                    Ok(Stay::Ended(ended)) => {
                        self.at = At::Over;
                        return Poll::Ready(ended);
                    }
                    Ok(Stay::Back(guest)) => self.at = At::Home(guest),
                    Err(lost) => {
                        self.at = At::Over;
                        return Poll::Ready(Err(wasmtime::format_err!(
                            "the guest is gone: {lost}"
                        )));
                    }
                },
                At::Over => unreachable!("it is not polled after its end"),
            }
        }
    }
}

impl<F: Future> Drop for Movable<F> {
    fn drop(&mut self) {
        if let At::Away(stay) = &self.at {
            stay.abort();
        }
    }
}

/// Polls a guest until it ends, or has become calm.
async fn stay<F: Future + Unpin>(guest: F, vitals: Arc<Vitals>) -> Stay<F> {
    let mut guest = Some(guest);
    let mut calm = 0;
    std::future::poll_fn(move |cx| {
        let long_before = vitals.long_turns();
        let polled = Pin::new(guest.as_mut().expect("polled until it is given back")).poll(cx);
        if let Poll::Ready(ended) = polled {
            return Poll::Ready(Stay::Ended(ended));
        }
        calm = if vitals.long_turns() == long_before { calm + 1 } else { 0 };
        if calm < CALM_TURNS {
            return Poll::Pending;
        }
        vitals.note_light();
        Poll::Ready(Stay::Back(guest.take().expect("given back once")))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wasm::engine::EPOCH;
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    use tokio::task::yield_now;

    /// A guest that computes for an epoch in each of its first `long` turns, gives way, and so on
    /// for `short` turns in which it does nothing. Counts the turns away from home.
    async fn play(long: u32, short: u32) -> u32 {
        let threads = start().unwrap();
        let vitals = Arc::new(Vitals::default());
        let away = Arc::new(AtomicU32::new(0));
        let (counted, seen) = (Arc::clone(&away), Arc::clone(&vitals));
        let guest = async move {
            for turn in 0..long + short {
                seen.turn(|| {
                    if std::thread::current().name() == Some("heavy") {
                        counted.fetch_add(1, Relaxed);
                    }
                    while turn < long && seen.in_this_turn() < EPOCH {}
                });
                yield_now().await;
            }
            Ok(long + short)
        };
        let guest = Movable::new(Box::pin(guest), vitals, threads.handle().clone());
        assert_eq!(tokio::spawn(guest).await.unwrap().unwrap(), long + short);
        threads.shutdown_background();
        away.load(Relaxed)
    }

    #[tokio::test]
    async fn who_computes_for_an_epoch_goes_on_elsewhere() {
        // The first turn shows what it is like.
        assert_eq!(play(4, 0).await, 3);
    }

    #[tokio::test]
    async fn who_becomes_calm_comes_back() {
        let away = play(2, 500).await;
        assert!((CALM_TURNS..250).contains(&away), "{away} turns away");
    }

    #[tokio::test]
    async fn dropping_ends_the_guest() {
        struct Told(Option<tokio::sync::oneshot::Sender<()>>);
        impl Drop for Told {
            fn drop(&mut self) {
                _ = self.0.take().unwrap().send(());
            }
        }
        let threads = start().unwrap();
        let vitals = Arc::new(Vitals::default());
        vitals.note_heavy();
        let (sender, dropped) = tokio::sync::oneshot::channel();
        let told = Told(Some(sender));
        let guest = async move {
            let _told = told;
            std::future::pending::<wasmtime::Result<()>>().await
        };
        let mut guest = Movable::new(Box::pin(guest), vitals, threads.handle().clone());
        let short = Duration::from_millis(1);
        assert!(tokio::time::timeout(short, &mut guest).await.is_err());
        drop(guest);
        dropped.await.unwrap();
        threads.shutdown_background();
    }
}
