//! What the kernel is told about threads that must not keep requests waiting.
//!
//! None of it is owed to us: where the kernel refuses, or is too old to know, a thread runs as any
//! other and requests wait for it longer.

use std::time::Duration;

/// The longest turn that the kernel knows of is five times as long.
const LONG_TURN: Duration = Duration::from_millis(20);

/// This thread runs only when the processor is not wanted otherwise. False if the kernel refuses.
#[expect(unsafe_code, reason = "a system call that is in no safe library for threads")]
pub fn take_spare_time_only() -> bool {
    let param = libc::sched_param { sched_priority: 0 };
    // SAFETY: the parameters live as long as the call. Zero is the calling thread.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &param) == 0 }
}

/// This thread gives way to others by so much more, as of `nice`.
#[expect(unsafe_code, reason = "a system call that is in no safe library for threads")]
pub fn give_way(more: i32) {
    // SAFETY: no memory is involved. Zero is the calling thread.
    unsafe {
        let niceness = libc::getpriority(libc::PRIO_PROCESS, 0) + more;
        libc::setpriority(libc::PRIO_PROCESS, 0, niceness);
    }
}

/// This thread gets its part of the processor in long turns. Since Linux 6.12 threads with shorter
/// turns, as all have who said nothing, interrupt those, where they would else wait for milliseconds.
#[expect(unsafe_code, reason = "a system call that is in no safe library")]
pub fn take_long_turns() {
    // SAFETY: all zeros is a valid value: numbers.
    let mut attributes: libc::sched_attr = unsafe { std::mem::zeroed() };
    attributes.size = size_of::<libc::sched_attr>() as u32;
    attributes.sched_policy = libc::SCHED_OTHER as u32;
    attributes.sched_runtime = LONG_TURN.as_nanos() as u64;
    // SAFETY: no memory is involved. Zero is the calling thread.
    attributes.sched_nice = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
    // SAFETY: the attributes live as long as the call and say how large they are.
    unsafe {
        libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    /// What `/proc` says of the thread that called this: its niceness and its policy.
    fn seen() -> (i32, i32) {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        let after_name = stat.rsplit_once(") ").unwrap().1;
        let field = |number: usize| after_name.split(' ').nth(number - 3).unwrap().parse().unwrap();
        (field(19), field(41))
    }

    #[test]
    fn only_this_thread_changes() {
        let before = seen();
        let (spare, polite) = thread::spawn(|| {
            let polite = thread::spawn(|| {
                give_way(3);
                take_long_turns();
                seen()
            });
            (take_spare_time_only().then(seen), polite.join().unwrap())
        })
        .join()
        .unwrap();
        assert_eq!(polite, ((before.0 + 3).min(19), libc::SCHED_OTHER));
        assert_eq!(spare, Some((before.0, libc::SCHED_IDLE)));
        assert_eq!(seen(), before);
    }
}
