//! What an uploaded file is, found out without compiling it.

use super::engine::Purpose;
use crate::api::{ApiError, ErrorCode};
use crate::spec::World;
use wasmparser::{Encoding, Parser, Payload, Validator, WasmFeatures};

/// What a component is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Serves HTTP requests.
    Handler,
    /// Decides replica counts.
    Policy,
}

impl Kind {
    /// As in the admin API.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Handler => "handler",
            Kind::Policy => "policy",
        }
    }
}

impl From<World> for Kind {
    fn from(world: World) -> Kind {
        match world {
            World::HttpProxy02 | World::HttpService03 | World::Batch01 => Kind::Handler,
            World::Policy01 => Kind::Policy,
        }
    }
}

/// What a component says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// The world it fits.
    pub world: World,
    /// Names of what it imports.
    pub imports: Vec<String>,
    /// Names of what it exports.
    pub exports: Vec<String>,
}

const NOT_WASM_HINT: &str = "a component starts with the bytes `\\0asm` and version 13; \
    build one with `samovar build`, cargo (target wasm32-wasip2), componentize-py or jco";
const CORE_MODULE_HINT: &str = "make a component of it: build for the target `wasm32-wasip2`, or run \
    `wasm-tools component new module.wasm --adapt wasi_snapshot_preview1.wasm -o component.wasm`";

/// Reads the top level of `wasm` and validates all of it.
///
/// # Errors
///
/// `not-wasm`, `core-module`, `truncated-component`, `invalid-component` or `wrong-world`.
pub fn inspect(wasm: &[u8]) -> Result<Inspection, ApiError> {
    if wasm.len() < 8 || !wasm.starts_with(b"\0asm") {
        let error = ApiError::new(ErrorCode::NotWasm, "the upload is not a WebAssembly file");
        return Err(error.with_hint(NOT_WASM_HINT));
    }
    let (imports, exports) = top_level(wasm)?;
    let world = world_of(&exports)?;
    // Features are wasmtime's business; it validates again when it compiles.
    if let Err(error) = Validator::new_with_features(WasmFeatures::all()).validate_all(wasm) {
        return Err(parse_error(&error));
    }
    Ok(Inspection { world, imports, exports })
}

/// What a valid component of this world has to be compiled for.
pub fn purpose(world: World, wasm: &[u8]) -> Purpose {
    match Purpose::of_world(world) {
        [only] => *only,
        _ if is_async(wasm) => Purpose::AsyncHandler,
        _ => Purpose::Handler,
    }
}

/// Whether anything in it needs asynchronous calls.
fn is_async(wasm: &[u8]) -> bool {
    let asynchronous = WasmFeatures::CM_ASYNC
        | WasmFeatures::CM_MORE_ASYNC_BUILTINS
        | WasmFeatures::CM_ASYNC_STACKFUL
        | WasmFeatures::CM_THREADING
        | WasmFeatures::CM_ERROR_CONTEXT;
    let others = WasmFeatures::all().difference(asynchronous);
    Validator::new_with_features(others).validate_all(wasm).is_err()
}

/// Names imported and exported by the outermost component.
fn top_level(wasm: &[u8]) -> Result<(Vec<String>, Vec<String>), ApiError> {
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    let mut depth = 0u32;
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.map_err(|error| parse_error(&error))? {
            Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => {
                let message = "the upload is a core module, not a component";
                let error = ApiError::new(ErrorCode::CoreModule, message);
                return Err(error.with_hint(CORE_MODULE_HINT));
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    imports.push(import.map_err(|error| parse_error(&error))?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    exports.push(export.map_err(|error| parse_error(&error))?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok((imports, exports))
}

fn parse_error(error: &wasmparser::BinaryReaderError) -> ApiError {
    let text = error.message();
    if text.contains("unexpected end") {
        let message = format!("the component ends too early: {text} at byte {}", error.offset());
        ApiError::new(ErrorCode::TruncatedComponent, message)
            .with_hint("the upload may have been cut off; compare its size with the file's")
    } else {
        let message = format!("the component is not valid: {text} at byte {}", error.offset());
        ApiError::new(ErrorCode::InvalidComponent, message)
    }
}

fn world_of(exports: &[String]) -> Result<World, ApiError> {
    let has = |prefix: &str| exports.iter().any(|name| name.starts_with(prefix));
    if has("wasi:http/handler@0.3.") {
        Ok(World::HttpService03)
    } else if has("wasi:http/incoming-handler@0.2.") {
        Ok(World::HttpProxy02)
    } else if has("samovar:handler/batch@0.1.") {
        Ok(World::Batch01)
    } else if has("samovar:policy/scaling@0.1.") {
        Ok(World::Policy01)
    } else {
        let listed = if exports.is_empty() { "nothing".to_owned() } else { exports.join(", ") };
        let message = format!(
            "the component exports {listed}; a handler must export `wasi:http/incoming-handler@0.2.x` \
             or `wasi:http/handler@0.3.x`, a policy `samovar:policy/scaling@0.1.x`"
        );
        let error = ApiError::new(ErrorCode::WrongWorld, message);
        Err(if has("wasi:cli/run@") {
            error.with_hint(
                "it is a command line program; make a handler with `samovar new handler`",
            )
        } else {
            error.with_hint("`samovar new handler` and `samovar new policy` make projects that fit")
        })
    }
}
