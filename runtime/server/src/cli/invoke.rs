//! `samovar invoke`: call a deployment through the data plane.

use std::io::{self, Read as _, Write};
use std::path::Path;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use clap::Args;
use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::connection::Connection;
use crate::client::{Body, Client, body};
use crate::spec::DeploymentName;

/// Header of answers that the server made because the handler could not.
const ERROR_HEADER: &str = "samovar-error";

const EXAMPLES: &str = "\
Examples:
  samovar invoke hello
  samovar invoke hello '/greet?name=Ada' -H 'accept: text/plain'
  samovar invoke thumbnail -d @cat.png > small.png
  echo '{}' | samovar invoke api /items -X PUT -d @- -i

The body of the answer goes to stdout. A status of 400 or more is a failure, with exit code 1.";

/// Call a deployment
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Invoke {
    /// Name of the deployment
    name: DeploymentName,

    /// Path below the route of the deployment, with query
    #[arg(default_value = "")]
    path: String,

    /// Method [default: GET, or POST with -d]
    #[arg(long = "request", short = 'X', value_name = "METHOD")]
    method: Option<Method>,

    /// Header of the request; repeat it for more
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE")]
    headers: Vec<HeaderOption>,

    /// Body of the request: text, @FILE, or @- for standard input
    #[arg(long = "data", short = 'd', value_name = "DATA")]
    data: Option<String>,

    /// Print status and headers of the answer too
    #[arg(long, short)]
    include: bool,

    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct HeaderOption {
    name: HeaderName,
    value: HeaderValue,
}

impl std::str::FromStr for HeaderOption {
    type Err = String;

    fn from_str(text: &str) -> Result<HeaderOption, String> {
        let (name, value) = text.split_once(':').ok_or("write it like `name: value`")?;
        Ok(HeaderOption {
            name: name.trim().parse().map_err(|_| "the name of a header cannot be that")?,
            value: value.trim().parse().map_err(|_| "the value of a header cannot be that")?,
        })
    }
}

impl Invoke {
    /// Sends the request and prints the answer as it comes.
    pub async fn run(self) -> anyhow::Result<()> {
        let admin = self.connection.client()?;
        let deployment = admin.deployment(&self.name).await?.value;
        let data_plane = admin.info().await?.value.data_plane;
        let url = target(&data_plane, &deployment.route, &self.path);
        let method = match (&self.method, &self.data) {
            (Some(method), _) => method.clone(),
            (None, Some(_)) => Method::POST,
            (None, None) => Method::GET,
        };
        let (body, length) = request_body(self.data.as_deref()).await?;
        let request = Request::builder().method(method).uri(&url).body(body);
        let mut request = request.with_context(|| format!("`{url}` is not a URL"))?;
        let headers = request.headers_mut();
        if let Some(length) = length {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        for HeaderOption { name, value } in self.headers {
            headers.append(name, value);
        }
        let response = Client::data_plane(&data_plane)?.send(request).await?;
        print(response, self.include).await
    }
}

fn target(data_plane: &str, route: &str, path: &str) -> String {
    let base = format!("{}{route}", data_plane.trim_end_matches('/'));
    match path.chars().next() {
        None | Some('?') => format!("{base}{path}"),
        Some(_) => format!("{}/{}", base.trim_end_matches('/'), path.trim_start_matches('/')),
    }
}

/// The body, and its length where it is not known from the body.
async fn request_body(data: Option<&str>) -> anyhow::Result<(Body, Option<u64>)> {
    let Some(data) = data else { return Ok((body::empty(), None)) };
    match data.strip_prefix('@') {
        None => Ok((body::full(data.to_owned()), None)),
        Some("-") => {
            let mut bytes = Vec::new();
            // Blocks the only thread, which has nothing else to do yet.
            io::stdin().read_to_end(&mut bytes).context("read standard input")?;
            Ok((body::full(bytes), None))
        }
        Some(path) => {
            let (body, length) = body::file(Path::new(path), |_| ()).await?;
            Ok((body, Some(length)))
        }
    }
}

async fn print(response: Response<Incoming>, include: bool) -> anyhow::Result<()> {
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

    #[test]
    fn path_goes_below_the_route() {
        for (route, path, expected) in [
            ("/hello", "", "http://h:1/hello"),
            ("/hello", "/", "http://h:1/hello/"),
            ("/hello", "a?b=1", "http://h:1/hello/a?b=1"),
            ("/hello", "/a", "http://h:1/hello/a"),
            ("/hello", "?b=1", "http://h:1/hello?b=1"),
            ("/", "", "http://h:1/"),
            ("/", "a", "http://h:1/a"),
        ] {
            assert_eq!(target("http://h:1", route, path), expected);
        }
    }

    #[test]
    fn headers_have_a_name_and_a_value() {
        let header: HeaderOption = "Accept:  text/plain".parse().unwrap();
        assert_eq!((header.name.as_str(), header.value.as_bytes()), ("accept", &b"text/plain"[..]));
        for bad in ["accept", ": x", "a b: x", "a: x\ny"] {
            assert!(bad.parse::<HeaderOption>().is_err(), "{bad:?} was accepted");
        }
    }
}
