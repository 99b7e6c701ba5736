use samovar_sdk::harness::{Trace, seconds};

#[test]
fn short_bursts_are_averaged_and_lulls_are_waited_out() {
    let trace = Trace::new()
        .limits(0..=20)
        .startup(seconds(2))
        .requests(seconds(30), 4)
        .requests(seconds(1), 40) // A burst: 3.6 more on average.
        .requests(seconds(29), 4)
        .quiet(seconds(120));
    let run = trace.run(&mut calm());
    assert_eq!(run.course(), "2@0s 4@30s 2@99s 1@123s 0@128s");
    assert_eq!(run.at(seconds(30)).decision.reason, "7.6 requests want 4");
    run.assert_settles_at(0, seconds(130));
    run.assert_replays(calm);
}
