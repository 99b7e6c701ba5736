//! The harness plays a host that can be reckoned by hand.

use std::cell::Cell;

use samovar_sdk::harness::{Run, Trace, seconds};
use samovar_sdk::{Decision, Observation, Policy, ReplicaState, Wish};

/// Decides with a function; remembers how often it was asked.
struct By<F> {
    rule: F,
    asked: u32,
}

impl<F: FnMut(&Observation, u32) -> Decision + 'static> Policy for By<F> {
    const NAME: &'static str = "by";
    const NEEDS_REPLICAS: bool = true;
    type Config = ();

    fn new(_: ()) -> Result<Self, String> {
        Err("made in tests only".into())
    }

    fn scale(&mut self, seen: &Observation) -> Decision {
        self.asked += 1;
        (self.rule)(seen, self.asked)
    }
}

fn by<F: FnMut(&Observation, u32) -> Decision + 'static>(rule: F) -> By<F> {
    By { rule, asked: 0 }
}

fn play(trace: &Trace, rule: impl FnMut(&Observation, u32) -> Decision + 'static) -> Run {
    trace.run(&mut by(rule))
}

fn one_each(seen: &Observation, _: u32) -> Decision {
    Decision::replicas(seen.requests())
}

fn hold(_: &Observation, _: u32) -> Decision {
    Decision::hold()
}

/// Of each tick: starting, ready, queued, ongoing.
fn states(run: &Run) -> Vec<[u32; 4]> {
    let state = |seen: &Observation| [seen.starting, seen.ready, seen.queued, seen.ongoing];
    run.ticks.iter().map(|tick| state(&tick.seen)).collect()
}

#[test]
fn a_run_has_one_tick_per_interval() {
    let run = play(&Trace::new().every(seconds(0.25)).quiet(seconds(1)), hold);
    let times: Vec<(u64, u64)> =
        run.ticks.iter().map(|tick| (tick.seen.now_ms, tick.seen.since_ms)).collect();
    assert_eq!(times, [(0, 0), (250, 250), (500, 250), (750, 250)]);
    assert_eq!(run.at(seconds(0.6)).seen.now_ms, 500);
}

#[test]
fn replicas_start_in_their_time_and_then_serve() {
    let trace = Trace::new().startup(seconds(2)).requests(seconds(4), 3);
    let run = play(&trace, one_each);
    // The first request orders a replica by itself; the first decision orders the other two.
    assert_eq!(states(&run), [[1, 0, 3, 0], [3, 0, 3, 0], [0, 3, 0, 3], [0, 3, 0, 3]]);
    assert_eq!(run.targets(), [3, 3, 3, 3]);
    assert_eq!(run.ticks[0].seen.target, 0);
    assert_eq!(run.ticks[1].seen.target, 3);
}

#[test]
fn waiting_requests_wake_a_pool_whatever_the_policy_says() {
    let trace = Trace::new().startup(seconds(1)).requests(seconds(3), 2);
    let run = play(&trace, |_, _| Decision::replicas(0));
    assert_eq!(states(&run), [[1, 0, 2, 0], [0, 1, 1, 1], [0, 1, 1, 1]]);
    assert_eq!(run.course(), "0@0s");
}

#[test]
fn the_minimum_starts_by_itself_and_given_replicas_are_there() {
    let trace = Trace::new().limits(2..=4).startup(seconds(1)).starts_with(1).quiet(seconds(2));
    let run = play(&trace, hold);
    assert_eq!(states(&run), [[1, 1, 0, 0], [0, 2, 0, 0]]);
}

#[test]
fn targets_are_rounded_up_and_clamped() {
    let wishes = [0.2, 7.0, -3.0, f64::NAN, f64::INFINITY, 2.0];
    let run = play(&Trace::new().limits(1..=5).quiet(seconds(6)), move |_, asked| {
        Decision::replicas(wishes[asked as usize - 1])
    });
    assert_eq!(run.targets(), [1, 5, 1, 1, 1, 2]);
    assert_eq!(run.course(), "1@0s 5@1s 1@2s 2@5s");
}

#[test]
fn only_idle_replicas_go_and_only_after_their_time() {
    let trace = Trace::new().starts_with(3).scaledown_after(seconds(2));
    let trace = trace.requests(seconds(1), 3).requests(seconds(4), 1);
    let run = play(&trace, |_, _| Decision::replicas(0));
    // From 1 s on two are idle; at 3 s they were so for two seconds. The busy one stays.
    let ready: Vec<u32> = run.ticks.iter().map(|tick| tick.seen.ready).collect();
    assert_eq!(ready, [3, 3, 3, 1, 1]);
}

#[test]
fn named_replicas_go_first_and_ids_are_never_used_again() {
    let trace = Trace::new().starts_with(3).quiet(seconds(3));
    let run = play(&trace, |_, asked| match asked {
        1 => Decision::replicas(2).removing_first([1, 0]),
        _ => Decision::replicas(3),
    });
    let ids = |index: usize| -> Vec<u64> {
        run.ticks[index].seen.replicas.iter().map(|replica| replica.id).collect()
    };
    assert_eq!((ids(0), ids(1), ids(2)), (vec![0, 1, 2], vec![0, 2], vec![0, 2, 3]));
}

#[test]
fn single_replicas_are_told() {
    let trace = Trace::new().starts_with(1).startup(seconds(5)).requests(seconds(2), 1);
    let run = play(&trace, |_, _| Decision::replicas(2));
    let [busy, starting] = &run.ticks[1].seen.replicas[..] else { panic!("two replicas") };
    assert_eq!((busy.state, busy.ongoing, busy.idle_ms), (ReplicaState::Ready, 1, None));
    assert_eq!((starting.state, starting.age_ms), (ReplicaState::Starting, 1000));
}

#[test]
fn arrivals_are_served_in_their_time() {
    let trace = Trace::new().fixed(1).concurrency(2).service_time(seconds(0.75));
    let run = play(&trace.arrivals(seconds(3), 4).quiet(seconds(2)), hold);
    // They come at 125, 375, 625 ms and so on. Two at a time take 750 ms each, so the third one
    // waits from 625 to 875 ms, and later ones longer.
    assert_eq!(
        states(&run),
        [[0, 1, 0, 0], [0, 1, 1, 2], [0, 1, 2, 2], [0, 1, 4, 2], [0, 1, 1, 2]]
    );
    let first = &run.ticks[1].seen;
    assert_eq!((first.arrived, first.completed, first.oldest_wait_ms), (4, 1, Some(125)));
    assert_eq!(first.latency.map(|latency| latency.p50_ms), Some(750.0));
    assert_eq!(run.ticks.iter().map(|tick| tick.seen.arrived).sum::<u64>(), 12);
    assert_eq!(run.ticks[4].seen.arrived, 0);
}

#[test]
fn averages_are_weighted_by_time() {
    let trace = Trace::new().fixed(1).service_time(seconds(0.25)).arrivals(seconds(2), 1);
    let seen = &play(&trace, hold).ticks[1].seen.clone();
    assert_eq!((seen.ongoing_average, seen.queued_average), (Some(0.25), Some(0.0)));
    assert_eq!((seen.ongoing, seen.last_used_ms), (0, Some(750)));
}

#[test]
fn full_queue_rejects() {
    let trace = Trace::new().fixed(1).queue_max(2).requests(seconds(1), 5);
    let seen = play(&trace, hold).ticks[0].seen.clone();
    assert_eq!((seen.queued, seen.ongoing, seen.rejected, seen.arrived), (2, 1, 2, 5));
}

#[test]
fn levels_come_and_go_at_once() {
    let trace = Trace::new().fixed(2).concurrency(4);
    let trace = trace.requests(seconds(1), 10).requests(seconds(1), 3).quiet(seconds(1));
    let run = play(&trace, hold);
    assert_eq!(states(&run), [[0, 2, 2, 8], [0, 2, 0, 3], [0, 2, 0, 0]]);
    let ended: Vec<u64> = run.ticks.iter().map(|tick| tick.seen.completed).collect();
    assert_eq!(ended, [0, 7, 3]);
    assert_eq!(run.ticks[1].seen.latency, None);
}

#[test]
fn a_level_takes_over_what_arrived_before() {
    let trace = Trace::new().fixed(1).service_time(seconds(1)).arrivals(seconds(1), 2);
    let run = play(&trace.requests(seconds(3), 2).arrivals(seconds(3), 2), hold);
    let inside: Vec<u32> = run.ticks.iter().map(|tick| tick.seen.requests()).collect();
    // The level's two end with it; then two more come per second and one is served.
    assert_eq!(inside, [0, 2, 2, 2, 0, 2, 3]);
}

#[test]
fn fixed_replicas_stay_and_targets_tell_what_would_be() {
    let trace = Trace::new().fixed(2).requests(seconds(2), 5).quiet(seconds(2));
    let run = play(&trace, one_each);
    assert_eq!(states(&run), [[0, 2, 3, 2], [0, 2, 3, 2], [0, 2, 0, 0], [0, 2, 0, 0]]);
    assert_eq!(run.targets(), [5, 5, 0, 0]);
    assert!(run.ticks.iter().all(|tick| tick.seen.target == 2));
}

#[test]
fn a_policy_can_be_asked_earlier_but_not_later() {
    let run = play(&Trace::new().quiet(seconds(3)), |seen, asked| match asked {
        1 => Decision::hold().ask_again_at_ms(300),
        2 => Decision::hold().ask_again_at_ms(60_000),
        _ => Decision::hold().ask_again_at_ms(seen.now_ms.min(1300)),
    });
    let times: Vec<u64> = run.ticks.iter().take(5).map(|tick| tick.seen.now_ms).collect();
    // An answer that names the past is asked again at once, and a millisecond is the least.
    assert_eq!(times, [0, 300, 1300, 1301, 1302]);
}

#[test]
fn observations_can_be_edited() {
    let trace = Trace::new().quiet(seconds(2)).edit(|seen| seen.failed = seen.now_ms / 1000 + 7);
    let run = play(&trace, |seen, _| Decision::replicas(seen.failed as f64));
    assert_eq!(run.targets(), [7, 8]);
}

#[test]
fn the_same_trace_gives_the_same_run() {
    let trace = Trace::new().startup(seconds(1.5)).concurrency(2).service_time(seconds(0.7));
    let trace = trace.arrivals(seconds(20), 7.5).requests(seconds(5), 9).quiet(seconds(20));
    assert_eq!(play(&trace, one_each), play(&trace, one_each));
    play(&trace, one_each).assert_settles_at(0, seconds(26));
}

#[test]
fn what_depends_on_the_observations_only_is_replayed() {
    // The highest number of the last five minutes.
    fn peak() -> By<impl FnMut(&Observation, u32) -> Decision + 'static> {
        let mut past: Vec<(u64, u32)> = Vec::new();
        by(move |seen: &Observation, _| {
            past.push((seen.now_ms, seen.requests()));
            past.retain(|(at_ms, _)| at_ms + 300_000 > seen.now_ms);
            Decision::replicas(past.iter().map(|(_, requests)| *requests).max().unwrap_or(0))
        })
    }
    let trace = Trace::new().requests(seconds(100), 4).quiet(seconds(1500));
    let run = trace.run(&mut peak());
    assert_eq!(run.course(), "4@0s 0@399s");
    run.assert_replays(peak);
    assert!(run.replay_equals(peak));
}

#[test]
fn what_is_remembered_for_too_long_is_found() {
    // Counts all its ticks, of which the host keeps ten minutes.
    let counting = || by(|_: &Observation, asked| Decision::replicas(f64::from(asked / 900)));
    let run = Trace::new().quiet(seconds(1000)).run(&mut counting());
    assert_eq!(run.course(), "0@0s 1@899s");
    let found = run.replay_difference(counting).unwrap();
    // 32 places, one every 32 ticks; the first one after ten minutes lacks what came before.
    assert_eq!((found.fed, found.now_ms), (601, 899_000));
    assert_eq!(
        (found.original.wish, found.replayed.wish),
        (Wish::Replicas(1.0), Wish::Replicas(0.0))
    );
}

#[test]
fn state_in_statics_is_found() {
    thread_local!(static ASKED: Cell<u32> = const { Cell::new(0) });
    let shared = || by(|_: &Observation, _| Decision::replicas(ASKED.replace(ASKED.get() + 1)));
    let run = Trace::new().quiet(seconds(5)).run(&mut shared());
    assert_eq!(run.replay_difference(shared).map(|found| found.now_ms), Some(0));
}

#[test]
fn one_nan_is_like_another() {
    let broken = || by(|_: &Observation, _| Decision::replicas(f64::NAN));
    let run = Trace::new().quiet(seconds(3)).run(&mut broken());
    assert!(run.replay_equals(broken));
    assert!(!run.replay_equals(|| by(|_: &Observation, _| Decision::replicas(1))));
}

#[test]
#[should_panic(expected = "the target is 3 at 0 ms, not 0 from 0ns on: 3@0s 0@2s")]
fn settling_too_late_is_told_with_the_course() {
    let run = play(&Trace::new().requests(seconds(2), 3).quiet(seconds(2)), one_each);
    run.assert_settles_at(0, seconds(2));
    run.assert_settles_at(0, seconds(0));
}

#[test]
#[should_panic(expected = "the run ends before 4s")]
fn settling_after_the_end_proves_nothing() {
    play(&Trace::new().quiet(seconds(4)), hold).assert_settles_at(0, seconds(4));
}
