//! The key-value store of handlers: one durable file for all deployments of a server.
//!
//! A [`Space`] is what one deployment has, and its [`Bucket`]s are the stores that `wasi:keyvalue`
//! opens by name. What each part does:
//!
//! | Module | What |
//! | --- | --- |
//! | `store`, `bucket` | the handles; checks of names, sizes and counts |
//! | `view` | reads: a snapshot of the database, replaced by each commit |
//! | `writer`, `changes` | one thread that writes many changes in one transaction |
//! | `tables`, `layout` | rows of the database |
//! | `disk`, `backing` | the file: opening, failing, opening again |
//!
//! **Reads** are synchronous and answered from the last commit: no lock, no queue, a copy of the
//! value. **Writes** are acknowledged when they are on disk and every later read sees them. Writes
//! that wait at the same time share one transaction and one `fsync`. A write whose caller goes away
//! may happen or not.
//!
//! **Counters** are values of decimal digits, as in Redis and in Wasmtime's own key-value store:
//! `increment` takes any value that is the plain text of a `u64`, and `get` reads it as that text.
//!
//! **Expiry** is an absolute time, so it survives restarts. An expired value is never read; it is
//! removed when it is replaced, when its room is needed, and by [`KeyValue::sweep`].
//!
//! **When the disk is full or fails**, writes are refused with an error and reads go on from the
//! last commit. The next write opens the file again. Whether the failed write happened is then
//! open, as ever; nothing that was acknowledged is lost.
//!
//! Nothing here reads a clock: `now_ms` is Unix time in milliseconds.

mod backing;
mod bucket;
mod changes;
mod disk;
mod error;
mod layout;
mod limits;
mod registry;
mod store;
mod tables;
mod view;
mod writer;

pub use self::{
    bucket::{Bucket, Space},
    error::{Error, OpenError},
    limits::{
        BATCH_BYTES_MAX, BATCH_KEYS_MAX, BUCKET_NAME_CHARS_MAX, BUCKETS_MAX, ENTRY_OVERHEAD_BYTES,
        KEYS_PER_PAGE, Settings,
    },
    registry::Usage,
    store::KeyValue,
    view::Keys,
    writer::Swept,
};
