//! Many clients at once, and how many.

use std::env;
use std::net::Ipv4Addr;
use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::Resource;
use tokio::task::JoinSet;

/// The number in the variable `name`, or `default`.
///
/// # Panics
/// When the variable holds something else.
pub fn number(name: &str, default: usize) -> usize {
    env::var(name).map_or(default, |text| text.parse().expect("the variable holds a number"))
}

/// An address of this machine to connect from. They take turns, as each has only so many ports.
pub fn source(index: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, 2 + (index % 64) as u8)
}

/// How many connections this process, and another with the same limits, may have open beside what
/// else the tests need.
pub fn connections_max() -> usize {
    const OTHERS: usize = 1000;
    let limit = rustix::process::getrlimit(Resource::Nofile).maximum;
    limit.map_or(usize::MAX, |limit| (limit as usize).saturating_sub(OTHERS))
}

/// Does `job` for every number below `count`, in order, `width` of them at a time.
///
/// # Panics
/// When one of the jobs does.
pub async fn each<F, Job>(count: usize, width: usize, job: F)
where
    F: Fn(usize) -> Job + Send + Sync + 'static,
    Job: Future<Output = ()> + Send,
{
    let (job, next) = (Arc::new(job), Arc::new(AtomicUsize::new(0)));
    let mut tasks = JoinSet::new();
    for _ in 0..width.min(count) {
        let (job, next) = (job.clone(), next.clone());
        tasks.spawn(async move {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= count {
                    return;
                }
                job(index).await;
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        if let Err(error) = done {
            panic::resume_unwind(error.into_panic());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_job_is_done_once() {
        let done: Arc<Vec<AtomicUsize>> = Arc::new((0..100).map(|_| AtomicUsize::new(0)).collect());
        let seen = done.clone();
        each(100, 7, move |index| {
            seen[index].fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now()
        })
        .await;
        assert!(done.iter().all(|count| count.load(Ordering::Relaxed) == 1));
    }
}
