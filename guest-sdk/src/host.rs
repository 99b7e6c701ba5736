//! Generated bindings to what a host offers beside `wasi:http`.
//!
//! A component imports only those functions that it calls.

wit_bindgen::generate!({ path: "wit/handler", world: "imports", generate_all });
