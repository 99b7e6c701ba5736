//! Bindings to `samovar:handler` and the interfaces of WASI that are on offer beside `wasi:http`.

mod generated {
    wasmtime::component::bindgen!({
        path: "../../guest-sdk/wit/handler",
        world: "samovar:handler/batch-handler",
        imports: {
            "wasi:keyvalue/store.open": trappable,
            "wasi:keyvalue/store.[method]bucket.get": trappable,
            "wasi:keyvalue/store.[method]bucket.exists": trappable,
            "wasi:keyvalue/store.[method]bucket.list-keys": trappable,
            "wasi:keyvalue/store.[method]bucket.set": async | trappable,
            "wasi:keyvalue/store.[method]bucket.delete": async | trappable,
            "wasi:keyvalue/atomics": async | trappable,
            "wasi:keyvalue/batch.get-many": trappable,
            "wasi:keyvalue/batch.set-many": async | trappable,
            "wasi:keyvalue/batch.delete-many": async | trappable,
            "samovar:handler/expiry.set": async | trappable,
            default: trappable,
        },
        exports: { default: async },
        with: { "wasi:keyvalue/store.bucket": crate::wasm::surroundings::Bucket },
    });
}

pub use generated::exports::samovar::handler::batch;
pub use generated::{BatchHandler, BatchHandlerIndices};
pub use generated::{samovar, wasi};
