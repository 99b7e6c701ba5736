//! What is allowed in a spec but probably not meant.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use samovar_outbound::AddressPolicy;
use samovar_schema::BODY_BYTES_MAX;

use super::reach::CallAllow;
use super::units::{DurationText, SizeText};
use super::{DeploymentName, DeploymentSpec};

/// Below this, a pool goes between two requests of one person.
const BRIEF: Duration = Duration::from_secs(1);
/// The least that Flyte allows (`ReusePolicy`).
const FLYTE_TTL_MIN: Duration = Duration::from_secs(30);

/// Where the large clouds tell machines their credentials.
const METADATA: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

impl DeploymentSpec {
    /// What is allowed but probably not meant, one sentence each. `name` is the deployment's.
    pub fn warnings(&self, name: &DeploymentName) -> Vec<String> {
        let all = [
            self.warn_of_starvation(name),
            self.warn_of_idle_ttl(),
            self.warn_of_scaledown_ttl(),
            self.warn_of_cpu_time(),
            self.warn_of_late_batches(),
            self.warn_of_idle_proxy(),
            self.warn_of_held_responses(),
        ];
        all.into_iter().flatten().chain(self.warn_of_wide_outbound()).collect()
    }

    fn warn_of_starvation(&self, name: &DeploymentName) -> Option<String> {
        let places = u64::from(self.replicas.max) * u64::from(self.concurrency);
        if !self.runs.is_guest() || self.calls.allow == CallAllow::Only(Vec::new()) {
            return None;
        }
        if places == 1 {
            let what = if self.batching.is_some() { "batch" } else { "request" };
            return Some(format!(
                "this deployment serves one {what} at a time (replicas.max 1, concurrency 1): \
                 a handler that calls itself, even through others, finds its own request in the \
                 only place and is answered with 508"
            ));
        }
        let calls_itself = match &self.calls.allow {
            CallAllow::All => false, // Says nothing about what the handler does.
            CallAllow::Only(names) => names.contains(name),
        };
        calls_itself.then(|| {
            format!(
                "calls.allow names this deployment itself: {places} requests that call it at the \
                 same time hold all its places (replicas.max {}, concurrency {}) and wait for one \
                 another",
                self.replicas.max, self.concurrency
            )
        })
    }

    fn warn_of_idle_ttl(&self) -> Option<String> {
        let limit = self.idle_ttl.limit().filter(|limit| *limit < FLYTE_TTL_MIN)?;
        let ttl = self.idle_ttl;
        Some(if limit < BRIEF {
            format!(
                "idle_ttl is {ttl}: the pool is shut down between requests, so most of them wait \
                 for a start"
            )
        } else {
            format!(
                "idle_ttl is {ttl}, less than the 30s that Flyte demands: the pool is shut down in \
                 every short pause, and the first request after it waits for a start"
            )
        })
    }

    fn warn_of_scaledown_ttl(&self) -> Option<String> {
        let ttl = DurationText(self.scaledown_ttl);
        if self.scaledown_ttl < BRIEF {
            return Some(format!(
                "scaledown_ttl is {ttl}: replicas are removed as soon as they are idle and \
                 started again for the next burst"
            ));
        }
        (self.scaledown_ttl < FLYTE_TTL_MIN).then(|| {
            format!(
                "scaledown_ttl is {ttl}, less than the 30s that Flyte demands: replicas that a \
                 short pause leaves idle may be removed and started again"
            )
        })
    }

    fn warn_of_cpu_time(&self) -> Option<String> {
        let limits = &self.limits;
        let is_late = self.runs.is_guest() && limits.request_timeout < limits.cpu_time;
        is_late.then(|| {
            let timeout = DurationText(limits.request_timeout);
            let cpu_time = DurationText(limits.cpu_time);
            format!(
                "limits.cpu_time is {cpu_time}, but a request whose response does not begin \
                 within {timeout} is ended by limits.request_timeout first"
            )
        })
    }

    fn warn_of_late_batches(&self) -> Option<String> {
        let timeout = self.batching.as_ref()?.timeout;
        let others = [
            ("limits.request_timeout", self.limits.request_timeout),
            ("queue.timeout", self.queue.timeout),
        ];
        let (other, limit) = others
            .into_iter()
            .filter(|(_, limit)| *limit < timeout)
            .min_by_key(|(_, limit)| *limit)?;
        let (timeout, limit) = (DurationText(timeout), DurationText(limit));
        Some(format!(
            "batching.timeout_batching is {timeout}, more than {other}, {limit}: requests may be \
             given up before their batch leaves"
        ))
    }

    fn warn_of_idle_proxy(&self) -> Option<String> {
        let proxy = self.cold_start_proxy.as_ref()?;
        let stays = self.replicas.min > 0 && self.idle_ttl.limit().is_none();
        (stays && proxy.above.is_none()).then(|| {
            format!(
                "cold_start_proxy has hardly an effect: {} replicas always stay (replicas.min, \
                 idle_ttl off), and there is no `above`",
                self.replicas.min
            )
        })
    }

    fn warn_of_held_responses(&self) -> Option<String> {
        let (limit, checked) = (self.limits.response_body, BODY_BYTES_MAX as u64);
        (self.output_schema.is_some() && limit > checked).then(|| {
            format!(
                "output_schema: a response is held in memory until it is complete and checked, \
                 streams too, and refused above {}, although limits.response_body is {}",
                SizeText(checked),
                SizeText(limit)
            )
        })
    }

    fn warn_of_wide_outbound(&self) -> Vec<String> {
        let Some(outbound) = &self.outbound else { return Vec::new() };
        let mut warnings = Vec::new();
        if let Some(rule) = outbound.allow.iter().find(|rule| names_all_hosts(rule)) {
            warnings.push(format!(
                "outbound.allow has `{rule}`: the handler may call every host there is"
            ));
        }
        let policy = AddressPolicy::parse(&outbound.addresses).unwrap_or_default();
        if METADATA.iter().any(|address| policy.check(*address).is_ok()) {
            warnings.push(
                "outbound.addresses allows metadata services: the handler can read what the cloud \
                 tells this machine, its credentials included"
                    .to_owned(),
            );
        }
        warnings
    }
}

/// Whether a rule's host is `*`, whatever its scheme and port.
fn names_all_hosts(rule: &str) -> bool {
    let host = rule.split_once("://").map_or(rule, |(_, host)| host);
    host == "*" || host.starts_with("*:")
}
