//! Descriptions of request streams.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::diurnal;
use super::generator::{Generator, Process};
use super::profile::{Piece, Profile};
use crate::rng::Rng;
use crate::spec::{Spec, SpecError};

const KINDS: &str = "steady, poisson, steps, ramp, bursts, diurnal, heavy";
const RATE: &str = "a rate like `50/s`, `600/m` or `10/h`, from 0 to 1000000000/s";
const RATE_MAX: f64 = 1e9;

/// The largest ratio of a diurnal peak to its mean. More would be a burst.
const PEAK_MAX: f64 = 100.0;

/// A stream of requests, described by a short text:
///
/// | Text | Meaning |
/// | --- | --- |
/// | `steady:50/s` | evenly at this rate |
/// | `poisson:50/s` | independently of each other at this rate |
/// | `steps:10/s@60s,100/s@30s,5/s` | one rate after the other; a last one without a time stays |
/// | `ramp:0/s..200/s@10m` | evenly growing or shrinking; the last rate stays |
/// | `bursts:base=5/s,burst=200/s,every=60s,for=5s` | a burst at the end of each period |
/// | `diurnal:mean=50/s,peak=200/s,period=24h` | a smooth day, quietest at its start |
/// | `heavy:50/s,alpha=1.5` | Pareto times between requests: lulls and crowds on all scales |
///
/// All but `poisson` and `heavy` take `jitter=regular` or `jitter=poisson`: whether requests come
/// evenly or independently of each other under the rate. Only `steady` is regular by default.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    text: String,
    shape: Shape,
}

#[derive(Clone, Debug, PartialEq)]
enum Shape {
    Profile(Profile, Process),
    Heavy { rate: f64, alpha: f64 },
}

impl Workload {
    /// The requests it describes, drawn from `rng`.
    pub fn arrivals(&self, rng: Rng) -> Generator {
        match &self.shape {
            Shape::Profile(profile, process) => Generator::profile(profile.clone(), *process, rng),
            Shape::Heavy { rate, alpha } => Generator::heavy(*rate, *alpha, rng),
        }
    }
}

impl FromStr for Workload {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let spec = Spec::parse(text, |kind| match kind {
            "steady" | "steps" | "ramp" => &["jitter"],
            "bursts" => &["base", "burst", "every", "for", "jitter"],
            "diurnal" => &["mean", "peak", "period", "jitter"],
            "heavy" => &["alpha"],
            _ => &[],
        })?;
        let profile = |profile, default| Ok(Shape::Profile(profile, jitter(&spec, default)?));
        let shape = match spec.kind {
            "steady" => profile(steady(&spec)?, Process::Regular)?,
            "poisson" => profile(steady(&spec)?, Process::Poisson)?,
            "steps" => profile(steps(&spec)?, Process::Poisson)?,
            "ramp" => profile(ramp(&spec)?, Process::Poisson)?,
            "bursts" => profile(bursts(&spec)?, Process::Poisson)?,
            "diurnal" => profile(day(&spec)?, Process::Poisson)?,
            "heavy" => heavy(&spec)?,
            _ => return Err(spec.unknown_kind("workload", KINDS)),
        };
        Ok(Self { text: text.trim().into(), shape })
    }
}

fn jitter(spec: &Spec<'_>, default: Process) -> Result<Process, SpecError> {
    match spec.field("jitter") {
        None => Ok(default),
        Some("regular") => Ok(Process::Regular),
        Some("poisson") => Ok(Process::Poisson),
        Some(other) => Err(spec.refuse("jitter", other, "`regular` or `poisson`")),
    }
}

fn rate(spec: &Spec<'_>, field: &str, value: &str) -> Result<f64, SpecError> {
    let parsed = value.split_once('/').and_then(|(amount, unit)| {
        let seconds = match unit.trim() {
            "s" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        amount.trim().parse::<f64>().ok().map(|amount| amount / seconds)
    });
    let parsed = parsed.filter(|rate| (0.0..=RATE_MAX).contains(rate));
    parsed.ok_or_else(|| spec.refuse(field, value, RATE))
}

fn rate_above_zero(spec: &Spec<'_>, field: &str, value: &str) -> Result<f64, SpecError> {
    let rate = rate(spec, field, value)?;
    if rate == 0.0 {
        return Err(spec.refuse(field, value, "a rate above zero"));
    }
    Ok(rate)
}

fn steady(spec: &Spec<'_>) -> Result<Profile, SpecError> {
    let rate = rate(spec, "rate", spec.only("rate", RATE)?)?;
    Ok(Profile::once(vec![Piece::flat(rate, f64::INFINITY)]))
}

fn steps(spec: &Spec<'_>) -> Result<Profile, SpecError> {
    let last = spec.plain.len().saturating_sub(1);
    let step = |(index, part): (usize, &&str)| match part.split_once('@') {
        Some((value, time)) => {
            let seconds = spec.positive("time of a step", time.trim())?.as_secs_f64();
            Ok(Piece::flat(rate(spec, "step", value.trim())?, seconds))
        }
        None if index == last => Ok(Piece::flat(rate(spec, "step", part)?, f64::INFINITY)),
        None => Err(spec.refuse("step", part, "a rate with its time, like `10/s@60s`")),
    };
    let pieces = spec.plain.iter().enumerate().map(step).collect::<Result<_, _>>()?;
    Ok(Profile::once(pieces))
}

fn ramp(spec: &Spec<'_>) -> Result<Profile, SpecError> {
    let allowed = "a ramp like `0/s..200/s@10m`";
    let given = spec.only("ramp", allowed)?;
    let parts = given.split_once('@').and_then(|(rates, time)| {
        let (from, to) = rates.split_once("..")?;
        Some((from.trim(), to.trim(), time.trim()))
    });
    let (from, to, time) = parts.ok_or_else(|| spec.refuse("ramp", given, allowed))?;
    let (from, to) = (rate(spec, "start of the ramp", from)?, rate(spec, "end of the ramp", to)?);
    let seconds = spec.positive("time of the ramp", time)?.as_secs_f64();
    Ok(Profile::once(vec![Piece { seconds, from, to }, Piece::flat(to, f64::INFINITY)]))
}

fn bursts(spec: &Spec<'_>) -> Result<Profile, SpecError> {
    spec.no_plain()?;
    let base = rate(spec, "base", spec.needed("base", RATE)?)?;
    let burst = rate_above_zero(spec, "burst", spec.needed("burst", RATE)?)?;
    let every = spec.positive("every", spec.needed("every", "the time between bursts")?)?;
    let given = spec.needed("for", "how long a burst lasts")?;
    let length = spec.positive("for", given)?;
    let Some(calm) = every.checked_sub(length) else {
        let allowed = format!("a time of at most `every`, {}", humantime::format_duration(every));
        return Err(spec.refuse("for", given, &allowed));
    };
    let pieces = [Piece::flat(base, calm.as_secs_f64()), Piece::flat(burst, length.as_secs_f64())];
    Ok(Profile::repeated(pieces.to_vec()))
}

fn day(spec: &Spec<'_>) -> Result<Profile, SpecError> {
    spec.no_plain()?;
    let mean = rate_above_zero(spec, "mean", spec.needed("mean", RATE)?)?;
    let given = spec.needed("peak", RATE)?;
    let peak = rate(spec, "peak", given)?;
    if !(mean..=mean * PEAK_MAX).contains(&peak) {
        let allowed = format!("a rate from the mean, {mean}/s, to {PEAK_MAX} times the mean");
        return Err(spec.refuse("peak", given, &allowed));
    }
    let period = match spec.field("period") {
        Some(given) => spec.positive("period", given)?.as_secs_f64(),
        None => 86_400.0,
    };
    Ok(Profile::repeated(diurnal::pieces(mean, peak, period)))
}

fn heavy(spec: &Spec<'_>) -> Result<Shape, SpecError> {
    let rate = rate_above_zero(spec, "rate", spec.only("rate", RATE)?)?;
    let allowed = "a number from 1.01 to 100; the smaller, the heavier";
    let alpha = spec.number("alpha", spec.needed("alpha", allowed)?, (1.01, 100.0))?;
    Ok(Shape::Heavy { rate, alpha })
}

/// The text it was read from.
impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Workload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Workload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
