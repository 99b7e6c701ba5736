//! Components to upload: the built guests, and small ones made on the spot.

use std::fs;

use wasm_encoder::{
    BlockType, CodeSection, Function, FunctionSection, Module, TypeSection, ValType,
};

use crate::paths;

/// The bytes of the guest called `name`.
///
/// # Panics
/// When it has not been built, saying how to build it.
pub fn component(name: &str) -> Vec<u8> {
    let path = paths::component(name);
    fs::read(&path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()))
}

/// A WASI 0.2 handler of a few hundred bytes that answers every request with `status` and an empty
/// body. It compiles in no time, so tests that need many components use it.
pub fn tiny_handler(status: u16) -> Vec<u8> {
    handler("", &answer(status, ""))
}

/// A handler that counts down from `turns` before it answers with status 200: it computes, and
/// calls nobody meanwhile.
pub fn counting_handler(turns: u64) -> Vec<u8> {
    let count = format!(
        "(local.set $left (i64.const {turns}))
        (loop $again
            (local.set $left (i64.sub (local.get $left) (i64.const 1)))
            (br_if $again (i64.gt_u (local.get $left) (i64.const 0))))"
    );
    handler("", &answer(200, &count))
}

/// The body of a function that does `first`, then answers with `status` and an empty body.
fn answer(status: u16, first: &str) -> String {
    format!(
        r#"
        (local $response i32) (local $left i64)
        {first}
        (call $drop-request (local.get 0))
        (local.set $response (call $new-response (call $new-fields)))
        (drop (call $set-status (local.get $response) (i32.const {status})))
        (call $answer (local.get 1) (i32.const 0) (local.get $response)
            (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))"#
    )
}

/// A handler that does nothing and imports the interface `acme:vault/secrets@1.2.3`.
pub fn unknown_import() -> Vec<u8> {
    let import = r#"
        (import "acme:vault/secrets@1.2.3" (instance (export "get" (func (result u32)))))"#;
    handler(import, "")
}

/// A core module: valid WebAssembly, but not a component.
pub fn core_module() -> Vec<u8> {
    parse(r#"(module (func (export "run")))"#)
}

/// A valid component that exports something, but nothing that a handler or a policy needs.
pub fn wrong_world() -> Vec<u8> {
    parse(
        r#"(component
            (core module $code (func (export "run")))
            (core instance $code (instantiate $code))
            (func $run (canon lift (core func $code "run")))
            (instance $jobs (export "run" (func $run)))
            (export "acme:jobs/runner@1.0.0" (instance $jobs)))"#,
    )
}

/// A handler that comes with one function that takes a compiler very long: `blocks` loops in a row,
/// across which hundreds of values stay alive.
pub fn huge_function(blocks: u32) -> Vec<u8> {
    const LOCALS: u32 = 400;
    let mut function = Function::new([(LOCALS, ValType::I32)]);
    let mut code = function.instructions();
    for block in 0..blocks {
        // Local 0 and 1 are the parameters.
        let local = |step: u32| 2 + block.wrapping_mul(step) % LOCALS;
        let (a, b, c) = (local(1), local(7), local(13));
        code.loop_(BlockType::Empty);
        code.local_get(b).local_get(c).local_get(0).i32_mul().i32_add().local_set(a);
        code.local_get(a).local_get(b).i32_lt_u().br_if(0);
        code.end();
    }
    code.i32_const(0);
    for local in 2..2 + LOCALS {
        code.local_get(local).i32_add();
    }
    code.end();
    with_functions([function])
}

/// A handler that comes with `count` functions that each cost a compiler something.
pub fn many_functions(count: i32) -> Vec<u8> {
    let function = |number| {
        let mut function = Function::new([(1, ValType::I32)]);
        let mut code = function.instructions();
        code.loop_(BlockType::Empty);
        code.local_get(2).local_get(0).i32_const(number).i32_mul().i32_add().local_set(2);
        code.local_get(2).local_get(1).local_get(0).i32_rotl().i32_xor().local_set(0);
        code.local_get(0).i32_const(number).i32_lt_u().br_if(0);
        code.end();
        code.local_get(2).end();
        function
    };
    with_functions((0..count).map(function))
}

/// The tiny handler with one more core module, which is compiled with it but never used.
fn with_functions(functions: impl IntoIterator<Item = Function>) -> Vec<u8> {
    const CORE_MODULE: u8 = 1;
    let mut types = TypeSection::new();
    types.ty().function([ValType::I32, ValType::I32], [ValType::I32]);
    let (mut declared, mut code) = (FunctionSection::new(), CodeSection::new());
    for function in functions {
        declared.function(0);
        code.function(&function);
    }
    let mut module = Module::new();
    module.section(&types).section(&declared).section(&code);
    with_section(&tiny_handler(200), CORE_MODULE, &module.finish())
}

/// `wasm` with a custom section that holds `number`: the same behaviour under another digest.
pub fn unique(wasm: &[u8], number: u64) -> Vec<u8> {
    with_custom_section(wasm, &number.to_le_bytes())
}

/// `wasm` with a custom section of `size_bytes` bytes that differ from each other.
pub fn padded(wasm: &[u8], size_bytes: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(1);
    let padding: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(size_bytes).collect();
    with_custom_section(wasm, &padding)
}

fn with_custom_section(wasm: &[u8], content: &[u8]) -> Vec<u8> {
    const NAME: &[u8] = b"test";
    const CUSTOM: u8 = 0;
    with_section(wasm, CUSTOM, &[&leb128(NAME.len()), NAME, content].concat())
}

fn with_section(wasm: &[u8], id: u8, content: &[u8]) -> Vec<u8> {
    [wasm, &[id], &leb128(content.len()), content].concat()
}

fn leb128(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

fn parse(text: &str) -> Vec<u8> {
    wat::parse_str(text).expect("the text is a component or a module")
}

/// A WASI 0.2 handler: `import` goes into the component, and `handle` is the body of the function that takes a request (local 0) and where to put the answer
/// (local 1).
fn handler(import: &str, handle: &str) -> Vec<u8> {
    let error_code = include_str!("error-code.wat");
    parse(&format!(
        r#"(component
        {import}
        (import "wasi:http/types@0.2.0" (instance $types
            (export "fields" (type $fields (sub resource)))
            (export "incoming-request" (type $request (sub resource)))
            (export "outgoing-response" (type $response (sub resource)))
            (export "response-outparam" (type $outparam (sub resource)))
            {error_code}
            (export "[constructor]fields" (func (result (own $fields))))
            (export "[constructor]outgoing-response"
                (func (param "headers" (own $fields)) (result (own $response))))
            (export "[method]outgoing-response.set-status-code"
                (func (param "self" (borrow $response)) (param "status-code" u16) (result (result))))
            (export "[static]response-outparam.set"
                (func (param "param" (own $outparam))
                    (param "response" (result (own $response) (error $error-code)))))))
        (alias export $types "incoming-request" (type $request))
        (alias export $types "response-outparam" (type $outparam))
        (core module $memory (memory (export "memory") 1))
        (core instance $memory (instantiate $memory))
        (alias core export $memory "memory" (core memory $memory-of-all))
        (core func $drop-request (canon resource.drop $request))
        (core func $new-fields (canon lower (func $types "[constructor]fields")))
        (core func $new-response (canon lower (func $types "[constructor]outgoing-response")))
        (core func $set-status
            (canon lower (func $types "[method]outgoing-response.set-status-code")))
        (core func $answer
            (canon lower (func $types "[static]response-outparam.set") (memory $memory-of-all)))
        (core module $code
            (import "host" "drop-request" (func $drop-request (param i32)))
            (import "host" "new-fields" (func $new-fields (result i32)))
            (import "host" "new-response" (func $new-response (param i32) (result i32)))
            (import "host" "set-status" (func $set-status (param i32 i32) (result i32)))
            (import "host" "answer"
                (func $answer (param i32 i32 i32 i32 i64 i32 i32 i32 i32)))
            (func (export "handle") (param i32 i32) {handle}))
        (core instance $code (instantiate $code (with "host" (instance
            (export "drop-request" (func $drop-request))
            (export "new-fields" (func $new-fields))
            (export "new-response" (func $new-response))
            (export "set-status" (func $set-status))
            (export "answer" (func $answer))))))
        (func $handle (param "request" (own $request)) (param "response-out" (own $outparam))
            (canon lift (core func $code "handle")))
        (component $shim
            (import "request" (type $request (sub resource)))
            (import "outparam" (type $outparam (sub resource)))
            (import "handle" (func $handle
                (param "request" (own $request)) (param "response-out" (own $outparam))))
            (export $exported-request "incoming-request" (type $request))
            (export $exported-outparam "response-outparam" (type $outparam))
            (export "handle" (func $handle) (func
                (param "request" (own $exported-request))
                (param "response-out" (own $exported-outparam)))))
        (instance $handler (instantiate $shim
            (with "request" (type $request))
            (with "outparam" (type $outparam))
            (with "handle" (func $handle))))
        (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))"#
    ))
}

#[cfg(test)]
mod tests {
    use wasmparser::{Validator, WasmFeatures};

    use super::*;

    fn is_valid(wasm: &[u8]) {
        let mut validator = Validator::new_with_features(WasmFeatures::all());
        if let Err(error) = validator.validate_all(wasm) {
            panic!("{error}");
        }
    }

    #[test]
    fn made_components_are_valid() {
        is_valid(&tiny_handler(204));
        is_valid(&counting_handler(1 << 40));
        is_valid(&unique(&tiny_handler(200), 7));
        is_valid(&padded(&tiny_handler(200), 100_000));
        is_valid(&unknown_import());
        is_valid(&core_module());
        is_valid(&wrong_world());
        is_valid(&huge_function(100));
        is_valid(&many_functions(100));
    }

    #[test]
    fn unique_components_differ() {
        let tiny = tiny_handler(200);
        assert_ne!(unique(&tiny, 1), unique(&tiny, 2));
        assert_ne!(tiny_handler(200), tiny_handler(201));
    }
}
