//! Compiled components: loaded from disk and linked to what the host offers.

use super::bindings::{BatchHandler, BatchHandlerIndices};
use super::calling::CallingHttp;
use super::guest::Guest;
use super::replica::LifeExports;
use super::tidy_http;
use crate::api::{ApiError, ErrorCode};
use crate::spec::World;
use std::path::Path;
use wasmtime::Engine;
use wasmtime::component::{Component, HasSelf, InstancePre, Linker};
use wasmtime_wasi_http::{WasiHttp, WasiHttpView as _, p2, p3};

/// A handler that can be instantiated.
pub struct HandlerCode {
    /// The engine it was compiled for.
    pub engine: Engine,
    /// Its linked form.
    pub pre: InstancePre<Guest>,
    /// How it is called.
    pub handler: Handler,
    /// Its exports that tell it when it starts and goes.
    pub life: Option<LifeExports>,
    /// Bytes of machine code and data that are mapped for it.
    pub bytes: u64,
}

/// How a handler is called: where its exports are.
pub enum Handler {
    /// WASI 0.2.
    Sync(p2::bindings::ProxyIndices),
    /// WASI 0.3.
    Async(p3::bindings::ServiceIndices),
    /// Batches of whole requests.
    Batch(BatchHandlerIndices),
}

/// Everything a handler may import that knows nothing of asynchronous calls: `wasi:http` and the
/// whole of `wasi:cli` with nothing behind it, in version 0.2, and what `samovar:handler` offers.
///
/// # Errors
///
/// When two interfaces have the same name, which would be a mistake of ours.
pub fn plain_linker(engine: &Engine) -> anyhow::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    p2::add_only_http_to_linker_async(&mut linker)?;
    tidy_http::replace(&mut linker)?;
    BatchHandler::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    Ok(linker)
}

/// Everything any handler may import: the same, and version 0.3 beside 0.2.
///
/// # Errors
///
/// As [`plain_linker`].
pub fn async_linker(engine: &Engine) -> anyhow::Result<Linker<Guest>> {
    let mut linker = plain_linker(engine)?;
    wasmtime_wasi::p3::add_to_linker(&mut linker)?;
    p3::bindings::http::types::add_to_linker::<_, WasiHttp>(&mut linker, Guest::http)?;
    p3::bindings::http::client::add_to_linker::<_, CallingHttp>(&mut linker, Guest::http)?;
    Ok(linker)
}

/// Loads code that this server compiled.
///
/// # Errors
///
/// `compile-failed` if the file does not fit this engine, which makes the caller compile again.
#[expect(unsafe_code, reason = "loading precompiled code; the store has checked its digest")]
pub fn load(engine: &Engine, code: &Path) -> Result<Component, ApiError> {
    // SAFETY: the file was written by our own compiler process and its SHA-256 is the one that was
    // recorded then; nothing else is ever loaded.
    unsafe { Component::deserialize_file(engine, code) }.map_err(|error| {
        ApiError::new(ErrorCode::CompileFailed, format!("load compiled component: {error:#}"))
    })
}

/// Links a handler that is called as `world` says.
///
/// # Errors
///
/// `unknown-import` with the name of what is missing, or `wrong-world`.
pub fn link_handler(
    linker: &Linker<Guest>,
    component: &Component,
    world: World,
) -> Result<HandlerCode, ApiError> {
    let pre = linker.instantiate_pre(component).map_err(|error| unknown_import(&error))?;
    let handler = match world {
        World::HttpProxy02 => p2::bindings::ProxyIndices::new(&pre).map(Handler::Sync),
        World::HttpService03 => p3::bindings::ServiceIndices::new(&pre).map(Handler::Async),
        World::Batch01 => BatchHandlerIndices::new(&pre).map(Handler::Batch),
        World::Policy01 => {
            let message = "the component is a scaling policy, not a handler";
            let hint = "push it with `samovar policy push`, then `samovar policy swap`";
            return Err(ApiError::new(ErrorCode::NotAHandler, message).with_hint(hint));
        }
    };
    let handler = handler.map_err(|error| {
        let message = format!("the component does not fit {}: {error:#}", world.as_str());
        ApiError::new(ErrorCode::WrongWorld, message)
    })?;
    let life = LifeExports::find(component);
    let image = component.image_range();
    let bytes = (image.end as usize - image.start as usize) as u64;
    Ok(HandlerCode { engine: component.engine().clone(), pre, handler, life, bytes })
}

/// The error for an import nobody provides; wasmtime's text names it.
pub fn unknown_import(error: &wasmtime::Error) -> ApiError {
    let message = format!("the component cannot be linked: {error:#}");
    ApiError::new(ErrorCode::UnknownImport, message).with_hint(
        "handlers may import wasi:http and wasi:cli with all they need (io, clocks, random, \
         filesystem, sockets) in versions 0.2 and 0.3, wasi:config, wasi:keyvalue, wasi:logging \
         and samovar:handler; policies only the std set of wasi:cli",
    )
}
