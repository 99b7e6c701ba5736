//! What all servers are asked to do.

#[path = "../../../tests/fixtures/json-transform/src/transform.rs"]
pub mod transform;

use std::{io::Cursor, thread};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use image::{ImageFormat, ImageReader, RgbImage, codecs::jpeg::JpegEncoder};
use serde_json::{Value, json};

/// Of the picture that becomes a thumbnail, in pixels.
const PICTURE: (u32, u32) = (1024, 768);
const PICTURE_QUALITY: u8 = 85;
/// The longest side of a thumbnail, unless it is asked for another one.
const THUMBNAIL_SIDE: u32 = 128;
/// Orders in the body of `json`, which make it about 2 KB long.
const ORDERS: usize = 20;
/// Requests that sleep at the same time, and how long each does.
const SLEEPERS: usize = 64;
pub const SLEEP_MS: u64 = 5;
/// Enough for bodies of a MiB: more of them would only measure the cache of the processor.
const LARGE_CONNECTIONS: usize = 8;

/// One kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// A greeting of 20 bytes.
    Hello,
    /// A body of 1 KiB comes back.
    Echo1k,
    /// A body of 1 MiB comes back.
    Echo1m,
    /// A picture in JPEG becomes a small one in PNG.
    Thumbnail,
    /// A list of orders in JSON is filtered and summed up.
    Json,
    /// 64 requests at once that each wait 5 ms in the guest, all on one replica.
    Sleep,
}

/// What a component is written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum World {
    Wasi02,
    Wasi03,
    Batch,
}

impl Workload {
    /// In the order they run in.
    pub const ALL: [Self; 6] =
        [Self::Hello, Self::Echo1k, Self::Echo1m, Self::Thumbnail, Self::Json, Self::Sleep];

    pub fn name(self) -> &'static str {
        match self {
            Self::Hello => "hello",
            Self::Echo1k => "echo-1k",
            Self::Echo1m => "echo-1m",
            Self::Thumbnail => "thumbnail",
            Self::Json => "json",
            Self::Sleep => "sleep",
        }
    }

    /// Those in a list such as `hello,echo-1k`.
    ///
    /// # Errors
    ///
    /// When one of them does not exist.
    pub fn parse(list: &str) -> Result<Vec<Self>> {
        let one = |name: &str| {
            let found = Self::ALL.into_iter().find(|workload| workload.name() == name);
            let all = Self::ALL.map(Self::name).join(", ");
            found.with_context(|| format!("`{name}` is no workload; there are {all}"))
        };
        list.split(',').map(one).collect()
    }

    /// Connections when others have `usual`.
    pub fn connections(self, usual: usize) -> usize {
        match self {
            Self::Hello | Self::Echo1k | Self::Json => usual,
            Self::Echo1m => usual.min(LARGE_CONNECTIONS),
            // More would only wait for a core, and their pictures would push each other out of the
            // processor's cache.
            Self::Thumbnail => usual.min(2 * cores()),
            Self::Sleep => SLEEPERS,
        }
    }

    /// The guest that does it.
    pub fn guest(self, world: World) -> Option<&'static str> {
        match (self, world) {
            (Self::Hello, World::Wasi02) => Some("hello"),
            (Self::Hello, World::Wasi03) => Some("hello-async"),
            (Self::Hello, World::Batch) => Some("fixture-hello-batch"),
            (Self::Echo1k | Self::Echo1m, World::Wasi02) => Some("echo-sync"),
            (Self::Echo1k | Self::Echo1m, World::Wasi03) => Some("echo"),
            (Self::Thumbnail, World::Wasi02) => Some("thumbnail"),
            (Self::Json, World::Wasi02) => Some("fixture-json-transform"),
            (Self::Json, World::Wasi03) => Some("fixture-json-transform-async"),
            (Self::Sleep, World::Wasi03) => Some("fixture-behave-async"),
            _ => None,
        }
    }

    /// What guests are asked for.
    pub fn guest_path(self) -> String {
        match self {
            Self::Sleep => format!("/sleep?ms={SLEEP_MS}"),
            _ => "/".into(),
        }
    }

    /// What the scripts of other servers are asked for.
    pub fn script_path(self) -> &'static str {
        match self {
            Self::Echo1k | Self::Echo1m => "/echo",
            Self::Json => "/json",
            _ => "/",
        }
    }

    /// Sent by `POST`; `GET` if it is empty.
    pub fn body(self) -> Bytes {
        match self {
            Self::Hello | Self::Sleep => Bytes::new(),
            Self::Echo1k => bytes(1 << 10),
            Self::Echo1m => bytes(1 << 20),
            Self::Thumbnail => picture().into(),
            Self::Json => orders().into(),
        }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Self::Hello | Self::Sleep => "",
            Self::Echo1k | Self::Echo1m => "application/octet-stream",
            Self::Thumbnail => "image/jpeg",
            Self::Json => "application/json",
        }
    }

    /// Whether it only moves bytes, so that bytes per CPU second say more than requests.
    pub fn is_echo(self) -> bool {
        matches!(self, Self::Echo1k | Self::Echo1m)
    }

    /// Requests per second that nothing can exceed, if there is such a limit.
    pub fn ideal_per_second(self) -> Option<f64> {
        (self == Self::Sleep).then(|| SLEEPERS as f64 * 1000.0 / SLEEP_MS as f64)
    }

    /// Whether `answer` is what comes of `sent`: a comparison means little unless all do the same.
    ///
    /// # Errors
    ///
    /// When it is something else.
    pub fn check(self, sent: &[u8], answer: &[u8]) -> Result<()> {
        match self {
            Self::Hello => ensure!(answer == b"Hello from Samovar!\n", "another greeting"),
            Self::Echo1k | Self::Echo1m => ensure!(answer == sent, "other bytes come back"),
            Self::Thumbnail => {
                let sides = sides(answer).context("the answer is no PNG")?;
                ensure!(sides.0.max(sides.1) == THUMBNAIL_SIDE, "a picture of {sides:?} pixels");
            }
            Self::Json => {
                let expected = transform::transform(sent).map_err(anyhow::Error::msg)?;
                let parsed = [&expected[..], answer].map(serde_json::from_slice::<Value>);
                let [Ok(expected), Ok(answer)] = parsed else { bail!("the answer is no JSON") };
                ensure!(expected == answer, "{answer} instead of {expected}");
            }
            Self::Sleep => ensure!(answer == b"ok\n", "another answer"),
        }
        Ok(())
    }
}

pub fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Bytes in an order that shows when pieces change places.
fn bytes(len: usize) -> Bytes {
    (0..len).map(|at| (at % 251) as u8).collect()
}

fn orders() -> Vec<u8> {
    let customers = ["anna", "boris", "clara", "dmitri", "elena"];
    let order = |index: usize| {
        let item = |n: usize| json!({"quantity": n % 4 + 1, "cents": 95 + 40 * (n % 7)});
        json!({
            "id": 1000 + index,
            "customer": customers[index % customers.len()],
            "status": if index.is_multiple_of(3) { "open" } else { "paid" },
            "items": [item(index), item(index + 3)],
        })
    };
    json!({"orders": (0..ORDERS).map(order).collect::<Vec<_>>()}).to_string().into_bytes()
}

/// A picture that is as hard to pack as a photograph: soft shapes with some noise.
fn picture() -> Vec<u8> {
    let (width, height) = PICTURE;
    let mut random = fastrand::Rng::with_seed(3);
    let picture = RgbImage::from_fn(width, height, |x, y| {
        let (x, y) = (x as f32 / width as f32, y as f32 / height as f32);
        let waves = [(9.0 * x + 4.0 * y).sin(), (5.0 * x - 7.0 * y).sin(), (8.0 * x * y).cos()];
        image::Rgb(waves.map(|wave| (120.0 + 100.0 * wave) as u8 + random.u8(0..16)))
    });
    let mut file = Vec::new();
    let encoder = JpegEncoder::new_with_quality(&mut file, PICTURE_QUALITY);
    picture.write_with_encoder(encoder).expect("there is room in memory");
    file
}

/// Width and height of a PNG.
fn sides(file: &[u8]) -> Option<(u32, u32)> {
    ImageReader::with_format(Cursor::new(file), ImageFormat::Png).into_dimensions().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workloads_are_found_by_name() {
        let found = Workload::parse("sleep,echo-1m").unwrap();
        assert_eq!(found, [Workload::Sleep, Workload::Echo1m]);
        let error = Workload::parse("hello,tea").unwrap_err().to_string();
        assert!(error.starts_with("`tea` is no workload; there are hello, echo-1k,"), "{error}");
    }

    #[test]
    fn bodies_have_the_length_that_is_said() {
        assert_eq!(Workload::Echo1m.body().len(), 1 << 20);
        assert!((1500..3000).contains(&orders().len()), "{}", orders().len());
        let picture = picture();
        // As that of a camera with so many pixels.
        assert!((100_000..400_000).contains(&picture.len()), "{}", picture.len());
        let read = image::load_from_memory_with_format(&picture, ImageFormat::Jpeg).unwrap();
        assert_eq!((read.width(), read.height()), PICTURE);
    }

    #[test]
    fn orders_that_are_paid_are_summed_up() {
        let body = br#"{"orders": [
            {"id": 1, "customer": "a", "status": "paid", "items": [{"quantity": 2, "cents": 30}]},
            {"id": 2, "customer": "b", "status": "open", "items": [{"quantity": 9, "cents": 99}]},
            {"id": 3, "customer": "a", "status": "paid", "items": [{"quantity": 1, "cents": 7}]}
        ]}"#;
        let answer = transform::transform(body).unwrap();
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(answer, json!({"orders": 2, "cents": 67, "customers": {"a": 67}}));
        assert!(transform::transform(b"[]").is_err());
    }

    #[test]
    fn wrong_answers_are_seen() {
        let orders = orders();
        let good = transform::transform(&orders).unwrap();
        Workload::Json.check(&orders, &good).unwrap();
        Workload::Json.check(&orders, b"{}").unwrap_err();
        Workload::Echo1k.check(b"ab", b"ba").unwrap_err();
        Workload::Thumbnail.check(b"", &picture()).unwrap_err();
        Workload::Hello.check(b"", b"").unwrap_err();
    }
}
