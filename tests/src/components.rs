//! Components to upload: the built guests, and small ones made on the spot.

use std::fmt::Write as _;
use std::fs;

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
    let body = format!(
        r#"
        (local $response i32)
        (local.set $response (call $new-response (call $new-fields)))
        (drop (call $set-status (local.get $response) (i32.const {status})))
        (call $answer (local.get 1) (i32.const 0) (local.get $response)
            (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))"#
    );
    handler("", "", &body)
}

/// A handler that does nothing and imports the interface `acme:vault/secrets@1.2.3`.
pub fn unknown_import() -> Vec<u8> {
    let import = r#"
        (import "acme:vault/secrets@1.2.3" (instance (export "get" (func (result u32)))))"#;
    handler(import, "", "")
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

/// A handler with one function that takes a compiler very long: `blocks` loops in a row, between
/// which hundreds of values stay alive.
pub fn huge_function(blocks: usize) -> Vec<u8> {
    const LOCALS: usize = 400;
    let mut function = String::from("(func (export \"bomb\") (param i32) (result i32)");
    for _ in 0..LOCALS {
        function.push_str(" (local i32)");
    }
    for block in 0..blocks {
        let (a, b, c) = (1 + block % LOCALS, 1 + (block * 7) % LOCALS, 1 + (block * 13) % LOCALS);
        write!(
            function,
            "(loop (local.set {a} (i32.add (local.get {b}) (i32.mul (local.get {c}) (local.get 0))))\
             (br_if 0 (i32.lt_u (local.get {a}) (local.get {b}))))"
        )
        .expect("writing to a string cannot fail");
    }
    function.push_str("(local.get 1)");
    for local in 2..=LOCALS {
        write!(function, "(i32.add (local.get {local}))").expect("a string takes all");
    }
    function.push(')');
    handler("", &function, "")
}

/// A handler with `count` functions that each cost a compiler something.
pub fn many_functions(count: usize) -> Vec<u8> {
    let mut functions = String::new();
    for number in 0..count {
        write!(
            functions,
            "(func (param i32 i32) (result i32) (local i32) \
             (loop (local.set 2 (i32.add (local.get 2) (i32.mul (local.get 0) (i32.const {number})))) \
             (local.set 0 (i32.xor (local.get 2) (i32.rotl (local.get 1) (local.get 0)))) \
             (br_if 0 (i32.lt_u (local.get 0) (i32.const {number})))) (local.get 2))"
        )
        .expect("writing to a string cannot fail");
    }
    handler("", &functions, "")
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
    let mut section = leb128(NAME.len());
    section.extend_from_slice(NAME);
    section.extend_from_slice(content);
    let mut result = wasm.to_vec();
    result.push(CUSTOM);
    result.extend(leb128(section.len()));
    result.extend(section);
    result
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

/// A WASI 0.2 handler: `import` goes into the component, `functions` into its core module, and
/// `handle` is the body of the function that takes a request (local 0) and where to put the answer
/// (local 1).
fn handler(import: &str, functions: &str, handle: &str) -> Vec<u8> {
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
        (core func $new-fields (canon lower (func $types "[constructor]fields")))
        (core func $new-response (canon lower (func $types "[constructor]outgoing-response")))
        (core func $set-status
            (canon lower (func $types "[method]outgoing-response.set-status-code")))
        (core func $answer
            (canon lower (func $types "[static]response-outparam.set") (memory $memory-of-all)))
        (core module $code
            (import "host" "new-fields" (func $new-fields (result i32)))
            (import "host" "new-response" (func $new-response (param i32) (result i32)))
            (import "host" "set-status" (func $set-status (param i32 i32) (result i32)))
            (import "host" "answer"
                (func $answer (param i32 i32 i32 i32 i64 i32 i32 i32 i32)))
            {functions}
            (func (export "handle") (param i32 i32) {handle}))
        (core instance $code (instantiate $code (with "host" (instance
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
