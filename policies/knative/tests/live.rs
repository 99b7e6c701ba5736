//! The autoscaler on observations: samples, time, zero, and a new revision.

use knative::{Algorithm, Cluster, Kpa, Metric, Settings};
use samovar_sdk::{Decision, Limits, Observation, Wish};

const LIMITS: Limits = Limits { min: 0, max: 100, concurrency: 100, queue_max: 1_000 };

fn target(target: f64) -> Settings {
    Settings { target: Some(target), target_utilization: Some(100.0), ..Settings::default() }
}

fn kpa(settings: Settings) -> Kpa {
    Kpa::new(settings).unwrap()
}

/// A pool that has served before.
fn seen(now_ms: u64, since_ms: u64, ready: u32, requests: f64) -> Observation {
    Observation {
        now_ms: 10_000_000 + now_ms,
        since_ms,
        limits: LIMITS,
        ready,
        target: ready,
        ongoing: requests as u32,
        ongoing_average: (since_ms > 0).then_some(requests),
        queued_average: (since_ms > 0).then_some(0.0),
        last_used_ms: Some(1),
        ..Observation::default()
    }
}

fn count(decision: &Decision) -> Option<f64> {
    match decision.wish {
        Wish::Hold => None,
        Wish::Replicas(count) => Some(count),
    }
}

/// Wishes at a load, in ticks of a length, with as many ready replicas as wished for.
fn wishes(kpa: &mut Kpa, ready: &mut u32, now_ms: &mut u64, ticks: &[(u64, f64)]) -> Vec<u32> {
    let step = |&(since_ms, requests): &(u64, f64)| {
        *now_ms += since_ms;
        let decision = kpa.scale(&seen(*now_ms, since_ms, *ready, requests));
        *ready = count(&decision).map_or(*ready, |count| count as u32);
        *ready
    };
    ticks.iter().map(step).collect()
}

#[test]
fn decides_every_other_second() {
    let mut kpa = kpa(target(1.0));
    let decided: Vec<bool> = (0..9)
        .map(|second| {
            let jitter = [0, 40, 3, 21][second as usize % 4];
            let since_ms = if second == 0 { 0 } else { 1_000 };
            let decision = kpa.scale(&seen(1_000 * second - jitter.min(second), since_ms, 1, 1.0));
            count(&decision).is_some()
        })
        .collect();
    assert_eq!(decided, [true, false, true, false, true, false, true, false, true]);
}

#[test]
fn length_of_ticks_makes_no_difference() {
    let minute = |since_ms: u64| {
        let (mut kpa, mut ready, mut now_ms) = (kpa(target(1.0)), 1, 0);
        let steps =
            |seconds: u64, load| vec![(since_ms, load); (seconds * 1_000 / since_ms) as usize];
        let mut ticks = vec![(0, 4.0)];
        ticks.extend([steps(60, 4.0), steps(80, 2.0), steps(140, 0.0)].concat());
        let wishes = wishes(&mut kpa, &mut ready, &mut now_ms, &ticks);
        let at = |second: u64| wishes[(second * 1_000 / since_ms) as usize];
        [60, 80, 140, 160, 180, 200, 260, 280].map(at)
    };
    let expected = minute(1_000);
    assert_eq!(expected[..3], [4, 4, 2]);
    assert_eq!(expected[7], 0);
    for since_ms in [250, 500, 2_000, 4_000, 10_000] {
        assert_eq!(minute(since_ms), expected, "ticks of {since_ms} ms");
    }
}

#[test]
fn missed_ticks_count_with_the_mean_of_their_time() {
    let (mut kpa, mut ready, mut now_ms) = (kpa(target(1.0)), 1, 0);
    // 30 s at 1, then one observation about 30 s with a mean of 9: 5 in the window of 60 s.
    let mut ticks = vec![(0, 1.0)];
    ticks.extend([(1_000, 1.0); 29]);
    wishes(&mut kpa, &mut ready, &mut now_ms, &ticks);
    now_ms += 30_000;
    let decision = kpa.scale(&seen(now_ms, 30_000, 1, 9.0));
    assert!(decision.reason.starts_with("concurrency 5.00, panic 9.00"), "{}", decision.reason);
}

#[test]
fn queued_requests_count() {
    let observation =
        Observation { queued: 6, queued_average: Some(6.0), ..seen(0, 1_000, 1, 2.0) };
    assert_eq!(count(&kpa(target(2.0)).scale(&observation)), Some(4.0));
}

#[test]
fn rates_are_per_second() {
    let settings = Settings { metric: Metric::Rps, ..target(10.0) };
    for since_ms in [500, 1_000, 4_000] {
        let mut kpa = kpa(settings.clone());
        let mut decision = Decision::hold();
        for tick in 0..8_000 / since_ms {
            let arrived = 25 * since_ms / 1_000 + (tick % 2) * (25 * since_ms % 1_000 / 500);
            let now_ms = tick * since_ms;
            let one = Observation { arrived, ..seen(now_ms, since_ms, 3, 1.0) };
            let next = kpa.scale(&one);
            if count(&next).is_some() {
                decision = next;
            }
        }
        assert_eq!(count(&decision), Some(3.0), "{since_ms}: {}", decision.reason);
    }
}

#[test]
fn no_data_is_not_zero() {
    let mut kpa = kpa(target(1.0));
    let decision = kpa.scale(&seen(0, 0, 0, 0.0));
    assert_eq!((count(&decision), decision.reason.as_str()), (None, "no data yet"));
    // A replica without requests is data.
    let mut kpa = self::kpa(target(1.0));
    let decision = kpa.scale(&seen(0, 0, 1, 0.0));
    assert_eq!(count(&decision), Some(1.0));
    assert!(decision.reason.contains(": 0, active for 0.0 of 60 s"), "{}", decision.reason);
}

#[test]
fn numbers_that_are_none_are_no_data() {
    for bad in [f64::NAN, f64::INFINITY, -1.0] {
        let mut kpa = kpa(target(1.0));
        let observation =
            Observation { ongoing_average: Some(bad), ongoing: 0, ..seen(0, 1_000, 1, 0.0) };
        let decision = kpa.scale(&observation);
        assert_eq!(decision.reason, "no data yet", "{bad}");
    }
}

#[test]
fn bounds_are_its_own_or_the_deployments() {
    let busy = |settings: Settings, limits: Limits| {
        let decision = kpa(settings).scale(&Observation { limits, ..seen(0, 0, 1, 20.0) });
        (count(&decision), decision.reason)
    };
    let limits = Limits { min: 2, max: 8, ..LIMITS };
    let (wish, reason) = busy(target(1.0), limits);
    assert_eq!(wish, Some(8.0));
    assert!(reason.contains(": 20 in panic, limited to 8"), "{reason}");
    assert_eq!(busy(Settings { max_scale: Some(0), ..target(1.0) }, limits).0, Some(20.0));
    assert_eq!(busy(Settings { max_scale: Some(5), ..target(1.0) }, limits).0, Some(5.0));
    assert_eq!(busy(target(100.0), limits).0, Some(2.0));
    assert_eq!(busy(Settings { min_scale: Some(1), ..target(100.0) }, limits).0, Some(1.0));
    let cluster = Cluster { max_scale: 4, ..Cluster::default() };
    assert_eq!(busy(Settings { cluster, ..target(1.0) }, limits).0, Some(4.0));
}

#[test]
fn first_request_at_zero_is_answered_at_once() {
    let (mut kpa, mut ready, mut now_ms) = (kpa(target(1.0)), 1, 0);
    let mut ticks = vec![(0, 0.0)];
    ticks.extend([(1_000, 0.0); 181]);
    wishes(&mut kpa, &mut ready, &mut now_ms, &ticks);
    assert_eq!(ready, 0);
    // Between two decisions, and so new that its average is still zero.
    let observation =
        Observation { queued: 1, queued_average: Some(0.0), ..seen(now_ms + 300, 300, 0, 0.0) };
    assert_eq!(count(&kpa.scale(&observation)), Some(1.0));
}

#[test]
fn grace_period_counts_while_requests_would_not_be_proxied() {
    // Burst capacity 0: the original takes the activator out of the path while there are pods.
    let seconds_to_zero = |burst| {
        let settings = Settings { target_burst_capacity: Some(burst), ..target(1.0) };
        let (mut kpa, mut ready, mut now_ms) = (kpa(settings), 1, 0);
        let mut ticks = vec![(0, 1.0)];
        ticks.extend([(1_000, 1.0); 120]);
        wishes(&mut kpa, &mut ready, &mut now_ms, &ticks);
        let idle = wishes(&mut kpa, &mut ready, &mut now_ms, &[(1_000, 0.0); 200]);
        idle.iter().position(|&ready| ready == 0).unwrap() + 1
    };
    assert_eq!(seconds_to_zero(0.0), 90);
    assert_eq!(seconds_to_zero(211.0), 62);
    assert!((60..=92).contains(&seconds_to_zero(-1.0)));
}

#[test]
fn last_replica_stays_where_zero_is_not_allowed() {
    let cluster = Cluster { enable_scale_to_zero: false, ..Cluster::default() };
    let settings = Settings { cluster, ..target(1.0) };
    let (mut kpa, mut ready, mut now_ms) = (kpa(settings), 3, 0);
    wishes(&mut kpa, &mut ready, &mut now_ms, &[(1_000, 0.0); 600]);
    assert_eq!(ready, 1);
}

#[test]
fn new_revision_starts_with_its_initial_scale_once() {
    let settings = Settings { initial_scale: Some(3), ..target(1.0) };
    let new = |now_ms, ready| Observation {
        created_ms: 10_000_000,
        last_used_ms: None,
        ..seen(now_ms, 1_000, ready, 0.0)
    };
    let mut kpa = kpa(settings.clone());
    let decision = kpa.scale(&new(100, 0));
    assert_eq!(
        (count(&decision), decision.reason.as_str()),
        (Some(3.0), "no data yet, starts with 3")
    );
    // Two are there and idle: still raised. Three, and it falls to one like any idle revision.
    assert_eq!(count(&kpa.scale(&new(2_100, 2))), Some(3.0));
    assert_eq!(count(&kpa.scale(&new(4_100, 3))), Some(3.0));
    let falls: Vec<_> =
        (3..40).filter_map(|n| count(&kpa.scale(&new(n * 2_000 + 100, 3)))).collect();
    assert!(falls.contains(&1.0), "{falls:?}");
    // One that has served before has been through this.
    let mut used = self::kpa(settings);
    assert_eq!(count(&used.scale(&seen(0, 0, 0, 0.0))), None);
}

#[test]
fn revision_that_never_gets_ready_is_given_up() {
    let settings =
        Settings { progress_deadline: Some(std::time::Duration::from_secs(60)), ..target(1.0) };
    let mut kpa = kpa(settings);
    let wish = |kpa: &mut Kpa, now_ms| {
        let new = Observation { starting: 1, target: 1, ..seen(now_ms, 1_000, 0, 0.0) };
        let decision =
            kpa.scale(&Observation { created_ms: 10_000_000, last_used_ms: None, ..new });
        count(&decision)
    };
    assert_eq!(wish(&mut kpa, 0), Some(1.0));
    let later: Vec<_> = (1..60).map(|n| wish(&mut kpa, n * 2_000)).collect();
    assert_eq!(later.iter().position(|&wish| wish == Some(0.0)), Some(45), "{later:?}");
    assert_eq!(later[46], None);
}

#[test]
fn lost_history_does_not_shrink_a_large_pool() {
    let (mut kpa, mut ready, mut now_ms) = (kpa(target(1.0)), 10, 0);
    let mut ticks = vec![(0, 1.0)];
    ticks.extend([(1_000, 1.0); 58]);
    assert!(wishes(&mut kpa, &mut ready, &mut now_ms, &ticks).iter().all(|&ready| ready == 10));
    wishes(&mut kpa, &mut ready, &mut now_ms, &[(1_000, 1.0); 20]);
    assert_eq!(ready, 1);
}

#[test]
fn replayed_history_leads_to_the_same_decisions() {
    let settings = Settings {
        algorithm: Algorithm::WeightedExponential,
        scale_down_delay: Some(std::time::Duration::from_secs(60)),
        ..target(3.0)
    };
    let load = |second: u64| ((second * 7_919) % 41) as f64 * f64::from(second % 300 < 150);
    let observe = |second: u64| seen(second * 1_000, 1_000, 1 + (second % 5) as u32, load(second));
    let mut lived = kpa(settings.clone());
    (0..1_000).for_each(|second| _ = lived.scale(&observe(second)));
    let mut replayed = kpa(settings);
    (400..1_000).for_each(|second| _ = replayed.scale(&observe(second)));
    for second in 1_000..1_400 {
        let (one, other) = (lived.scale(&observe(second)), replayed.scale(&observe(second)));
        assert_eq!(count(&one), count(&other), "{}, {}", one.reason, other.reason);
    }
}

#[test]
fn all_faults_are_named() {
    let settings = Settings {
        target: Some(0.0),
        panic_threshold_percentage: Some(109.0),
        min_scale: Some(3),
        max_scale: Some(2),
        ..Settings::default()
    };
    assert_eq!(
        Kpa::new(settings).unwrap_err(),
        "max-scale: max-scale=2 is less than min-scale=3; \
         min-scale: max-scale=2 is less than min-scale=3; \
         panic-threshold-percentage: expected 110 <= 109 <= 1000; \
         target: target 0 should be at least 0.01"
    );
    let cluster = Cluster { panic_window_percentage: 0.0, ..Cluster::default() };
    assert_eq!(
        Kpa::new(Settings { cluster, ..Settings::default() }).unwrap_err(),
        "panic-window-percentage = 0, must be in [1, 100] interval"
    );
}
