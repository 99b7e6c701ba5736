//! The numbers of the rule, and what becomes of them in a deployment.

use samovar_sdk::harness::{Trace, seconds};
use samovar_sdk::{Metrics, Policy, SimplePolicy, parse_config};

use super::CustomScale;

fn rule(max_batch_size: f64) -> CustomScale {
    CustomScale { max_batch_size }
}

/// The rule's answers to replicas, pending requests and pending works.
fn answers<const N: usize>(max_batch_size: f64, asked: [(f64, f64, f64); N]) -> [f64; N] {
    asked.map(|(replicas, pending_requests, pending_works)| {
        let metrics = Metrics { pending_requests, pending_works, ..Metrics::default() };
        SimplePolicy::scale(&mut rule(max_batch_size), replicas, &metrics)
    })
}

#[test]
fn a_full_batch_each_adds_one_and_less_than_a_quarter_takes_one() {
    let asked = [(1., 7., 0.), (1., 8., 0.), (1., 2., 0.), (1., 1., 0.), (2., 15., 0.)];
    assert_eq!(answers(8.0, asked), [1.0, 2.0, 1.0, 0.0, 2.0]);
    // A quarter of 6 is 1.5.
    assert_eq!(answers(6.0, [(4., 5., 0.), (4., 6., 0.)]), [3.0, 4.0]);
}

#[test]
fn works_that_start_count_twice_which_damps_growth() {
    assert_eq!(answers(8.0, [(1., 15., 1.), (1., 16., 1.)]), [1.0, 2.0]);
}

#[test]
fn the_first_work_is_started_where_the_original_divides_by_zero() {
    let asked = [(0., 0., 0.), (0., 1., 0.), (0., 1000., 0.), (0., 0., 1.)];
    assert_eq!(answers(10.0, asked), [0.0, 1.0, 1.0, -1.0]);
}

#[test]
fn one_step_per_tick_up_and_down() {
    let trace = Trace::new().limits(0..=4).every(seconds(10)).startup(seconds(2));
    let trace = trace.requests(seconds(50), 100).requests(seconds(30), 9).quiet(seconds(60));
    let run = trace.run(&mut rule(8.0));
    // The first request wakes the pool before the rule is asked, and that replica counts twice.
    assert_eq!(run.course(), "2@0s 3@10s 4@20s 3@80s 2@90s 1@100s 0@110s");
    run.assert_replays(|| rule(8.0));
}

#[test]
fn no_requests_need_no_replica() {
    let run = Trace::new().quiet(seconds(20)).run(&mut rule(8.0));
    run.assert_settles_at(0, seconds(0));
}

#[test]
fn settings_are_checked() {
    let made = |json| CustomScale::new(parse_config(json)?);
    assert!(made(r#"{"max_batch_size": 8}"#).is_ok());
    for bad in [r#"{"max_batch_size": 0}"#, r#"{"max_batch_size": -1}"#] {
        assert_eq!(made(bad).err().unwrap(), "`max_batch_size` must be above 0");
    }
    assert_eq!(made("{}").err().unwrap(), "missing field `max_batch_size`");
}
