//! The optional exports `samovar:handler/lifecycle`: told before the first request and after the last.

use super::super::guest::Guest;
use wasmtime::Store;
use wasmtime::component::{Component, ComponentExportIndex, Instance, TypedFunc};

/// The interface's name. Later versions of 0.1 fit too.
const LIFECYCLE: &str = "samovar:handler/lifecycle@0.1.0";

type Init = TypedFunc<(), (Result<(), String>,)>;

/// Where a component's exports are.
pub struct LifeExports {
    init: ComponentExportIndex,
    drain: ComponentExportIndex,
}

impl LifeExports {
    /// Those of a component; none if it has none.
    pub fn find(component: &Component) -> Option<Self> {
        let (_, interface) = component.get_export(None, LIFECYCLE)?;
        let function = |name| Some(component.get_export(Some(&interface), name)?.1);
        Some(LifeExports { init: function("init")?, drain: function("drain")? })
    }

    /// Those of an instance.
    pub fn load(&self, store: &mut Store<Guest>, instance: &Instance) -> wasmtime::Result<Life> {
        Ok(Life {
            init: instance.get_typed_func(&mut *store, self.init)?,
            drain: instance.get_typed_func(store, self.drain)?,
        })
    }
}

/// The exports of one instance.
pub struct Life {
    init: Init,
    drain: TypedFunc<(), ()>,
}

impl Life {
    /// Lets the instance get ready.
    ///
    /// # Errors
    ///
    /// A trap, or the guest's own reason.
    pub async fn init(&self, store: &mut Store<Guest>) -> wasmtime::Result<()> {
        store.set_epoch_deadline(1);
        let (done,) = self.init.call_async(store, ()).await?;
        done.map_err(|reason| wasmtime::format_err!("`init` failed: {reason}"))
    }

    /// Tells the instance that it goes.
    ///
    /// # Errors
    ///
    /// A trap.
    pub async fn drain(&self, store: &mut Store<Guest>) -> wasmtime::Result<()> {
        store.set_epoch_deadline(1);
        self.drain.call_async(store, ()).await
    }
}
