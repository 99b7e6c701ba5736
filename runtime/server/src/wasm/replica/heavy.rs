//! Guests that compute for long, on threads of their own.
//!
//! A guest is called on the threads that serve everybody. One that has computed for a whole epoch
//! goes on elsewhere, on threads that the kernel gives the processor only when the others do not
//! want it. Else as many guests that compute as there are threads would hold up every request that
//! only takes microseconds. Where others want the processor all the time, it goes on once more, on
//! threads that get a part of it even then.

use super::Vitals;
use crate::clock;
use crate::priority;
use rustix::time::ClockId;
use samovar_core::time::Timestamp;
use std::cell::Cell;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

/// How much the threads that are owed a part give way, as of `nice`: at 10 they get a tenth of a
/// processor that others want as well.
const NICENESS: i32 = 10;
/// A turn that takes so long, and less than an epoch of CPU time, shows that a guest gets less than
/// a tenth of a processor.
const STARVED: Duration = Duration::from_millis(50);
/// So often in a row a guest must have given way before its epoch was over to come back.
const CALM_TURNS: u32 = 16;

/// The threads for guests that compute for long.
pub struct Threads {
    spare: Runtime,
    owed: Runtime,
}

/// Where the threads for guests that compute for long get their work.
#[derive(Clone, Debug)]
pub struct Heavy {
    spare: Handle,
    owed: Handle,
}

impl Threads {
    /// Starts them, two for each processor. No more than one of the two computes, but for a moment.
    ///
    /// # Errors
    ///
    /// When the system gives no threads.
    pub fn start() -> std::io::Result<Self> {
        let of = |kind: Kind| {
            Builder::new_multi_thread()
                .thread_name("heavy")
                // Turns are long here, so the clock and the network are looked at after each one.
                .event_interval(1)
                .global_queue_interval(1)
                .on_thread_start(move || kind.begin())
                .enable_all()
                .build()
        };
        Ok(Threads { spare: of(Kind::Spare)?, owed: of(Kind::Owed)? })
    }

    /// Where they get their work.
    pub fn handle(&self) -> Heavy {
        Heavy { spare: self.spare.handle().clone(), owed: self.owed.handle().clone() }
    }

    /// Ends them, whatever they are at.
    pub fn shutdown_background(self) {
        self.spare.shutdown_background();
        self.owed.shutdown_background();
    }
}

/// What time a thread gets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Serves everybody.
    Home,
    /// What no other thread wants.
    Spare,
    /// A part, whatever others want.
    Owed,
}

thread_local! {
    static KIND: Cell<Kind> = const { Cell::new(Kind::Home) };
    /// When the turn of a guest on spare time began.
    static BEGAN: Cell<Option<Timestamp>> = const { Cell::new(None) };
}

impl Kind {
    /// Makes this thread one of these.
    fn begin(self) {
        KIND.set(self);
        if self != Kind::Spare || !priority::take_spare_time_only() {
            priority::give_way(NICENESS);
            priority::take_long_turns();
        }
    }
}

/// The CPU time of this thread, if it is one of those for long computations.
pub(super) fn cpu_time() -> Option<Duration> {
    (KIND.get() != Kind::Home).then(|| {
        let time = rustix::time::clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    })
}

/// Whether the guest that has its turn on this thread waits for spare time, and there is next to
/// none.
pub fn is_starved() -> bool {
    BEGAN.get().is_some_and(|began| clock::now().since(began) >= STARVED)
}

/// A call, or the life, of a guest. Where it is polled depends on how the guest behaves. Dropping
/// it ends the guest, at the end of its epoch at the latest.
pub struct Movable<F: Future> {
    at: At<F>,
    vitals: Arc<Vitals>,
    heavy: Heavy,
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
    /// There is no spare time for it.
    Starved(F),
}

impl<F, T> Movable<F>
where
    F: Future<Output = wasmtime::Result<T>> + Send + Unpin + 'static,
    T: Send + 'static,
{
    /// Polls `guest` where its `vitals` say; `heavy` are the threads for long computations.
    pub fn new(guest: F, vitals: Arc<Vitals>, heavy: Heavy) -> Self {
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
                self.at = At::Away(self.heavy.spare.spawn(stay(guest, vitals)));
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
                At::Away(away) => match ready!(Pin::new(away).poll(cx)) {
                    Ok(Stay::Ended(ended)) => {
                        self.at = At::Over;
                        return Poll::Ready(ended);
                    }
                    Ok(Stay::Back(guest)) => self.at = At::Home(guest),
                    Ok(Stay::Starved(guest)) => {
                        let vitals = Arc::clone(&self.vitals);
                        self.at = At::Away(self.heavy.owed.spawn(stay(guest, vitals)));
                    }
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

/// Polls a guest until it ends, has become calm, or gets nowhere.
async fn stay<F: Future + Unpin>(guest: F, vitals: Arc<Vitals>) -> Stay<F> {
    let mut guest = Some(guest);
    let mut calm = 0;
    std::future::poll_fn(move |cx| {
        let long_before = vitals.long_turns();
        BEGAN.set((KIND.get() == Kind::Spare).then(clock::now));
        let polled = Pin::new(guest.as_mut().expect("polled until it is given back")).poll(cx);
        let is_starved = is_starved();
        BEGAN.set(None);
        if let Poll::Ready(ended) = polled {
            return Poll::Ready(Stay::Ended(ended));
        }
        if is_starved {
            return Poll::Ready(Stay::Starved(guest.take().expect("given back once")));
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
        let threads = Threads::start().unwrap();
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
        let guest = Movable::new(Box::pin(guest), vitals, threads.handle());
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

    /// Turns that are longer than the processor allows for stand for those that wait for it.
    #[tokio::test]
    async fn who_gets_no_spare_time_goes_on_where_some_is_owed() {
        let threads = Threads::start().unwrap();
        let vitals = Arc::new(Vitals::default());
        vitals.note_heavy();
        let guest = async move {
            let mut kinds = Vec::new();
            for _ in 0..3 {
                kinds.push((KIND.get() == Kind::Owed, is_starved()));
                let began = clock::now();
                while clock::now().since(began) < STARVED {}
                kinds.push((KIND.get() == Kind::Owed, is_starved()));
                yield_now().await;
            }
            Ok(kinds)
        };
        let guest = Movable::new(Box::pin(guest), vitals, threads.handle());
        let kinds = tokio::spawn(guest).await.unwrap().unwrap();
        let owed = (true, false);
        assert_eq!(kinds, [(false, false), (false, true), owed, owed, owed, owed]);
        threads.shutdown_background();
    }

    #[tokio::test]
    async fn dropping_ends_the_guest() {
        struct Told(Option<tokio::sync::oneshot::Sender<()>>);
        impl Drop for Told {
            fn drop(&mut self) {
                _ = self.0.take().unwrap().send(());
            }
        }
        let threads = Threads::start().unwrap();
        let vitals = Arc::new(Vitals::default());
        vitals.note_heavy();
        let (sender, dropped) = tokio::sync::oneshot::channel();
        let told = Told(Some(sender));
        let guest = async move {
            let _told = told;
            std::future::pending::<wasmtime::Result<()>>().await
        };
        let mut guest = Movable::new(Box::pin(guest), vitals, threads.handle());
        let short = Duration::from_millis(1);
        assert!(tokio::time::timeout(short, &mut guest).await.is_err());
        drop(guest);
        dropped.await.unwrap();
        threads.shutdown_background();
    }
}
