//! `samovar invoke`: call a deployment through the data plane, or, with settings of the call's
//! own, through the admin API.

use std::collections::BTreeMap;
use std::io::{self, Write};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use clap::Args;
use http::header::HeaderValue;
use http::uri::PathAndQuery;
use http::{Request, Response};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::connection::Connection;
use super::failure::hinted;
use super::request::{ERROR_HEADER, RequestOptions, url};
use super::settings::{OnOff, Variable};
use crate::client::{self, Body, Call, Client, body};
use crate::spec::{DeploymentName, LimitOverrides, Overrides};

/// Refusals of the admin API are short, and say how long they are.
const REFUSAL_BYTES_MAX: u64 = 64 * 1024;

const EXAMPLES: &str = "\
Examples:
  samovar invoke hello
  samovar invoke hello '/greet?name=Ada' -H 'accept: text/plain'
  samovar invoke thumbnail -d @cat.png > small.png
  echo '{}' | samovar invoke api /items -X PUT -d @- -i
  samovar invoke thumbnail -d @huge.png --reuse off --limit memory=1GiB --env QUALITY=95

The body of the answer goes to stdout. A status of 400 or more is a failure, with exit code 1.

With --reuse off the call runs on a fresh instance, which serves nothing else; --env and --limit
need that, since an instance that others use cannot be changed for one call. Such calls go through
the admin API. Limits: memory, cpu_time, request_timeout, stall_timeout, start_timeout,
response_headers, response_body.";

/// Call a deployment
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Invoke {
    /// Name of the deployment
    name: DeploymentName,

    /// Path below the route of the deployment, with query
    #[arg(default_value = "")]
    path: String,

    /// Print status and headers of the answer too
    #[arg(long, short)]
    include: bool,

    #[command(flatten)]
    request: RequestOptions,

    #[command(flatten)]
    overrides: OverrideOptions,

    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "This call alone")]
struct OverrideOptions {
    /// `off`: on a fresh instance that serves nothing else [default: as deployed]
    #[arg(long, value_name = "ON|OFF")]
    reuse: Option<OnOff>,

    /// Environment variable beside those of the deployment, or in place of one; repeat it for more
    #[arg(long, value_name = "KEY=VALUE")]
    env: Vec<Variable>,

    /// Limit in place of the deployment's, like memory=1GiB or cpu_time=5s; repeat it for more
    #[arg(long = "limit", value_name = "KEY=VALUE")]
    limits: Vec<Variable>,
}

impl Invoke {
    /// Sends the request and prints the answer as it comes.
    pub async fn run(self) -> anyhow::Result<()> {
        let admin = self.connection.client()?;
        let response = match self.overrides.read()? {
            Some(overrides) => unless_refused(self.send_alone(&admin, &overrides).await?).await?,
            None => self.send(&admin).await?.map(boxed),
        };
        print(response, self.include).await
    }

    async fn send(&self, admin: &Client) -> anyhow::Result<Response<Incoming>> {
        let deployment = admin.deployment(&self.name).await?.value;
        let data_plane = admin.info().await?.value.data_plane;
        let url = url(&data_plane, &deployment.route, &self.path);
        let mut headers = self.request.headers();
        let body = self.request.body(&mut headers).await?;
        let request = Request::builder().method(self.request.method()).uri(&url).body(body);
        let mut request = request.with_context(|| format!("`{url}` is not a URL"))?;
        *request.headers_mut() = headers;
        Ok(Client::data_plane(&data_plane)?.send(request).await?)
    }

    async fn send_alone(
        &self,
        admin: &Client,
        overrides: &Overrides,
    ) -> anyhow::Result<Response<Incoming>> {
        let path = url("", "/", &self.path);
        let path: PathAndQuery = path.parse().with_context(|| format!("`{path}` is no path"))?;
        let mut headers = self.request.headers();
        let body = self.request.body(&mut headers).await?;
        let call = Call { method: self.request.method(), headers, body };
        Ok(admin.invoke(&self.name, &path, header(overrides)?, call).await?)
    }
}

impl OverrideOptions {
    /// What the call asks for; none if nothing.
    fn read(&self) -> anyhow::Result<Option<Overrides>> {
        if self.reuse.is_none() && self.env.is_empty() && self.limits.is_empty() {
            return Ok(None);
        }
        let pairs = |list: &[Variable]| -> BTreeMap<String, String> {
            list.iter().map(|pair| (pair.key.clone(), pair.value.clone())).collect()
        };
        let limits = serde_json::to_vec(&pairs(&self.limits)).context("write the limits")?;
        let limits: LimitOverrides = crate::spec::read_json(&limits, "limit")?;
        Ok(Some(Overrides { reuse: self.reuse.map(Into::into), env: pairs(&self.env), limits }))
    }
}

fn header(overrides: &Overrides) -> anyhow::Result<HeaderValue> {
    let json = serde_json::to_string(overrides).context("write the overrides")?;
    HeaderValue::try_from(json.as_bytes()).map_err(|_| {
        let hint = "a header carries them; the control character 127 cannot be in one";
        hinted("the settings of the call cannot be sent", hint)
    })
}

/// The answer of the handler, if it is one and not a refusal of the admin API.
async fn unless_refused(response: Response<Incoming>) -> anyhow::Result<Response<Body>> {
    let length = response.body().size_hint().upper().unwrap_or(u64::MAX);
    if response.status().is_success() || length > REFUSAL_BYTES_MAX {
        return Ok(response.map(boxed));
    }
    let (head, body) = response.into_parts();
    let whole = body.collect().await.context("the answer broke off")?.to_bytes();
    match client::refusal_in(&head, &whole) {
        Some(refusal) => Err(refusal.into()),
        None => Ok(Response::from_parts(head, body::full(whole))),
    }
}

fn boxed(body: Incoming) -> Body {
    body.map_err(io::Error::other).boxed_unsync()
}

async fn print(response: Response<Body>, include: bool) -> anyhow::Result<()> {
    let (head, mut body) = response.into_parts();
    let mut out = io::stdout();
    if include {
        writeln!(out, "{:?} {}", head.version, head.status)?;
        for (name, value) in &head.headers {
            writeln!(out, "{name}: {}", String::from_utf8_lossy(value.as_bytes()))?;
        }
        writeln!(out)?;
    }
    let mut last = Bytes::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.context("the answer broke off")?;
        if let Ok(piece) = frame.into_data() {
            out.write_all(&piece)?;
            out.flush()?; // A streamed answer is shown as it comes.
            last = piece;
        }
    }
    if head.status.as_u16() < 400 {
        return Ok(());
    }
    if !last.is_empty() && !last.ends_with(b"\n") {
        writeln!(out)?;
    }
    match head.headers.get(ERROR_HEADER).map(|code| String::from_utf8_lossy(code.as_bytes())) {
        Some(code) => bail!("{}, from the server itself: {code}", head.status),
        None => bail!("{}, from the handler", head.status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(reuse: Option<OnOff>, env: &[&str], limits: &[&str]) -> OverrideOptions {
        let pairs = |list: &[&str]| list.iter().map(|pair| pair.parse().unwrap()).collect();
        OverrideOptions { reuse, env: pairs(env), limits: pairs(limits) }
    }

    #[test]
    fn a_call_without_settings_of_its_own_has_no_overrides() {
        assert_eq!(options(None, &[], &[]).read().unwrap(), None);
    }

    #[test]
    fn overrides_become_one_line_of_json() {
        let limits = ["memory=1GiB", "cpu_time=5s"];
        let read = options(Some(OnOff::Off), &["QUALITY=95", "LINES=a\nä"], &limits).read();
        let sent = header(&read.unwrap().unwrap()).unwrap();
        let expected = concat!(
            r#"{"reuse":"off","env":{"LINES":"a\nä","QUALITY":"95"},"#,
            r#""limits":{"memory":"1GiB","cpu_time":"5s"}}"#
        );
        assert_eq!(std::str::from_utf8(sent.as_bytes()).unwrap(), expected);
    }

    #[test]
    fn limits_that_do_not_exist_are_named() {
        for (limit, part) in [("disk=1GiB", "disk"), ("memory=big", "limit.memory")] {
            let error = options(Some(OnOff::Off), &[], &[limit]).read().unwrap_err();
            assert!(format!("{error:#}").contains(part), "{error:#}");
        }
    }
}
