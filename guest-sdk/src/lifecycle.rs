//! The life of one instance of a handler.
//!
//! ```
//! # #[cfg(feature = "handler")] mod example {
//! use samovar_sdk::{handler, lifecycle::Lifecycle, wasip2};
//! use std::sync::OnceLock;
//! use wasip2::http::types::{IncomingRequest, ResponseOutparam};
//!
//! static GREETING: OnceLock<String> = OnceLock::new();
//!
//! struct Hello;
//!
//! impl Lifecycle for Hello {
//!     fn init() -> Result<(), String> {
//!         let name = std::env::var("NAME").map_err(|error| format!("NAME: {error}"))?;
//!         _ = GREETING.set(format!("Hello, {name}!\n"));
//!         Ok(())
//!     }
//! }
//!
//! impl wasip2::exports::http::incoming_handler::Guest for Hello {
//!     fn handle(_request: IncomingRequest, out: ResponseOutparam) {
//!         let greeting = GREETING.get().map(String::as_bytes).unwrap_or_default();
//!         handler::respond(out, 200, "text/plain", greeting);
//!     }
//! }
//!
//! samovar_sdk::lifecycle!(Hello);
//! # #[cfg(target_arch = "wasm32")]
//! wasip2::http::proxy::export!(Hello);
//! # }
//! ```

/// Is told when an instance begins and ends. Name the type in [`lifecycle!`](crate::lifecycle!).
///
/// It goes with handlers of every kind: `wasi:http` 0.2 and 0.3, and
/// [batch handlers](crate::batch).
pub trait Lifecycle {
    /// Called once, before the first request: the place to load and to warm up. Default: nothing.
    ///
    /// # Errors
    ///
    /// Why this instance cannot serve. That is a failed start, and the text reaches the user.
    fn init() -> Result<(), String> {
        Ok(())
    }

    /// Called once after the last request, before the instance goes; not after a trap. Default:
    /// nothing.
    fn drain() {}
}

/// Makes a type that implements [`Lifecycle`](crate::lifecycle::Lifecycle) the one that is told of
/// the life of this component's instances.
///
/// Use it once per crate. On targets other than WebAssembly it exports nothing.
#[macro_export]
macro_rules! lifecycle {
    ($life:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Exported = $crate::private::LifecycleExport<$life>;
            $crate::private::lifecycle_bindings::export!(
                Exported with_types_in $crate::private::lifecycle_bindings
            );
        };
        // Keeps the compiler from calling the type unused where nothing is exported.
        #[cfg(not(target_arch = "wasm32"))]
        const _: fn() = || {
            _ = <$life as $crate::lifecycle::Lifecycle>::init;
            _ = <$life as $crate::lifecycle::Lifecycle>::drain;
        };
    };
}
