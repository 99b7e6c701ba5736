//! Webhooks: a server on the loopback interface says what the hook's owner would.

use std::{fs, path::Path, sync::Arc, time::Duration};

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use samovar_fleet::{Action, Answer, Failure, Fleet, FleetError, Hook, Secret, Settings, Webhook};
use tokio::net::{TcpListener, TcpSocket};

use crate::{
    fleet, request,
    server::{Server, reply},
    settings,
};

fn hook(url: &str) -> Settings {
    settings(Hook::Webhook(Webhook { url: url.to_owned(), ..Webhook::default() }))
}

async fn create(settings: Settings) -> Result<Answer, FleetError> {
    fleet(settings).call(&request(Action::Create)).await
}

/// The error of a create that a server answers in this way, and how often it was asked.
async fn refused(answer: &str) -> (FleetError, usize) {
    let server = Server::start(&[answer]).await;
    let error = create(hook(&server.url())).await.unwrap_err();
    (error, server.seen().len())
}

#[tokio::test]
async fn request_is_posted_with_key_headers_and_token() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    fs::write(&file, "s3cret\n").unwrap();
    let server = Server::start(&[&reply("201 Created", "", r#"{"machine": "i-1"}"#)]).await;
    let webhook = Webhook {
        url: server.url(),
        headers: vec![("X-Team".to_owned(), "vision".to_owned())],
        bearer: Some(Secret::File(file)),
        ca_file: None,
    };
    let answer = create(settings(Hook::Webhook(webhook))).await.unwrap();
    assert_eq!(answer.machine.as_deref(), Some("i-1"));
    let seen = &server.seen()[0];
    assert!(seen.head.starts_with("post /fleet?secret=1 http/1.1\r\n"), "{}", seen.head);
    assert_eq!(seen.header("idempotency-key"), Some("create-chat-7-1"));
    assert_eq!(seen.header("authorization"), Some("bearer s3cret"));
    assert_eq!(seen.header("x-team"), Some("vision"));
    assert_eq!(seen.header("content-type"), Some("application/json"));
    let body: serde_json::Value = serde_json::from_str(&seen.body).unwrap();
    assert_eq!(body["key"], "chat-7-1");
    assert_eq!(body["token"], "join-me");
}

#[tokio::test]
async fn temporary_refusals_are_tried_again_with_the_same_key_and_body() {
    let (busy, closed) = (reply("503 Busy", "", "no room"), "");
    let server = Server::start(&[&busy, closed, &reply("204 No Content", "", "")]).await;
    let mut told = Vec::new();
    let fleet = fleet(hook(&server.url()));
    let create = request(Action::Create);
    let answer = fleet.call_telling(&create, |s| told.push(s.failure.to_string())).await.unwrap();
    assert_eq!(answer, Answer::default());
    let seen = server.seen();
    assert_eq!(seen.len(), 3);
    for other in &seen[1..] {
        assert_eq!(other.header("idempotency-key"), seen[0].header("idempotency-key"));
        assert_eq!(other.body, seen[0].body);
    }
    assert_eq!(told[0], "answered with status 503: no room");
    let start = format!("cannot reach http://{}/fleet: ", server.address);
    assert!(told[1].starts_with(&start), "{told:?}");
}

#[tokio::test]
async fn answer_that_breaks_off_is_tried_again() {
    let broken = "HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{\"machine\":";
    let server = Server::start(&[broken, &reply("200 OK", "", "{}")]).await;
    create(hook(&server.url())).await.unwrap();
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn permanent_refusal_ends_a_create() {
    let (error, calls) = refused(&reply("402 Payment Required", "", "no credit\nleft")).await;
    assert_eq!(calls, 1);
    assert_eq!(
        error.to_string(),
        "worker 7 of chat was not created: answered with status 402: no credit left",
    );
}

#[tokio::test]
async fn redirects_are_told_and_not_followed() {
    let (error, calls) = refused(&reply("302 Found", "location: http://other/\r\n", "")).await;
    assert_eq!(calls, 1);
    assert!(error.to_string().ends_with("not followed, and it leads to http://other/"), "{error}");
}

#[tokio::test]
async fn server_that_asks_for_time_gets_it() {
    let busy = reply("429 Slow Down", "retry-after: 1\r\n", "");
    let server = Server::start(&[&busy, &reply("200 OK", "", "")]).await;
    let mut waits = Vec::new();
    let fleet = fleet(hook(&server.url()));
    fleet.call_telling(&request(Action::Create), |s| waits.push(s.wait)).await.unwrap();
    assert_eq!(waits, [Duration::from_secs(1)]);
}

#[tokio::test]
async fn garbage_is_not_taken_for_an_answer() {
    let (error, calls) = refused(&reply("200 OK", "", "<html>hello")).await;
    assert_eq!(calls, 1);
    assert!(matches!(error.failure, Failure::Answer(_)));
    assert!(error.to_string().ends_with("it begins with `<html>hello`"), "{error}");
    // No HTTP at all may be a proxy that is starting.
    let (error, calls) = refused("SSH-2.0-OpenSSH_9.2\r\n").await;
    assert_eq!(calls, 3);
    assert!(error.to_string().contains("invalid HTTP version parsed"), "{error}");
}

#[tokio::test]
async fn huge_answer_is_not_read_to_its_end() {
    let (error, calls) = refused(&reply("200 OK", "", &" ".repeat(70_000))).await;
    assert!(matches!(error.failure, Failure::TooLarge), "{error}");
    assert_eq!(calls, 1);
    let (error, _) = refused(&reply("400 Bad", "", &"x".repeat(5_000_000))).await;
    assert!(error.to_string().len() < 300, "{error}");
}

#[tokio::test]
async fn silence_is_a_time_out_and_tried_again() {
    let server = Server::start(&["hang", &reply("200 OK", "", "")]).await;
    let mut told = Vec::new();
    let settings = Settings { timeout: Duration::from_millis(500), ..hook(&server.url()) };
    let called = fleet(Settings { attempts: 20, ..settings });
    let tell = |s: samovar_fleet::Setback<'_>| told.push(s.failure.to_string());
    called.call_telling(&request(Action::Create), tell).await.unwrap();
    assert_eq!(told[0], "no answer within 500ms");
}

#[tokio::test]
async fn nobody_there_is_tried_again_and_told() {
    // Bound, so that the port is nobody else's, and not listening.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    let error = create(hook(&format!("http://{address}/"))).await.unwrap_err();
    assert_eq!(error.attempts, 3);
    let start = format!(
        "worker 7 of chat was not created in 3 attempts: cannot reach http://{address}/: \
         Connection refused",
    );
    assert!(error.to_string().starts_with(&start), "{error}");
}

#[tokio::test]
async fn missing_token_is_told_without_a_call() {
    let server = Server::start(&[&reply("200 OK", "", "")]).await;
    for (secret, wanted) in [
        (Secret::File("/no/such/token".into()), "/no/such/token: No such file"),
        (Secret::Env("SAMOVAR_TEST_NO_SUCH".to_owned()), "SAMOVAR_TEST_NO_SUCH is not set"),
    ] {
        let bearer = Some(secret);
        let webhook = Webhook { url: server.url(), bearer, ..Webhook::default() };
        let error = create(settings(Hook::Webhook(webhook))).await.unwrap_err();
        assert!(error.to_string().contains(wanted), "{error}");
    }
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn destroy_goes_on_where_a_create_stops() {
    let gone = reply("404 Not Found", "", "");
    let answers = [&*gone, &gone, &gone, &gone, &reply("200 OK", "", "")];
    let server = Server::start(&answers).await;
    fleet(hook(&server.url())).call(&request(Action::Destroy)).await.unwrap();
    let seen = server.seen();
    assert_eq!(seen.len(), 5);
    assert_eq!(seen[0].header("idempotency-key"), Some("destroy-chat-7-1"));
}

#[tokio::test]
async fn list_answers_machines() {
    let body = r#"{"machines": [{"machine": 5, "key": "chat-7-1"}, {"machine": "i-2"}]}"#;
    let server = Server::start(&[&reply("200 OK", "", body)]).await;
    let answer = fleet(hook(&server.url())).call(&request(Action::List)).await.unwrap();
    let machines: Vec<_> = answer.machines.iter().map(|m| m.machine.as_str()).collect();
    assert_eq!(machines, ["5", "i-2"]);
}

/// A server certificate for the loopback address, and a file that makes it trusted.
fn certificate(folder: &Path) -> (ServerConfig, std::path::PathBuf) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let file = folder.join("ca.pem");
    fs::write(&file, made.cert.pem()).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let chain: Vec<CertificateDer<'static>> = vec![made.cert.der().clone()];
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    (config, file)
}

fn secure(url: String, ca_file: &Path) -> Settings {
    let ca_file = Some(ca_file.to_owned());
    settings(Hook::Webhook(Webhook { url, ca_file, ..Webhook::default() }))
}

#[tokio::test]
async fn https_works_with_a_certificate_that_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let (config, file) = certificate(folder.path());
    let server = Server::start_tls(&[&reply("200 OK", "", r#"{"machine":"i-5"}"#)], config).await;
    let answer = create(secure(format!("https://{}/", server.address), &file)).await.unwrap();
    assert_eq!(answer.machine.as_deref(), Some("i-5"));
}

#[tokio::test]
async fn https_without_trust_is_a_clear_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let (config, _) = certificate(folder.path());
    let other = tempfile::tempdir().unwrap();
    let (_, file) = certificate(other.path());
    let server = Server::start_tls(&[&reply("200 OK", "", "")], config).await;
    let error = create(secure(format!("https://{}/", server.address), &file)).await.unwrap_err();
    let start = format!(
        "worker 7 of chat was not created: no secure connection to https://{}/: its certificate is \
         not trusted: ",
        server.address,
    );
    assert!(error.to_string().starts_with(&start), "{error}");
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn https_to_a_server_without_it_is_a_clear_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let (_, file) = certificate(folder.path());
    // What a plain server says to a handshake.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = reply("400 Bad Request", "", "");
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, answer.as_bytes()).await;
            // Closed only when the client has gone, so that the answer is not lost.
            let mut rest = Vec::new();
            let _ = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest).await;
        }
    });
    let error = create(secure(format!("https://{address}/"), &file)).await.unwrap_err();
    let wanted = "what answers there does not speak TLS";
    assert!(error.to_string().ends_with(wanted), "{error}");
}

#[test]
fn certificates_that_cannot_be_used_are_refused_before_any_call() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("empty.pem");
    fs::write(&file, "nothing here").unwrap();
    let refusal = |file: &Path| {
        Fleet::new(secure("https://127.0.0.1:1/".to_owned(), file)).err().unwrap().to_string()
    };
    assert!(refusal(&file).ends_with("there is none in it"));
    assert!(refusal(Path::new("/no/such/file")).contains("/no/such/file"));
}
