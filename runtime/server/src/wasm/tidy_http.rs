//! `wasi:http/outgoing-handler` of WASI 0.2, without what wasmtime 48 leaves behind: the options of a
//! request, which the guest gives away, stay in its table. An instance that lives on would have no
//! room left after some thousand requests.

use super::guest::Guest;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi_http::WasiHttpView as _;
use wasmtime_wasi_http::p2::bindings::http::outgoing_handler::Host as _;
use wasmtime_wasi_http::p2::bindings::http::types::{
    ErrorCode, FutureIncomingResponse, Host as _, OutgoingRequest, RequestOptions,
};

/// The interface, as wasmtime links it. Components that want an earlier 0.2 get it too.
const OUTGOING_HANDLER: &str = "wasi:http/outgoing-handler@0.2.12";

type Arguments = (Resource<OutgoingRequest>, Option<Resource<RequestOptions>>);
type Answer = (Result<Resource<FutureIncomingResponse>, ErrorCode>,);

/// Puts ours in the place of wasmtime's.
///
/// # Errors
///
/// When the linker has no such interface, which a later wasmtime may name otherwise.
pub fn replace(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    linker.instance(OUTGOING_HANDLER)?.func_wrap("handle", handle)?;
    linker.allow_shadowing(false);
    Ok(())
}

fn handle(
    mut store: StoreContextMut<'_, Guest>,
    (request, options): Arguments,
) -> wasmtime::Result<Answer> {
    let mut http = store.data_mut().http();
    let given = options.as_ref().map(|options| Resource::new_own(options.rep()));
    let handled = http.handle(request, options);
    if let Some(given) = given {
        // An error means that wasmtime has done it already.
        _ = http.table.delete::<RequestOptions>(given);
    }
    match handled {
        Ok(response) => Ok((Ok(response),)),
        Err(error) => Ok((Err(http.convert_error_code(error)?),)),
    }
}
