//! Compiled components: loaded from disk and linked to what the host offers.

use super::guest::Guest;
use crate::api::{ApiError, ErrorCode};
use crate::spec::World;
use std::path::Path;
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};
use wasmtime_wasi_http::{p2, p3};

/// A handler that can be instantiated.
pub struct HandlerCode {
    /// The engine it was compiled for.
    pub engine: Engine,
    /// Its linked form.
    pub handler: Handler,
}

/// A linked handler, by how it is called.
pub enum Handler {
    /// WASI 0.2.
    Sync(p2::bindings::ProxyPre<Guest>),
    /// WASI 0.3.
    Async(p3::bindings::ServicePre<Guest>),
}

/// Everything a handler may import: `wasi:http` and the whole of `wasi:cli` with nothing behind it,
/// in both versions.
///
/// # Errors
///
/// When two interfaces have the same name, which would be a mistake of ours.
pub fn handler_linker(engine: &Engine) -> anyhow::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    p2::add_only_http_to_linker_async(&mut linker)?;
    wasmtime_wasi::p3::add_to_linker(&mut linker)?;
    p3::add_to_linker(&mut linker)?;
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

/// Links a handler.
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
        World::HttpProxy02 => p2::bindings::ProxyPre::new(pre).map(Handler::Sync),
        World::HttpService03 => p3::bindings::ServicePre::new(pre).map(Handler::Async),
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
    Ok(HandlerCode { engine: component.engine().clone(), handler })
}

/// The error for an import nobody provides; wasmtime's text names it.
pub fn unknown_import(error: &wasmtime::Error) -> ApiError {
    let message = format!("the component cannot be linked: {error:#}");
    ApiError::new(ErrorCode::UnknownImport, message).with_hint(
        "handlers may import wasi:http and wasi:cli with all they need (io, clocks, random, \
         filesystem, sockets), in versions 0.2 and 0.3; policies only the std set of wasi:cli",
    )
}
