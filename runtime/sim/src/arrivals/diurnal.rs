//! The rate over a day.

use std::f64::consts::TAU;

use super::profile::Piece;

/// One piece per minute of a day; straight lines are then within 0.001 % of the curve.
const PIECES: usize = 1440;

/// No curve that [`curve`] is asked for is steeper: the peak is at most 100 times the mean.
const STEEPNESS_MAX: f64 = 1e4;

/// A smooth rise and fall within `seconds`, least at both ends and `peak` in the middle.
///
/// The curve is von Mises' `exp(k (cos x - 1))`. It is close to a sine where the peak is close to
/// the mean, but unlike a sine it stays above zero where the peak is more than twice the mean.
pub(super) fn pieces(mean: f64, peak: f64, seconds: f64) -> Vec<Piece> {
    let curve = curve(mean / peak);
    let rate = |index: usize| peak * curve[index % PIECES];
    let piece =
        |index| Piece { seconds: seconds / PIECES as f64, from: rate(index), to: rate(index + 1) };
    (0..PIECES).map(piece).collect()
}

/// The curve with peak 1 and the given mean, by bisection: the steeper, the smaller the mean.
fn curve(mean: f64) -> Vec<f64> {
    let cosines: Vec<f64> =
        (0..PIECES).map(|index| -libm::cos(TAU * index as f64 / PIECES as f64)).collect();
    let bend = |steepness: f64| {
        cosines.iter().map(|cosine| libm::exp(steepness * (cosine - 1.0))).collect::<Vec<f64>>()
    };
    let (mut flat, mut steep) = (0.0, STEEPNESS_MAX);
    for _ in 0..64 {
        let middle = (flat + steep) / 2.0;
        if bend(middle).iter().sum::<f64>() / PIECES as f64 > mean {
            flat = middle;
        } else {
            steep = middle;
        }
    }
    bend(steep)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_peak_are_as_asked() {
        for (mean, peak) in [(50.0, 50.0), (50.0, 60.0), (50.0, 200.0), (1.0, 100.0)] {
            let pieces = pieces(mean, peak, 86_400.0);
            let total: f64 = pieces.iter().map(|p| p.seconds * (p.from + p.to) / 2.0).sum();
            assert!((total / 86_400.0 / mean - 1.0).abs() < 1e-6, "{mean} {peak} {total}");
            let highest = pieces.iter().map(|piece| piece.from).fold(0.0, f64::max);
            assert_eq!(highest, peak);
            assert_eq!(pieces[PIECES / 2].from, peak);
            assert!(pieces.iter().all(|piece| piece.from >= pieces[0].from));
        }
    }

    #[test]
    fn a_low_peak_is_close_to_a_sine() {
        let pieces = pieces(100.0, 110.0, 1440.0);
        for (minute, piece) in pieces.iter().enumerate() {
            let sine = 100.0 - 10.0 * libm::cos(TAU * minute as f64 / 1440.0);
            assert!((piece.from - sine).abs() < 0.5, "{minute}: {} {sine}", piece.from);
        }
    }
}
