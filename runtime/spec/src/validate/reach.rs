//! Checks where requests may go to: other deployments, elsewhere, and the cold start proxy.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode, Uri};
use samovar_outbound::{AddressPolicy, AllowList};

use super::{DURATION_MAX, HALF_A_MINUTE, KIB, MIB, MILLISECOND, TIB};
use super::{absolute, duration, in_range, size, web};
use crate::DeploymentName;
use crate::error::SpecError;
use crate::raw::{RawCalls, RawColdStartProxy, RawOutbound, RawProxyResponse};
use crate::reach::{CallAllow, CallsSpec, ColdStartProxySpec, OutboundSpec, ProxyTo};

/// All deployments, in `calls.allow`.
const ALL: &str = "*";
/// Names in `calls.allow`; each is looked at for each call.
const CALLEES_MAX: usize = 1000;
/// Rules, kinds of addresses, or files of one outbound table; each rule is looked at for each
/// request.
const OUTBOUND_ENTRIES_MAX: usize = 1000;
/// The longest name of a host is 253 bytes; scheme and port come to it.
const OUTBOUND_TEXT_MAX: usize = 300;
/// A connection holds a descriptor of the server, of which there are some ten thousands.
const CONNECTIONS_MAX: u64 = 10_000;
/// A fixed answer is held in memory.
const RESPONSE_BODY_MAX: u64 = 64 * KIB;
/// Requests per replica that nobody has.
const ABOVE_MAX: f64 = 1e6;
/// What HTTP itself says with a message, so that a fixed answer cannot.
const FRAMING: [HeaderName; 6] = [
    http::header::CONNECTION,
    http::header::CONTENT_LENGTH,
    http::header::TE,
    http::header::TRAILER,
    http::header::TRANSFER_ENCODING,
    http::header::UPGRADE,
];

/// Whom a component may call.
pub(super) fn calls(written: Option<RawCalls>) -> Result<CallsSpec, SpecError> {
    let Some(written) = written.and_then(|calls| calls.allow) else {
        return Ok(CallsSpec { allow: CallAllow::All });
    };
    let invalid = |problem: String| SpecError::invalid("calls.allow", problem);
    if written.len() > CALLEES_MAX {
        let count = written.len();
        return Err(invalid(format!("has {count} names, at most {CALLEES_MAX} are allowed")));
    }
    if written == [ALL] {
        return Ok(CallsSpec { allow: CallAllow::All });
    }
    if written.iter().any(|name| name == ALL) {
        return Err(invalid("has other names beside `*`, which stands for all".to_owned()));
    }
    let mut names: Vec<DeploymentName> = Vec::new();
    for name in written {
        let name = name.parse().map_err(|source| invalid(format!("{source}")))?;
        if names.contains(&name) {
            return Err(invalid(format!("names `{name}` twice")));
        }
        names.push(name);
    }
    Ok(CallsSpec { allow: CallAllow::Only(names) })
}

/// What a component may request elsewhere.
pub(super) fn outbound(written: Option<RawOutbound>) -> Result<Option<OutboundSpec>, SpecError> {
    written.map(elsewhere).transpose().map_err(|error| error.below("outbound"))
}

fn elsewhere(written: RawOutbound) -> Result<OutboundSpec, SpecError> {
    let lists = [
        ("allow", written.allow.len()),
        ("addresses", written.addresses.len()),
        ("ca_files", written.ca_files.len()),
    ];
    if let Some((field, count)) = lists.into_iter().find(|(_, n)| *n > OUTBOUND_ENTRIES_MAX) {
        let problem = format!("has {count} entries, at most {OUTBOUND_ENTRIES_MAX} are allowed");
        return Err(SpecError::invalid(field, problem));
    }
    let invalid = |field: &str, problem: String| SpecError::invalid(field, problem);
    for (field, texts) in [("allow", &written.allow), ("addresses", &written.addresses)] {
        if let Some(bytes) = texts.iter().map(String::len).find(|n| *n > OUTBOUND_TEXT_MAX) {
            let problem = format!("has an entry of {bytes} bytes, which is no name of a host");
            return Err(invalid(field, problem));
        }
    }
    AllowList::parse(&written.allow).map_err(|error| invalid("allow", error.to_string()))?;
    AddressPolicy::parse(&written.addresses)
        .map_err(|error| invalid("addresses", error.to_string()))?;
    let time = |field, value, default| duration(field, value, default, (MILLISECOND, DURATION_MAX));
    let ca_files = written.ca_files.into_iter();
    let connections = written.max_connections.map_or(64, |count| count.0);
    Ok(OutboundSpec {
        allow: written.allow,
        addresses: written.addresses,
        ca_files: ca_files.map(|path| absolute("ca_files", path)).collect::<Result<_, _>>()?,
        connect_timeout: time("connect_timeout", written.connect_timeout, Duration::from_secs(5))?,
        first_byte_timeout: time("first_byte_timeout", written.first_byte_timeout, HALF_A_MINUTE)?,
        between_bytes_timeout: time(
            "between_bytes_timeout",
            written.between_bytes_timeout,
            HALF_A_MINUTE,
        )?,
        max_connections: in_range("max_connections", connections, (1, CONNECTIONS_MAX))?,
        request_body: size("request_body", written.request_body, 64 * MIB, (0, TIB))?,
        response_body: size("response_body", written.response_body, 64 * MIB, (0, TIB))?,
    })
}

/// Who answers while no replica of the deployment `own` can.
pub(super) fn cold_start_proxy(
    written: Option<RawColdStartProxy>,
    own: Option<&DeploymentName>,
) -> Result<Option<ColdStartProxySpec>, SpecError> {
    let proxy = written.map(|written| proxy(written, own));
    proxy.transpose().map_err(|error| error.below("cold_start_proxy"))
}

fn proxy(
    written: RawColdStartProxy,
    own: Option<&DeploymentName>,
) -> Result<ColdStartProxySpec, SpecError> {
    let to = match (written.deployment, written.url, written.response) {
        (Some(name), None, None) => ProxyTo::Deployment(other_deployment(&name, own)?),
        (None, Some(url), None) => ProxyTo::Url(proxy_url(url)?),
        (None, None, Some(response)) => {
            self::response(response).map_err(|error| error.below("response"))?
        }
        (None, None, None) => {
            let problem = "needs a `deployment`, a `url` or a `response`";
            return Err(SpecError::invalid("", problem));
        }
        (_, _, _) => {
            let problem = "has more than one of `deployment`, `url` and `response`: use one";
            return Err(SpecError::invalid("", problem));
        }
    };
    if let Some(above) = written.above
        && !(above > 0.0 && above <= ABOVE_MAX)
    {
        let problem = format!("`{above:?}` is not allowed, use more than 0, up to {ABOVE_MAX}");
        return Err(SpecError::invalid("above", problem));
    }
    let bounds = (MILLISECOND, DURATION_MAX);
    let timeout = duration("timeout", written.timeout, Duration::from_secs(50), bounds)?;
    Ok(ColdStartProxySpec { to, above: written.above, timeout })
}

fn other_deployment(
    written: &str,
    own: Option<&DeploymentName>,
) -> Result<DeploymentName, SpecError> {
    let name: DeploymentName =
        written.parse().map_err(|source| SpecError::invalid("deployment", format!("{source}")))?;
    if own == Some(&name) {
        let problem = format!("`{name}` is this deployment itself, which cannot answer then");
        return Err(SpecError::invalid("deployment", problem));
    }
    Ok(name)
}

fn proxy_url(url: String) -> Result<String, SpecError> {
    let url = web("url", url)?;
    let refused = |problem| Err(SpecError::invalid("url", problem));
    let parsed = url.parse::<Uri>().ok();
    if parsed.is_some_and(|uri| uri.query().is_some()) || url.contains('#') {
        return refused("has a query or fragment; the query of each request is sent instead");
    }
    if url.contains('@') {
        return refused("has an `@`: specs are shown, so a password must not be in them");
    }
    Ok(url)
}

fn response(written: RawProxyResponse) -> Result<ProxyTo, SpecError> {
    let status = written.status.map_or(503, |count| count.0);
    let status = in_range("status", status, (200, 599))?;
    let status = u16::try_from(status).ok().and_then(|code| StatusCode::from_u16(code).ok());
    let body = written.body.unwrap_or_default();
    let bytes = body.len() as u64;
    if bytes > RESPONSE_BODY_MAX {
        let problem = format!("is {bytes} bytes, at most {RESPONSE_BODY_MAX} are allowed");
        return Err(SpecError::invalid("body", problem));
    }
    Ok(ProxyTo::Response {
        status: status.expect("numbers from 200 to 599 are status codes"),
        headers: headers(&written.headers).map_err(|error| error.below("headers"))?,
        body,
    })
}

fn headers(
    written: &BTreeMap<String, String>,
) -> Result<Vec<(HeaderName, HeaderValue)>, SpecError> {
    let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::new();
    for (key, value) in written {
        let shown: String = key.chars().take(100).collect();
        let Ok(name) = key.parse::<HeaderName>() else {
            return Err(SpecError::invalid("", format!("`{shown}` is not a header's name")));
        };
        if FRAMING.contains(&name) {
            return Err(SpecError::invalid(shown, "is written by the server itself"));
        }
        if headers.iter().any(|(other, _)| *other == name) {
            return Err(SpecError::invalid(shown, "is there twice, in other letters"));
        }
        let Ok(value) = value.parse::<HeaderValue>() else {
            let problem = "is not a header's value: it has other characters than printable ASCII";
            return Err(SpecError::invalid(shown, problem));
        };
        headers.push((name, value));
    }
    let bytes: u64 = headers.iter().map(|(k, v)| (k.as_str().len() + v.len()) as u64).sum();
    if bytes > RESPONSE_BODY_MAX {
        let problem = format!("are {bytes} bytes in all, at most {RESPONSE_BODY_MAX} are allowed");
        return Err(SpecError::invalid("", problem));
    }
    Ok(headers)
}
