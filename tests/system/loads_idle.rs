//! Idle connections: they cost little, hold nobody up, and can be used again.
//!
//! `SAMOVAR_IDLE` says how many, 500 by default, as far as the limit on open files allows.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use samovar_tests::crowd::{connections_max, each, number, source};
use samovar_tests::raw::Raw;
use samovar_tests::usage::Usage;
use samovar_tests::{Http, Load, Samovar, eventually};
use tokio::time::Instant;

use crate::support::fixed;

/// Connections made or used at the same time.
const WIDTH: usize = 64;
/// The server closes a connection that was idle for 30 s; before that it may not. Far from it, as
/// the clocks of both sides start at different times.
const IDLE_MIN: Duration = Duration::from_secs(20);
/// Far more than an idle connection may take: buffers are given back after a request.
const BYTES_PER_CONNECTION_MAX: u64 = 64 << 10;

/// A connection and when it was last used. None while it is in use, and once it has ended.
type Place = Arc<Mutex<Option<(Raw, Instant)>>>;

fn places(count: usize) -> Vec<Place> {
    (0..count).map(|_| Place::default()).collect()
}

async fn ask(raw: &mut Raw) {
    raw.write("GET /hello HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let answer = raw.read_answer_to("GET").await;
    assert_eq!((answer.status, &answer.body[..]), (200, &b"Hello from Samovar!\n"[..]));
}

/// Opens a connection, uses it once and leaves it open.
async fn open(place: Place, index: usize, address: SocketAddr) {
    let mut raw = Raw::connect_from(source(index), address).await;
    ask(&mut raw).await;
    *place.lock().expect("nobody panics with it") = Some((raw, Instant::now()));
}

/// Uses a connection once more. One that was idle for long may be closed.
async fn use_again(place: Place) {
    let taken = place.lock().expect("nobody panics with it").take();
    let (mut raw, used) = taken.expect("it was opened");
    if used.elapsed() < IDLE_MIN {
        ask(&mut raw).await;
        *place.lock().expect("nobody panics with it") = Some((raw, Instant::now()));
    }
}

fn pid(samovar: &Samovar) -> i32 {
    samovar.pid().as_raw_nonzero().get()
}

/// What every one of `count` idle connections adds to the server, in bytes.
fn print_cost(kind: &str, count: usize, before: &Usage, during: &Usage) -> u64 {
    let more = during.resident_bytes.saturating_sub(before.resident_bytes);
    let each = more / count as u64;
    println!("{count} idle connections of {kind}: before {before}, then {during}: {each} B each");
    each
}

#[tokio::test]
async fn idle_connections_hold_nobody_up_and_serve_on() {
    let wanted = number("SAMOVAR_IDLE", 500);
    let count = wanted.min(connections_max());
    if count < wanted {
        println!("the limit on open files allows {count} connections of {wanted}");
    }
    let mut samovar = Samovar::start().await;
    samovar.deploy("hello", "hello", fixed(1)).await;
    let address = samovar.http.address();
    each(100, WIDTH, move |index| open(Place::default(), index, address)).await;
    let before = Usage::of(pid(&samovar));
    let idle = Arc::new(places(count));
    let all = idle.clone();
    each(count, WIDTH, move |index| open(all[index].clone(), index, address)).await;
    let during = Usage::of(pid(&samovar));
    assert!(during.descriptors >= before.descriptors.max(count), "{before}, then {during}");
    assert!(print_cost("HTTP/1.1", count, &before, &during) < BYTES_PER_CONNECTION_MAX);

    Load::some(&samovar.http, "/hello", 200).await;

    let all = idle.clone();
    each(count, WIDTH, move |index| use_again(all[index].clone())).await;
    let is_open = |place: &&Place| place.lock().expect("nobody panics with it").is_some();
    let used = idle.iter().filter(is_open).count();
    println!("{used} of {count} were used again, the others had been idle for {IDLE_MIN:?}");
    assert!(used > 0, "all of this took too long");
    drop(idle);
    eventually("all descriptors are back", async || {
        samovar.http = Http::new(address);
        let now = Usage::of(pid(&samovar));
        (now.descriptors <= before.descriptors && now.threads <= before.threads).then_some(())
    })
    .await;
    samovar.http.get("/hello").await.expect(200);
    samovar.stop().await;
}

#[tokio::test]
async fn idle_connections_of_http2_hold_nobody_up_and_serve_on() {
    let count = number("SAMOVAR_IDLE", 500).min(connections_max()).min(5000);
    let samovar = Samovar::start().await;
    samovar.deploy("hello", "hello", fixed(1)).await;
    let address = samovar.http.address();
    samovar.http.get("/hello").await.expect(200);
    let before = Usage::of(pid(&samovar));
    let clients: Arc<Vec<Http>> = Arc::new((0..count).map(|_| Http::http2(address)).collect());
    let all = clients.clone();
    each(count, WIDTH, move |index| hello(all[index].clone())).await;
    let during = Usage::of(pid(&samovar));
    assert!(during.descriptors >= before.descriptors.max(count), "{before}, then {during}");
    assert!(print_cost("HTTP/2", count, &before, &during) < BYTES_PER_CONNECTION_MAX);
    samovar.http.get("/hello").await.expect(200);
    let all = clients.clone();
    each(count, WIDTH, move |index| hello(all[index].clone())).await;
    samovar.stop().await;
}

async fn hello(http: Http) {
    http.get("/hello").await.expect(200);
}
