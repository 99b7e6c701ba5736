//! Joins the traits for handlers to the generated bindings. Exists only in guests.

use std::marker::PhantomData;

use crate::{
    batch::{BatchHandler, Request, Response},
    lifecycle::Lifecycle,
};

// Each export has a world of its own, so that a component exports only what it names.
#[allow(missing_docs, reason = "generated code")]
pub mod batch_bindings {
    wit_bindgen::generate!({
        inline: "
            package samovar:sdk;
            world only-batch { export samovar:handler/batch@0.1.0; }
        ",
        path: "wit/handler",
        pub_export_macro: true,
        default_bindings_module: "samovar_sdk::private::batch_bindings",
    });
}

#[allow(missing_docs, reason = "generated code")]
pub mod lifecycle_bindings {
    wit_bindgen::generate!({
        inline: "
            package samovar:sdk;
            world only-lifecycle { export samovar:handler/lifecycle@0.1.0; }
        ",
        path: "wit/handler",
        pub_export_macro: true,
        default_bindings_module: "samovar_sdk::private::lifecycle_bindings",
    });
}

use batch_bindings::exports::samovar::handler::batch as wire;

/// The component's side of `H`.
pub struct BatchExport<H>(PhantomData<H>);

impl<H: BatchHandler> wire::Guest for BatchExport<H> {
    fn handle_batch(requests: Vec<wire::Request>) -> Vec<Result<wire::Response, String>> {
        let answers = H::handle(requests.into_iter().map(Request::from).collect());
        answers.into_iter().map(|answer| answer.map(wire::Response::from)).collect()
    }
}

impl From<wire::Request> for Request {
    fn from(request: wire::Request) -> Self {
        let wire::Request { method, path_with_query, headers, body } = request;
        Self { method, path_with_query, headers, body }
    }
}

impl From<Response> for wire::Response {
    fn from(response: Response) -> Self {
        let Response { status, headers, body } = response;
        Self { status, headers, body }
    }
}

/// The component's side of `L`.
pub struct LifecycleExport<L>(PhantomData<L>);

impl<L: Lifecycle> lifecycle_bindings::exports::samovar::handler::lifecycle::Guest
    for LifecycleExport<L>
{
    fn init() -> Result<(), String> {
        L::init()
    }

    fn drain() {
        L::drain();
    }
}
