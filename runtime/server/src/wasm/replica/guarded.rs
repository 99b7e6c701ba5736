//! Polling a guest: its time is measured, and its panics stay its own.

use super::Vitals;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A future whose turns are measured and whose panics become errors: a guest that makes the host
/// panic costs its own instance only.
pub struct Guarded<F, M> {
    inner: F,
    meter: M,
}

impl<F, M> Guarded<F, M> {
    /// Measures `inner` with `meter`.
    pub fn new(inner: F, meter: M) -> Self {
        Guarded { inner, meter }
    }
}

impl<F, M, T> Future for Guarded<F, M>
where
    F: Future<Output = wasmtime::Result<T>> + Unpin,
    M: AsRef<Vitals> + Unpin,
{
    type Output = wasmtime::Result<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Guarded { inner, meter } = self.get_mut();
        let meter: &Vitals = (*meter).as_ref();
        let turn = AssertUnwindSafe(|| Pin::new(inner).poll(cx));
        meter.turn(|| std::panic::catch_unwind(turn)).unwrap_or_else(|panic| {
            meter.note_failed();
            Poll::Ready(Err(wasmtime::format_err!("the host panicked: {}", panic_text(&*panic))))
        })
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
