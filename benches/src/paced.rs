//! Requests at a constant rate, however long the server takes for them: an open loop.
//!
//! The connections take turns. A request that is due while its connection waits for an answer is
//! sent late, but its time counts from when it was due. Otherwise a server that stalls would be
//! asked less, and only one request of each connection would show the stall ("coordinated
//! omission"; corrected as Gil Tene's wrk2 does it).

use std::{cell::RefCell, io, os::fd::OwnedFd, rc::Rc, time::Duration};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    task::JoinSet,
    time::Instant,
};

use crate::loadgen::{Connection, Load, Report, Requests, block_on, finished, one, open_all};

/// Sends `load` on a thread of its own for `duration`, `per_second` requests in all.
pub async fn run(load: Load, per_second: f64, duration: Duration) -> Report {
    let sent = tokio::task::spawn_blocking(move || block_on(drive(load, per_second, duration)));
    sent.await.expect("it does not panic")
}

async fn drive(load: Load, per_second: f64, duration: Duration) -> Report {
    let report = Rc::new(RefCell::new(Report::default()));
    let connections = open_all(&load).await;
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    let both = connections.into_iter().zip(load.requests());
    for (index, (connection, requests)) in both.enumerate() {
        let turns = Turns::of(index, load.connections, per_second, duration);
        let timer = Timer::start(&turns).expect("set a timer");
        let report = Rc::clone(&report);
        tasks.spawn_local(take(turns, timer, connection, requests, report));
    }
    while tasks.join_next().await.is_some() {}
    finished(report, started)
}

/// Sends the requests of one connection.
async fn take(
    turns: Turns,
    timer: Timer,
    mut connection: Connection,
    mut requests: Requests,
    report: Rc<RefCell<Report>>,
) {
    let mut sent = 0;
    while sent < turns.count {
        let due = timer.expired().await.expect("read a timer").min(turns.count - sent);
        for turn in sent..sent + due {
            one(&mut connection, &mut requests, timer.started + turns.due(turn), &report).await;
        }
        sent += due;
    }
}

/// When one of several connections sends.
#[derive(Debug, PartialEq, Eq)]
struct Turns {
    /// From the start on.
    first: Duration,
    period: Duration,
    count: u64,
}

impl Turns {
    /// Those of the connection at `index` when `connections` send `per_second` requests together.
    fn of(index: usize, connections: usize, per_second: f64, duration: Duration) -> Self {
        let (index, connections) = (index as u64, connections as u64);
        let all = (duration.as_secs_f64() * per_second).round() as u64;
        Self {
            first: Duration::from_secs_f64((index + 1) as f64 / per_second),
            period: Duration::from_secs_f64(connections as f64 / per_second),
            count: all / connections + u64::from(index < all % connections),
        }
    }

    /// From the start on.
    fn due(&self, turn: u64) -> Duration {
        self.first + Duration::from_nanos(self.period.as_nanos() as u64 * turn)
    }
}

/// A timer of the kernel: those of tokio count whole milliseconds, which is longer than a request.
struct Timer {
    started: Instant,
    timer: AsyncFd<OwnedFd>,
}

impl Timer {
    fn start(turns: &Turns) -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let spec = |duration: Duration| Timespec::try_from(duration).expect("it is short");
        let times = Itimerspec { it_interval: spec(turns.period), it_value: spec(turns.first) };
        let started = Instant::now();
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &times)?;
        #[expect(unsafe_code, reason = "tokio cannot know that a descriptor stays what it is")]
        // SAFETY: an `OwnedFd` has one descriptor for all its life, and does not close it before.
        let timer = unsafe { AsyncFd::register_with_interest(timer, Interest::READABLE)? };
        Ok(Self { started, timer })
    }

    /// Waits until the timer has expired, and says how often since it was last asked.
    async fn expired(&self) -> io::Result<u64> {
        let mut count = [0; 8];
        let read = |timer: &OwnedFd| Ok(rustix::io::read(timer, &mut count)?);
        self.timer.async_io(Interest::READABLE, read).await?;
        Ok(u64::from_ne_bytes(count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All turns of `connections`, in order, in microseconds.
    fn all(connections: usize, per_second: f64, duration: Duration) -> Vec<u128> {
        let of = |index| {
            let turns = Turns::of(index, connections, per_second, duration);
            (0..turns.count).map(move |turn| turns.due(turn).as_micros())
        };
        let mut due: Vec<_> = (0..connections).flat_map(of).collect();
        due.sort_unstable();
        due
    }

    #[test]
    fn connections_take_turns_at_one_rate() {
        let due = all(3, 1000.0, Duration::from_millis(10));
        assert_eq!(due, (1..=10).map(|millis| millis * 1000).collect::<Vec<_>>());
    }

    #[test]
    fn fewer_requests_than_connections_are_possible() {
        assert_eq!(all(8, 1000.0, Duration::from_millis(2)), [1000, 2000]);
    }
}
