//! What replicas use.

use crate::support::{Case, eventually};
use std::time::Duration;

#[tokio::test]
async fn descendants_count() {
    let program = "
if os.fork() == 0:
    hog = b'x' * (50 << 20)
    end = time.process_time() + 0.3
    while time.process_time() < end: pass
    if not detach(): os._exit(0)
    os.write(1, b'stray %d\\n' % os.getpid())
    time.sleep(1000)
serve()";
    let running = Case::python(program).start().await;
    let replica = &running.replica;
    let stray: i32 = running.output.after("stray ").await.parse().unwrap();
    // The stray is seen, and the time of its parent, which has ended, is not forgotten.
    let usage = eventually("both are seen", || {
        let usage = replica.usage();
        let is_all = usage.pids == running.pids() && usage.pids.contains(&stray);
        (is_all && usage.resident_bytes > 50 << 20).then_some(usage)
    })
    .await;
    assert_eq!(usage.processes, 2);
    assert!(usage.cpu_time >= Duration::from_millis(250), "{usage:?}");
    let later = running.replica.usage();
    assert!(later.cpu_time >= usage.cpu_time);
    running.end().await;
}
