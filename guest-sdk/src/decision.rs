//! What a policy answers.

/// Longest [`Decision::reason`] the host keeps, in bytes; the rest is cut off.
pub const REASON_BYTES_MAX: usize = 200;

/// The answer to one tick.
///
/// ```
/// use samovar_sdk::Decision;
///
/// let quiet = Decision::hold();
/// let busy = Decision::replicas(3).because("24 requests, 8 per replica");
/// let fewer = Decision::replicas(1).removing_first([7, 4]).ask_again_at_ms(60_000);
/// # assert_ne!(quiet, busy);
/// # assert_eq!(fewer.next_tick_ms, Some(60_000));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// How many replicas.
    pub wish: Wish,
    /// Ids of replicas to remove before others, best first. The host never removes a busy one.
    pub remove_first: Vec<u64>,
    /// When the policy would like to be asked next, on the clock of
    /// [`Observation::now_ms`](crate::Observation::now_ms). The host may ask earlier.
    pub next_tick_ms: Option<u64>,
    /// Why, in a few words, for the decision log; may be empty. At most [`REASON_BYTES_MAX`].
    pub reason: String,
}

/// How many replicas a policy wants.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Wish {
    /// Keep the current target.
    Hold,
    /// This many. The host rounds up and clamps to the limits, so fractions and negative numbers
    /// are fine. Infinite ones and NaN are errors: the host keeps the last target.
    Replicas(f64),
}

impl Decision {
    /// Keep the current target.
    pub fn hold() -> Self {
        Self::new(Wish::Hold)
    }

    /// Have `count` replicas: an integer, or a float that the host rounds up.
    pub fn replicas(count: impl Into<f64>) -> Self {
        Self::new(Wish::Replicas(count.into()))
    }

    fn new(wish: Wish) -> Self {
        Self { wish, remove_first: Vec::new(), next_tick_ms: None, reason: String::new() }
    }

    /// Says why, for the decision log.
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = reason.into();
        self
    }

    /// Names replicas to remove before others, best first.
    pub fn removing_first(mut self, ids: impl IntoIterator<Item = u64>) -> Self {
        self.remove_first = ids.into_iter().collect();
        self
    }

    /// Asks for the next tick at `now_ms`, on the clock of the observations.
    pub fn ask_again_at_ms(mut self, now_ms: u64) -> Self {
        self.next_tick_ms = Some(now_ms);
        self
    }
}
