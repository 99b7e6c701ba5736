//! How long things take, drawn at random.
//!
//! A distribution is written as a short text, which is what command lines and scenario files hold:
//!
//! | Text | Meaning |
//! | --- | --- |
//! | `200ms` | always that long |
//! | `exp:200ms` | exponential, by its mean |
//! | `uniform:100ms..300ms` | anything between, equally likely |
//! | `normal:200ms,sd=50ms` | normal, by mean and standard deviation; never below zero |
//! | `lognormal:200ms,p99=2s` | log-normal, by its median and its 99 % quantile |
//! | `pareto:100ms,alpha=1.5,max=60s` | Pareto from its least value; `max` is optional |
//! | `list:10ms,20ms,50ms` | one of these, equally likely |

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use humantime::format_duration as show;
use rand_distr::{Distribution as _, Exp1, StandardNormal};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::rng::{Rng, below, unit};
use crate::spec::{DURATION_MAX, Spec, SpecError};

const KINDS: &str = "a plain duration, exp, uniform, normal, lognormal, pareto, list";

/// The 99 % quantile of the standard normal distribution.
const Z99: f64 = 2.326_347_874_040_841;

/// A distribution of durations. None that it draws is longer than ten years.
#[derive(Clone, Debug, PartialEq)]
pub struct Distribution(Shape);

#[derive(Clone, Debug, PartialEq)]
enum Shape {
    Constant(Duration),
    Exponential { mean: Duration },
    Uniform { least: Duration, most: Duration },
    Normal { mean: Duration, deviation: Duration },
    LogNormal { median: Duration, p99: Duration, sigma: f64 },
    Pareto { least: Duration, alpha: f64, most: Option<Duration> },
    List(Vec<Duration>),
}

impl Distribution {
    /// Always `duration`.
    pub const fn constant(duration: Duration) -> Self {
        Self(Shape::Constant(duration))
    }

    /// Exponential with this mean.
    pub const fn exponential(mean: Duration) -> Self {
        Self(Shape::Exponential { mean })
    }

    /// One of `values`, equally likely, as measured ones are; none if there are none.
    pub fn of(values: Vec<Duration>) -> Option<Self> {
        (!values.is_empty()).then_some(Self(Shape::List(values)))
    }

    /// Draws one.
    pub fn sample(&self, rng: &mut Rng) -> Duration {
        let drawn = match &self.0 {
            Shape::Constant(duration) => return *duration,
            Shape::List(values) => return values[below(rng, values.len() as u64) as usize],
            Shape::Exponential { mean } => nanos(*mean) * exponential(rng),
            Shape::Uniform { least, most } => {
                nanos(*least) + (nanos(*most) - nanos(*least)) * unit(rng)
            }
            Shape::Normal { mean, deviation } => nanos(*mean) + nanos(*deviation) * normal(rng),
            Shape::LogNormal { median, sigma, .. } => {
                nanos(*median) * libm::exp(sigma * normal(rng))
            }
            // The logarithm of a Pareto value is exponential.
            Shape::Pareto { least, alpha, most } => {
                let drawn = nanos(*least) * libm::exp(exponential(rng) / alpha);
                most.map_or(drawn, |most| drawn.min(nanos(most)))
            }
        };
        // The conversion takes what is below zero, which a normal distribution draws, as zero.
        Duration::from_nanos(drawn.min(nanos(DURATION_MAX)) as u64)
    }
}

/// Draws from the exponential distribution with mean 1.
pub(crate) fn exponential(rng: &mut Rng) -> f64 {
    Exp1.sample(rng)
}

fn normal(rng: &mut Rng) -> f64 {
    StandardNormal.sample(rng)
}

fn nanos(duration: Duration) -> f64 {
    duration.as_nanos() as f64
}

impl From<Duration> for Distribution {
    fn from(duration: Duration) -> Self {
        Self::constant(duration)
    }
}

impl FromStr for Distribution {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let spec = Spec::parse(text, |kind| match kind {
            "normal" => &["sd"],
            "lognormal" => &["p99"],
            "pareto" => &["alpha", "max"],
            _ => &[],
        })?;
        let shape = match spec.kind {
            "" => {
                Shape::Constant(spec.duration("duration", spec.only("duration", "one like `2s`")?)?)
            }
            "exp" => Shape::Exponential {
                mean: spec.positive("mean", spec.only("mean", "a duration")?)?,
            },
            "uniform" => uniform(&spec)?,
            "normal" => Shape::Normal {
                mean: spec.duration("mean", spec.only("mean", "a duration")?)?,
                deviation: spec.duration("sd", spec.needed("sd", "a duration")?)?,
            },
            "lognormal" => log_normal(&spec)?,
            "pareto" => pareto(&spec)?,
            "list" => Shape::List(
                spec.plain
                    .iter()
                    .map(|value| spec.duration("value", value))
                    .collect::<Result<_, _>>()?,
            ),
            _ => return Err(spec.unknown_kind("distribution", KINDS)),
        };
        Ok(Self(shape))
    }
}

fn uniform(spec: &Spec<'_>) -> Result<Shape, SpecError> {
    let allowed = "a range like `100ms..300ms`";
    let range = spec.only("range", allowed)?;
    let (least, most) =
        range.split_once("..").ok_or_else(|| spec.refuse("range", range, allowed))?;
    let shape = (spec.duration("least", least.trim())?, spec.duration("most", most.trim())?);
    if shape.1 < shape.0 {
        return Err(spec.refuse("range", range, "a range from the smaller to the larger duration"));
    }
    Ok(Shape::Uniform { least: shape.0, most: shape.1 })
}

fn log_normal(spec: &Spec<'_>) -> Result<Shape, SpecError> {
    let median = spec.positive("median", spec.only("median", "a duration")?)?;
    let given = spec.needed("p99", "a duration, at least the median")?;
    let p99 = spec.duration("p99", given)?;
    if p99 < median {
        let allowed = format!("a duration of at least the median, {}", show(median));
        return Err(spec.refuse("p99", given, &allowed));
    }
    let sigma = libm::log(nanos(p99) / nanos(median)) / Z99;
    Ok(Shape::LogNormal { median, p99, sigma })
}

fn pareto(spec: &Spec<'_>) -> Result<Shape, SpecError> {
    let least = spec.positive("least", spec.only("least", "a duration")?)?;
    let allowed = "a number from 0.1 to 100";
    let alpha = spec.number("alpha", spec.needed("alpha", allowed)?, (0.1, 100.0))?;
    let Some(given) = spec.field("max") else {
        return Ok(Shape::Pareto { least, alpha, most: None });
    };
    let most = spec.duration("max", given)?;
    if most < least {
        let allowed = format!("a duration of at least the least value, {}", show(least));
        return Err(spec.refuse("max", given, &allowed));
    }
    Ok(Shape::Pareto { least, alpha, most: Some(most) })
}

/// A text that gives the same distribution again.
impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Shape::Constant(duration) => write!(f, "{}", show(*duration)),
            Shape::Exponential { mean } => write!(f, "exp:{}", show(*mean)),
            Shape::Uniform { least, most } => {
                write!(f, "uniform:{}..{}", show(*least), show(*most))
            }
            Shape::Normal { mean, deviation } => {
                write!(f, "normal:{},sd={}", show(*mean), show(*deviation))
            }
            Shape::LogNormal { median, p99, .. } => {
                write!(f, "lognormal:{},p99={}", show(*median), show(*p99))
            }
            Shape::Pareto { least, alpha, most } => {
                write!(f, "pareto:{},alpha={alpha}", show(*least))?;
                most.map_or(Ok(()), |most| write!(f, ",max={}", show(most)))
            }
            Shape::List(values) => {
                for (index, value) in values.iter().enumerate() {
                    write!(f, "{}{}", if index == 0 { "list:" } else { "," }, show(*value))?;
                }
                Ok(())
            }
        }
    }
}

impl Serialize for Distribution {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Distribution {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
