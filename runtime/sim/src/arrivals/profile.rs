//! Rates over time, made of straight pieces.

/// A stretch of time in which the rate changes evenly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Piece {
    /// How long it is, in seconds; infinite in the last piece of a profile that never ends.
    pub seconds: f64,
    /// Requests per second at its start.
    pub from: f64,
    /// Requests per second at its end.
    pub to: f64,
}

impl Piece {
    pub const fn flat(rate: f64, seconds: f64) -> Self {
        Self { seconds, from: rate, to: rate }
    }

    /// Requests expected within.
    fn total(&self) -> f64 {
        // An endless piece without requests must not become infinity times zero.
        if self.from + self.to == 0.0 { 0.0 } else { self.seconds * (self.from + self.to) / 2.0 }
    }

    /// Seconds from its start until `count` requests are expected, which is below its total.
    fn until(&self, count: f64) -> f64 {
        if self.from == self.to {
            return count / self.from;
        }
        let slope = (self.to - self.from) / self.seconds;
        // The usual formula with its fraction turned over, which is exact for small slopes.
        let root = (self.from * self.from + 2.0 * slope * count).max(0.0).sqrt();
        (2.0 * count / (self.from + root)).min(self.seconds)
    }
}

/// Pieces in a row, once or again and again.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Profile {
    pieces: Vec<Piece>,
    /// Requests expected in all pieces, if they repeat.
    repeats: Option<f64>,
    seconds: f64,
}

impl Profile {
    /// Pieces after which nothing comes.
    pub fn once(pieces: Vec<Piece>) -> Self {
        let seconds = pieces.iter().map(|piece| piece.seconds).sum();
        Self { pieces, repeats: None, seconds }
    }

    /// Pieces that start over. In at least one the rate must be above zero.
    pub fn repeated(pieces: Vec<Piece>) -> Self {
        let total: f64 = pieces.iter().map(Piece::total).sum();
        assert!(total > 0.0, "checked when the description was read");
        Self { repeats: Some(total), ..Self::once(pieces) }
    }
}

/// A place in a profile, which moves on by expected requests instead of seconds.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Walk {
    profile: Profile,
    index: usize,
    /// What the current piece's integral is.
    total: f64,
    /// When the current piece started, in seconds.
    start: f64,
    /// Times the profile was walked through.
    rounds: f64,
    /// Requests expected since the current piece started.
    passed: f64,
}

impl Walk {
    /// A walk whose first step is longer by `ahead` expected requests, or shorter if negative.
    pub fn new(profile: Profile, ahead: f64) -> Self {
        let total = profile.pieces.first().map_or(0.0, Piece::total);
        Self { profile, index: 0, total, start: 0.0, rounds: 0.0, passed: ahead }
    }

    /// The time, in seconds, when `step` more requests are expected; none if that never happens.
    ///
    /// Steps of one make a regular process. Exponential steps of mean one make a Poisson process
    /// with the profile's rate: the time change of Cinlar (1975), which unlike thinning wastes no
    /// random number and serves both.
    #[inline]
    pub fn advance(&mut self, step: f64) -> Option<f64> {
        self.passed += step;
        while self.passed >= self.total {
            self.turn()?;
        }
        Some(self.start + self.profile.pieces[self.index].until(self.passed))
    }

    /// On to the next piece.
    fn turn(&mut self) -> Option<()> {
        let piece = self.profile.pieces.get(self.index)?;
        self.passed -= self.total;
        self.start += piece.seconds;
        self.index += 1;
        if let Some(round) = self.profile.repeats
            && self.index == self.profile.pieces.len()
        {
            let skipped = (self.passed / round).floor();
            self.passed -= skipped * round;
            self.rounds += 1.0 + skipped;
            self.start = self.rounds * self.profile.seconds;
            self.index = 0;
        }
        self.total = self.profile.pieces.get(self.index).map_or(0.0, Piece::total);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(profile: Profile, count: usize) -> Vec<f64> {
        let mut walk = Walk::new(profile, 0.0);
        std::iter::from_fn(|| walk.advance(1.0)).take(count).collect()
    }

    #[test]
    fn ramps_are_walked_by_their_integral() {
        // The integral of t is t²/2; of a falling ramp from 4 it is 4t - t²/2.
        let up = times(Profile::once(vec![Piece { seconds: 4.0, from: 0.0, to: 4.0 }]), 9);
        let down = times(Profile::once(vec![Piece { seconds: 4.0, from: 4.0, to: 0.0 }]), 9);
        // The eighth would come when the ramp is over.
        assert_eq!((up.len(), down.len()), (7, 7));
        for (count, (up, down)) in (1..).map(f64::from).zip(up.into_iter().zip(down)) {
            assert!((up * up / 2.0 - count).abs() < 1e-9, "{count} {up}");
            assert!((4.0 * down - down * down / 2.0 - count).abs() < 1e-9, "{count} {down}");
        }
    }

    #[test]
    fn pieces_without_requests_take_their_time() {
        let pieces = vec![Piece::flat(0.0, 10.0), Piece::flat(0.5, 6.0), Piece::flat(0.0, 4.0)];
        assert_eq!(times(Profile::once(pieces.clone()), 9), [12.0, 14.0]);
        assert_eq!(times(Profile::repeated(pieces), 6), [12.0, 14.0, 30.0, 32.0, 34.0, 50.0]);
    }

    #[test]
    fn rounds_with_less_than_a_request_are_skipped() {
        let rare = Profile::repeated(vec![Piece::flat(1e-9, 1.0), Piece::flat(0.0, 1.0)]);
        let time = times(rare, 1)[0];
        assert!((time - 2e9).abs() < 3.0, "{time}");
    }

    #[test]
    fn an_endless_piece_without_requests_ends_the_walk() {
        let pieces = vec![Piece::flat(1.0, 2.5), Piece::flat(0.0, f64::INFINITY)];
        let mut walk = Walk::new(Profile::once(pieces), 0.0);
        assert_eq!(walk.advance(1.0), Some(1.0));
        assert_eq!(walk.advance(1.0), Some(2.0));
        assert_eq!(walk.advance(1.0), None);
        assert_eq!(walk.advance(1.0), None);
    }
}
