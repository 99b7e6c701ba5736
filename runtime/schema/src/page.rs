//! A page to try a deployment in a browser.
//!
//! The page is one file without anything from elsewhere. It loads the OpenAPI document from
//! `openapi.json` below its own path, and shows nothing of it except as text.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};
use url::Url;

use crate::openapi::Described;

const FRAME: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = concat!(
    include_str!("page/schema.js"),
    include_str!("page/editor.js"),
    include_str!("page/page.js"),
);

/// A page, and what a browser may do on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The page, for `content-type: text/html; charset=utf-8`.
    pub html: String,
    /// The value of the header `content-security-policy`. It allows the page's own script and
    /// style, requests to where the page is from and to the data plane, and nothing else.
    pub policy: String,
}

/// The page of a deployment. Its OpenAPI document has to be served at the path of the page with
/// `/openapi.json` after it.
pub fn page(described: &Described<'_>) -> Page {
    let title = escaped(described.title.unwrap_or(described.name));
    let mut html = String::with_capacity(FRAME.len() + STYLE.len() + SCRIPT.len() + 256);
    let mut rest = FRAME;
    for (mark, text) in
        [("{{title}}", title.as_str()), ("{{style}}", STYLE), ("{{script}}", SCRIPT)]
    {
        let (before, after) =
            rest.split_once(mark).expect("the frame has each mark, in this order");
        html.push_str(before);
        html.push_str(text);
        rest = after;
    }
    html.push_str(rest);
    Page { html, policy: policy(described.server_url) }
}

fn policy(server_url: &str) -> String {
    let server = origin(server_url).map_or_else(String::new, |origin| format!(" {origin}"));
    format!(
        "default-src 'none'; script-src {}; style-src {}; connect-src 'self'{server}; \
         img-src data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        source(SCRIPT),
        source(STYLE),
    )
}

/// The text that a policy allows. With it no other script runs, wherever it may come from.
fn source(text: &str) -> String {
    format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(text)))
}

/// Scheme, host and port of a URL, if it has them and nothing in them could end the policy.
fn origin(url: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._~[]:/".contains(c);
    let origin = url.origin().ascii_serialization();
    let is_web = ["http", "https"].contains(&url.scheme());
    (is_web && origin.chars().all(is_plain)).then_some(origin)
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described<'a>(title: &'a str, server_url: &'a str) -> Described<'a> {
        Described {
            name: "n",
            title: Some(title),
            description: None,
            version: "1",
            server_url,
            route: "/",
            endpoint: None,
            input: None,
            output: None,
            max_batch_size: None,
        }
    }

    #[test]
    fn titles_are_text_whatever_they_say() {
        let hostile = "</title><script>alert(1)</script>{{script}}{{style}}";
        let page = page(&described(hostile, "http://localhost:1"));
        let shown = "&lt;/title&gt;&lt;script&gt;alert(1)&lt;/script&gt;{{script}}{{style}}";
        assert_eq!(page.html.matches(shown).count(), 1);
        assert_eq!(page.html.matches("<script").count(), 1);
        assert_eq!(page.html.matches("</script").count(), 1, "the script does not end itself");
        assert_eq!(page.html.matches("<style").count(), 1);
    }

    #[test]
    fn the_page_needs_nothing_from_elsewhere() {
        let page = page(&described("t", "/"));
        for word in ["src=", "http://", "https://", "@import", "url(", "innerHTML", "eval("] {
            assert!(!page.html.contains(word), "{word}");
        }
    }

    #[test]
    fn policies_name_the_data_plane_and_cannot_be_extended() {
        let cases = [
            ("http://localhost:8080", " http://localhost:8080"),
            ("https://models.example.com/a/b", " https://models.example.com"),
            ("http://[::1]:9/", " http://[::1]:9"),
            ("/", ""),
            ("..", ""),
            ("http://h;script-src *", ""),
            ("http://h%3B", ""),
            ("javascript:alert(1)", ""),
            ("http://h:80;script-src", ""),
            ("https://user@h:1", " https://h:1"),
        ];
        for (url, expected) in cases {
            let policy = page(&described("t", url)).policy;
            let connect = policy.split("; ").find(|part| part.starts_with("connect-src")).unwrap();
            assert_eq!(connect, format!("connect-src 'self'{expected}"), "{url}");
            assert_eq!(policy.matches("script-src").count(), 1, "{policy}");
        }
    }
}
