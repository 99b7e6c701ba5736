//! A server with one deployment: its page, its document, and answers that say what was sent.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use samovar_schema::{Described, Schema, Side, error_body, openapi, page};
use serde_json::{Value, json};

/// A picture of one pixel.
const PICTURE: &[u8] =
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\
    \x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";

/// The deployment that is served.
pub struct Site {
    address: String,
    route: &'static str,
}

struct Request {
    method: String,
    path: String,
    kind: String,
    body: Vec<u8>,
}

struct Answer {
    status: &'static str,
    headers: String,
    body: Vec<u8>,
}

impl Site {
    /// Serves until the process ends.
    pub fn start(
        route: &'static str,
        endpoint: Option<&'static str>,
        text: &'static str,
        input: Option<Schema>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let server_url = address.clone();
        thread::spawn(move || {
            let described = Described {
                name: "site",
                title: Some(text),
                description: Some(text),
                version: "1",
                server_url: &server_url,
                route,
                endpoint,
                input: input.as_ref(),
                output: None,
                max_batch_size: None,
            };
            thread::scope(|scope| {
                for stream in listener.incoming() {
                    scope.spawn(move || serve(stream.unwrap(), &described));
                }
            });
        });
        Site { address, route }
    }

    pub fn page_url(&self) -> String {
        format!("{}{}/docs", self.address, self.route.trim_end_matches('/'))
    }
}

fn serve(mut stream: TcpStream, described: &Described<'_>) {
    // A browser opens connections that it may never use.
    let Some(request) = read(&stream) else { return };
    let answer = answer(&request, described);
    let head = format!(
        "HTTP/1.1 {}\r\ncontent-length: {}\r\nconnection: close\r\n{}\r\n",
        answer.status,
        answer.body.len(),
        answer.headers
    );
    // It may also leave before the answer.
    let _ = stream.write_all(&[head.as_bytes(), &answer.body].concat());
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (mut length, mut kind) = (0, String::new());
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().ok()?,
            "content-type" => value.clone_into(&mut kind),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { method, path, kind, body })
}

fn answer(request: &Request, described: &Described<'_>) -> Answer {
    let (path, _) = request.path.split_once('?').unwrap_or((&request.path, ""));
    if path.ends_with("/docs") {
        let page = page(described);
        let headers = format!(
            "content-type: text/html; charset=utf-8\r\ncontent-security-policy: {}\r\n",
            page.policy
        );
        return Answer { status: "200 OK", headers, body: page.html.into_bytes() };
    }
    if path.ends_with("/docs/openapi.json") {
        return json_answer("200 OK", &openapi(described));
    }
    if path.contains("/picture") {
        let headers = "content-type: image/gif\r\n".to_owned();
        return Answer { status: "200 OK", headers, body: PICTURE.to_vec() };
    }
    if let Some(faults) = described.input.and_then(|input| input.check(&request.body).err()) {
        return json_answer("422 Unprocessable Content", &error_body(Side::Input, &faults));
    }
    let text = String::from_utf8_lossy(&request.body).into_owned();
    let body = serde_json::from_slice(&request.body).unwrap_or(Value::from(text));
    let said = json!({
        "method": request.method, "path": path, "content-type": request.kind, "body": body,
    });
    json_answer("200 OK", &said)
}

fn json_answer(status: &'static str, value: &Value) -> Answer {
    let headers = "content-type: application/json\r\nsamovar-test: yes\r\n".to_owned();
    Answer { status, headers, body: value.to_string().into_bytes() }
}
