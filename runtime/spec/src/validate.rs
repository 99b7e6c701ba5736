//! Checks a [`RawSpec`] and fills in the defaults. All bounds and defaults are here.

mod native;
mod reach;
mod serving;
mod state;

use std::fmt::Display;
use std::path::PathBuf;
use std::time::Duration;

use super::error::SpecError;
use super::raw::{RawLimits, RawQueue, RawReplicas, RawScaling, RawSpec};
use super::serving::Reuse;
use super::units::{DurationText, SizeText, Ttl};
use super::{
    DeploymentName, DeploymentSpec, Digest, LimitsSpec, QueueSpec, Replicas, ScalingSpec, World,
};
use serving::{Contract, Server};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;
const TIB: u64 = 1024 * GIB;
const MILLISECOND: Duration = Duration::from_millis(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// More than any cluster of ours holds; keeps sums of replicas far from the end of a `u32`.
const REPLICAS_MAX: u64 = 100_000;
/// A waiting request holds its connection, about 10 KiB: a full queue is about 10 GiB.
const QUEUE_MAX: u64 = 1_000_000;
/// A longer wait is a forgotten one; also keeps sums of milliseconds far from overflow.
const DURATION_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Asking a policy costs up to a millisecond; more often would starve the other deployments.
const INTERVAL_MIN: Duration = Duration::from_millis(10);
/// Slower than this, a pool does not follow its load at all.
const INTERVAL_MAX: Duration = Duration::from_secs(60 * 60);
/// The least that any real guest starts with.
const MEMORY_MIN: u64 = MIB;
/// A 32-bit guest cannot address more.
const MEMORY_MAX: u64 = 4 * GIB;
/// Less than this and ordinary browsers are refused.
const HEADERS_MIN: u64 = KIB;
/// Headers are held in memory as a whole, once per request.
const HEADERS_MAX: u64 = MIB;
/// Bodies are streamed, so the bound is only against typing errors.
const BODY_MAX: u64 = TIB;
/// As most servers: a longer path does not fit their buffers.
const ROUTE_BYTES_MAX: usize = 1024;
/// The configuration of a policy; copied into its memory.
const CONFIG_BYTES_MAX: usize = 64 * 1024;

/// Classes of importance; more would only be typing errors.
const PRIORITIES: (i32, i32) = (-1000, 1000);

const DEFAULT_REPLICAS: Replicas = Replicas { min: 0, max: 4 };
/// The policy of a deployment that names none.
pub const DEFAULT_POLICY: &str = "lightning";
const DEFAULT_QUEUE_MAX: u64 = 1000;
const DEFAULT_IDLE_TTL: Ttl = Ttl::After(Duration::from_secs(5 * 60));
const DEFAULT_INTERVAL: Duration = Duration::from_secs(1);
const TEN_SECONDS: Duration = Duration::from_secs(10);
const HALF_A_MINUTE: Duration = Duration::from_secs(30);

/// The root that errors name; the manifest puts its own in place of it.
const ROOT: &str = "spec";

impl RawSpec {
    /// The digest in `component`, which the caller has to look up before [`RawSpec::validate`].
    ///
    /// # Errors
    ///
    /// When there is none, or it is not a digest.
    pub fn component_digest(&self) -> Result<Digest, SpecError> {
        component(self.component.as_deref()).map_err(|error| error.below(ROOT))
    }

    /// Checks everything and fills in the defaults. `world` is what the component implements.
    ///
    /// # Errors
    ///
    /// The first value that is not allowed, named below `spec`.
    pub fn validate(
        self,
        name: &DeploymentName,
        world: World,
    ) -> Result<DeploymentSpec, SpecError> {
        self.validate_below(ROOT, name, world)
    }

    /// Like [`RawSpec::validate`], for a spec that is called `root` where it was written.
    ///
    /// # Errors
    ///
    /// The first value that is not allowed, named below `root`.
    pub fn validate_below(
        self,
        root: &str,
        name: &DeploymentName,
        world: World,
    ) -> Result<DeploymentSpec, SpecError> {
        self.check(Some(name), world).map_err(|error| error.below(root))
    }

    /// Like [`RawSpec::check_full`], with errors named below `spec`.
    pub(super) fn validate_full(self) -> Result<DeploymentSpec, SpecError> {
        self.check_full().map_err(|error| error.below(ROOT))
    }

    /// Checks a spec that was checked before and has all its settings.
    pub(super) fn check_full(self) -> Result<DeploymentSpec, SpecError> {
        self.check(None, World::HttpService03)
    }

    fn check(
        mut self,
        name: Option<&DeploymentName>,
        world: World,
    ) -> Result<DeploymentSpec, SpecError> {
        let runs = native::runs(&mut self)?;
        let is_guest = runs.is_guest();
        self.refuse_foreign(is_guest)?;
        let reuse = serving::reuse(&self)?;
        // A process or a worker takes as many requests at a time as it is said to.
        let world = if is_guest { world } else { World::HttpService03 };
        let server = Server { world, is_guest, reuse, is_batched: self.batching.is_some() };
        let replicas = replicas(self.replicas)?;
        let initial = self.initial_replicas.map_or(u64::from(replicas.min), |count| count.0);
        let bounds = (u64::from(replicas.min), u64::from(replicas.max));
        let queue = queue(&self.queue)?;
        let Contract { endpoint, input_schema, output_schema, docs } =
            serving::contract(&mut self)?;
        let batching = serving::batching(self.batching, is_guest, endpoint.as_deref(), queue)?;
        let env = state::env(self.env)?;
        let default_route = name.map(|name| format!("/{name}"));
        Ok(DeploymentSpec {
            fleet: native::fleet(self.fleet, &runs)?,
            worker: native::worker(self.worker)?,
            priority: within("priority", self.priority.unwrap_or(0), PRIORITIES)?,
            route: route(self.route.or(default_route))?,
            initial_replicas: in_range("initial_replicas", initial, bounds)?,
            concurrency: serving::concurrency(self.concurrency, &server)?,
            idle_ttl: ttl("idle_ttl", self.idle_ttl, DEFAULT_IDLE_TTL, Duration::ZERO)?,
            scaledown_ttl: duration(
                "scaledown_ttl",
                self.scaledown_ttl,
                HALF_A_MINUTE,
                (Duration::ZERO, DURATION_MAX),
            )?,
            max_requests: self.max_requests.map_or(0, |count| count.0),
            max_age: ttl("max_age", self.max_age, Ttl::Off, Duration::from_secs(1))?,
            drain_timeout: duration(
                "drain_timeout",
                self.drain_timeout,
                HALF_A_MINUTE,
                (Duration::ZERO, DAY),
            )?,
            scaling: scaling(self.scaling)?,
            external_scaler: self.external_scaler.unwrap_or(false),
            ready: serving::ready(self.ready, replicas)?,
            limits: limits(&self.limits, is_guest)?,
            calls: reach::calls(self.calls)?,
            outbound: reach::outbound(self.outbound)?,
            cold_start_proxy: reach::cold_start_proxy(self.cold_start_proxy, name)?,
            keyvalue: state::keyvalue(self.keyvalue)?,
            config: state::config(self.config)?,
            secrets: state::secrets(self.secrets, &env, &runs)?,
            runs,
            reuse,
            replicas,
            queue,
            batching,
            endpoint,
            input_schema,
            output_schema,
            docs,
            env,
        })
    }

    /// Refuses what has no meaning for this sort of replica.
    fn refuse_foreign(&self, is_guest: bool) -> Result<(), SpecError> {
        let own_network = "a process may call what its machine can, the data plane included";
        let only_guests = [
            (
                "reuse",
                self.reuse == Some(Reuse::Off),
                "`max_requests` = 1 replaces a process after each request",
            ),
            ("calls", self.calls.is_some(), own_network),
            ("outbound", self.outbound.is_some(), own_network),
            ("keyvalue", self.keyvalue.is_some(), "a process brings its own store"),
            ("config", !self.config.is_empty(), "use `env`"),
            ("limits.memory", self.limits.memory.is_some(), "use `process.memory`"),
            (
                "limits.cpu_time",
                self.limits.cpu_time.is_some(),
                "a process may use what the machine has",
            ),
        ];
        if let Some((field, _, hint)) =
            only_guests.into_iter().find(|(_, is_written, _)| *is_written && !is_guest)
        {
            return Err(SpecError::invalid(field, "is for components only").with_hint(hint));
        }
        let has_envelope = self.worker.as_ref().is_some_and(|worker| worker.envelope == Some(true));
        if self.batching.is_some() && has_envelope {
            let problem = "cannot stand beside `worker.envelope`, which holds one request";
            return Err(SpecError::invalid("batching", problem));
        }
        Ok(())
    }
}

fn component(written: Option<&str>) -> Result<Digest, SpecError> {
    let hint = "upload the component first; the answer contains its digest";
    let Some(text) = written else {
        let hint = format!("{hint} (or write a `process` or a `worker` in its place)");
        return Err(SpecError::invalid("component", "is missing").with_hint(hint));
    };
    text.parse()
        .map_err(|source| SpecError::invalid("component", format!("{source}")).with_hint(hint))
}

fn replicas(written: Option<RawReplicas>) -> Result<Replicas, SpecError> {
    let Some(written) = written else { return Ok(DEFAULT_REPLICAS) };
    let max = in_range("replicas.max", written.max, (1, REPLICAS_MAX))?;
    match u32::try_from(written.min) {
        Ok(min) if min <= max => Ok(Replicas { min, max }),
        Ok(_) | Err(_) => {
            let min = written.min;
            let problem = format!("the minimum, {min}, is above the maximum, {max}");
            Err(SpecError::invalid("replicas", problem))
        }
    }
}

fn queue(written: &RawQueue) -> Result<QueueSpec, SpecError> {
    let max = written.max.map_or(DEFAULT_QUEUE_MAX, |count| count.0);
    let bounds = (MILLISECOND, DURATION_MAX);
    Ok(QueueSpec {
        max: in_range("queue.max", max, (1, QUEUE_MAX))?,
        timeout: duration("queue.timeout", written.timeout, HALF_A_MINUTE, bounds)?,
    })
}

fn scaling(written: RawScaling) -> Result<ScalingSpec, SpecError> {
    let policy = written.policy.as_deref().unwrap_or(DEFAULT_POLICY);
    let bounds = (INTERVAL_MIN, INTERVAL_MAX);
    let interval = duration("scaling.interval", written.interval, DEFAULT_INTERVAL, bounds)?;
    let bytes = serde_json::to_string(&written.config).map_or(usize::MAX, |json| json.len());
    if bytes > CONFIG_BYTES_MAX {
        let problem = format!("is {bytes} bytes of JSON, at most {CONFIG_BYTES_MAX} are allowed");
        return Err(SpecError::invalid("scaling.config", problem));
    }
    Ok(ScalingSpec {
        policy: policy
            .parse()
            .map_err(|source| SpecError::invalid("scaling.policy", format!("{source}")))?,
        config: written.config,
        interval,
    })
}

fn limits(written: &RawLimits, is_guest: bool) -> Result<LimitsSpec, SpecError> {
    let start = if is_guest { TEN_SECONDS } else { native::DEFAULT_PROCESS_START };
    let time = |field, value, default| duration(field, value, default, (MILLISECOND, DURATION_MAX));
    let headers = |field, value| size(field, value, 64 * KIB, (HEADERS_MIN, HEADERS_MAX));
    let body = |field, value, default| size(field, value, default, (0, BODY_MAX));
    Ok(LimitsSpec {
        memory: size("limits.memory", written.memory, 128 * MIB, (MEMORY_MIN, MEMORY_MAX))?,
        request_timeout: time("limits.request_timeout", written.request_timeout, HALF_A_MINUTE)?,
        stall_timeout: time("limits.stall_timeout", written.stall_timeout, HALF_A_MINUTE)?,
        cpu_time: time("limits.cpu_time", written.cpu_time, TEN_SECONDS)?,
        start_timeout: time("limits.start_timeout", written.start_timeout, start)?,
        request_headers: headers("limits.request_headers", written.request_headers)?,
        request_body: body("limits.request_body", written.request_body, 100 * MIB)?,
        response_headers: headers("limits.response_headers", written.response_headers)?,
        response_body: body("limits.response_body", written.response_body, GIB)?,
    })
}

fn route(written: Option<String>) -> Result<String, SpecError> {
    let Some(route) = written else { return Err(SpecError::invalid("route", "is missing")) };
    plain_path("route", "a route", route, "/images/thumbnail")
}

/// `path`, if it is plain: what a client may encode in several ways could not be matched.
fn plain_path(field: &str, what: &str, path: String, example: &str) -> Result<String, SpecError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let is_segment = |segment: &str| {
        !segment.is_empty() && segment != "." && segment != ".." && segment.bytes().all(plain)
    };
    let is_plain = match path.strip_prefix('/') {
        Some("") => true,
        Some(segments) => segments.split('/').all(is_segment) && path.len() <= ROUTE_BYTES_MAX,
        None => false,
    };
    if is_plain {
        return Ok(path);
    }
    let shown: String = path.chars().take(ROUTE_BYTES_MAX).collect();
    Err(SpecError::invalid(
        field,
        format!(
            "`{shown}` is not {what}: use `/`, or segments of letters, digits and `-._~` like \
             `{example}`, without a `/` at the end, at most {ROUTE_BYTES_MAX} bytes"
        ),
    ))
}

/// `path`, if it does not depend on where the server was started.
fn absolute(field: &str, path: PathBuf) -> Result<PathBuf, SpecError> {
    if path.is_absolute() {
        return Ok(path);
    }
    let problem = format!("`{}` is not an absolute path", path.display());
    Err(SpecError::invalid(field, problem)
        .with_hint("only `samovar apply` and `samovar deploy` know where you are"))
}

/// `value` as a `u32`; the upper bound must fit one.
fn in_range(field: &str, value: u64, bounds: (u64, u64)) -> Result<u32, SpecError> {
    let value = within(field, value, bounds)?;
    Ok(u32::try_from(value).expect("every upper bound of a count fits a u32"))
}

/// What was written, or the default, if it is within the bounds.
///
/// # Errors
///
/// When it is not; `field` is named.
pub fn duration(
    field: &str,
    written: Option<DurationText>,
    default: Duration,
    (lowest, highest): (Duration, Duration),
) -> Result<Duration, SpecError> {
    let duration = written.unwrap_or(DurationText(default));
    Ok(within(field, duration, (DurationText(lowest), DurationText(highest)))?.0)
}

fn ttl(
    field: &str,
    written: Option<Ttl>,
    default: Ttl,
    lowest: Duration,
) -> Result<Ttl, SpecError> {
    let ttl = written.unwrap_or(default);
    match ttl {
        Ttl::After(limit) if !(lowest..=DURATION_MAX).contains(&limit) => {
            let problem = format!(
                "`{ttl}` is not allowed, use {} to {}, or `off`",
                DurationText(lowest),
                DurationText(DURATION_MAX)
            );
            Err(SpecError::invalid(field, problem))
        }
        Ttl::After(_) | Ttl::Off => Ok(ttl),
    }
}

/// What was written, or the default, if it is within the bounds, in bytes.
///
/// # Errors
///
/// When it is not; `field` is named.
pub fn size(
    field: &str,
    written: Option<SizeText>,
    default: u64,
    (lowest, highest): (u64, u64),
) -> Result<u64, SpecError> {
    let size = written.unwrap_or(SizeText(default));
    Ok(within(field, size, (SizeText(lowest), SizeText(highest)))?.0)
}

/// `url`, if it is one that can be called.
///
/// # Errors
///
/// When it is not http or https, or names no host; `field` is named.
pub fn web(field: &str, url: String) -> Result<String, SpecError> {
    let parsed = url.parse::<http::Uri>().ok();
    let is_web = parsed.is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some()
    });
    if is_web {
        return Ok(url);
    }
    let shown: String = url.chars().take(200).collect();
    Err(SpecError::invalid(field, format!("`{shown}` is not an http or https URL")))
}

/// `value`, if it is inside `bounds`, which belong to the range.
///
/// # Errors
///
/// When it is not; the error names `field`, the value and the bounds.
pub fn within<T: PartialOrd + Display>(
    field: &str,
    value: T,
    (lowest, highest): (T, T),
) -> Result<T, SpecError> {
    if lowest <= value && value <= highest {
        return Ok(value);
    }
    let problem = format!("`{value}` is not allowed, use {lowest} to {highest}");
    Err(SpecError::invalid(field, problem))
}
