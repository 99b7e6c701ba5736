//! Options that make a request, and its body.

use std::io::{self, Read as _};
use std::path::Path;

use anyhow::Context as _;
use bytes::Bytes;
use clap::Args;
use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use http::{HeaderMap, Method};

use crate::client::{Body, body};

/// Header of answers that the server made because the handler could not.
pub const ERROR_HEADER: &str = "samovar-error";

/// What is sent.
#[derive(Debug, Args)]
#[command(next_help_heading = "Request")]
pub struct RequestOptions {
    /// Method [default: GET, or POST with -d]
    #[arg(long = "request", short = 'X', value_name = "METHOD")]
    method: Option<Method>,

    /// Header of the request; repeat it for more
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE")]
    headers: Vec<HeaderOption>,

    /// Body of the request: text, @FILE, or @- for standard input
    #[arg(long = "data", short = 'd', value_name = "DATA")]
    data: Option<String>,
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

impl RequestOptions {
    /// The method that is asked for, or that goes with the body.
    pub fn method(&self) -> Method {
        match (&self.method, &self.data) {
            (Some(method), _) => method.clone(),
            (None, Some(_)) => Method::POST,
            (None, None) => Method::GET,
        }
    }

    /// The headers that are asked for.
    pub fn headers(&self) -> HeaderMap {
        let pair = |header: &HeaderOption| (header.name.clone(), header.value.clone());
        let mut headers = HeaderMap::new();
        for (name, value) in self.headers.iter().map(pair) {
            headers.append(name, value);
        }
        headers
    }

    /// The body for one request, with a header for its length where the body does not tell it.
    ///
    /// # Errors
    ///
    /// When the file or standard input cannot be read.
    pub async fn body(&self, headers: &mut HeaderMap) -> anyhow::Result<Body> {
        match self.data.as_deref().map(|data| (data, data.strip_prefix('@'))) {
            Some((_, Some(path))) if path != "-" => {
                let (body, length) = body::file(Path::new(path), |_| ()).await?;
                headers.entry(CONTENT_LENGTH).or_insert(HeaderValue::from(length));
                Ok(body)
            }
            Some(_) => Ok(body::full(self.bytes()?)),
            None => Ok(body::empty()),
        }
    }

    /// The body for many requests.
    ///
    /// # Errors
    ///
    /// When the file or standard input cannot be read.
    pub fn bytes(&self) -> anyhow::Result<Bytes> {
        let Some(data) = self.data.as_deref() else { return Ok(Bytes::new()) };
        match data.strip_prefix('@') {
            None => Ok(Bytes::from(data.to_owned())),
            Some("-") => {
                let mut bytes = Vec::new();
                // Blocks the only thread, which has nothing else to do yet.
                io::stdin().read_to_end(&mut bytes).context("read standard input")?;
                Ok(Bytes::from(bytes))
            }
            Some(path) => Ok(std::fs::read(path).with_context(|| format!("read {path}"))?.into()),
        }
    }
}

/// The URL of a path below a route of the data plane.
pub fn url(data_plane: &str, route: &str, path: &str) -> String {
    let base = format!("{}{route}", data_plane.trim_end_matches('/'));
    match path.chars().next() {
        None | Some('?') => format!("{base}{path}"),
        Some(_) => format!("{}/{}", base.trim_end_matches('/'), path.trim_start_matches('/')),
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
            assert_eq!(url("http://h:1", route, path), expected);
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
