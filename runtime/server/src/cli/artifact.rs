//! Component files: checked, named by digest, and uploaded with a progress bar.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};
use sha2::Digest as _;

use super::failure::hinted;
use crate::api;
use crate::client::{Client, Reply};
use crate::spec::{Digest, PolicyName};

/// Refuses what cannot be a component, before anything is sent.
///
/// # Errors
///
/// When `path` is missing, a folder, empty, or WebAssembly in text form.
pub fn check(path: &Path) -> anyhow::Result<()> {
    let shown = path.display();
    let metadata = fs::metadata(path).with_context(|| format!("read {shown}"))?;
    if metadata.is_dir() {
        return Err(hinted(
            format!("{shown} is a folder, not a component"),
            format!("compile it with `samovar build {shown}`, which prints the component's path"),
        ));
    }
    if path.extension() == Some(OsStr::new("wat")) {
        return Err(hinted(
            format!("{shown} is WebAssembly in text form"),
            format!("make it binary with `wasm-tools parse {shown} -o component.wasm`"),
        ));
    }
    if metadata.len() == 0 {
        bail!("{shown} is empty");
    }
    Ok(())
}

/// The digest of a file.
///
/// # Errors
///
/// When it cannot be read.
pub fn digest(path: &Path) -> anyhow::Result<Digest> {
    const PIECE_BYTES: usize = 64 * 1024;
    let read = || -> std::io::Result<Digest> {
        let mut file = File::open(path)?;
        let mut hash = sha2::Sha256::new();
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            match file.read(&mut piece)? {
                0 => return Ok(Digest::from_bytes(hash.finalize().into())),
                count => hash.update(&piece[..count]),
            }
        }
    };
    read().with_context(|| format!("read {}", path.display()))
}

/// Uploads a component, unless the server has it.
///
/// # Errors
///
/// When the file cannot be read or the server refuses it.
pub async fn upload(client: &Client, path: &Path) -> anyhow::Result<api::Component> {
    let digest = digest(path)?;
    match client.component(&digest).await {
        Ok(known) => return Ok(known.value),
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(error.into()),
    }
    let bar = progress_bar(path)?;
    let on_sent = on_sent(&bar);
    let reply = client.upload_component(path, on_sent).await;
    bar.finish_and_clear();
    Ok(reply.with_context(|| format!("upload {}", path.display()))?.value)
}

/// Pushes a policy.
///
/// # Errors
///
/// When the file cannot be read or the server refuses it.
pub async fn push(
    client: &Client,
    name: &PolicyName,
    path: &Path,
) -> anyhow::Result<Reply<api::Policy>> {
    let bar = progress_bar(path)?;
    let on_sent = on_sent(&bar);
    let reply = client.push_policy(name, path, on_sent).await;
    bar.finish_and_clear();
    reply.with_context(|| format!("push {}", path.display()))
}

/// A progress bar on stderr; it hides itself where stderr is not a terminal.
fn progress_bar(path: &Path) -> anyhow::Result<ProgressBar> {
    let length = fs::metadata(path).with_context(|| format!("read {}", path.display()))?.len();
    let template = "{msg} {bar:30} {binary_bytes} of {binary_total_bytes}";
    let style = ProgressStyle::with_template(template).expect("the template is well-formed");
    let bar = ProgressBar::new(length).with_style(style);
    Ok(bar.with_message(format!("upload {}", path.display())))
}

/// Moves the bar. At its end the server compiles, which can take a while.
fn on_sent(bar: &ProgressBar) -> impl FnMut(u64) + Send + 'static {
    let bar = bar.clone();
    move |count| {
        bar.inc(count);
        if bar.length().is_some_and(|length| bar.position() >= length) {
            bar.set_style(ProgressStyle::default_spinner());
            bar.set_message("uploaded, the server checks and compiles it");
            bar.enable_steady_tick(Duration::from_millis(100));
        }
    }
}

/// A spinner on stderr for waits that the server cannot measure.
pub fn spinner(message: &str) -> ProgressBar {
    let spinner = ProgressBar::new_spinner().with_message(message.to_owned());
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}
