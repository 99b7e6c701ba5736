//! The worker protocol: what workers report about themselves, checked and turned into a state.
//!
//! Workers are servers of models that are not replicas of ours: they were started by us for a
//! worker of the `vastai` package, or by anyone anywhere. They post what they are and do, in three
//! generations of a protocol that has no sequence numbers and no time stamps:
//!
//! | Module | What it decides |
//! | --- | --- |
//! | [`message`] | what a body says, or which field is wrong |
//! | [`worker`] | the state of one worker after a report |
//! | [`registry`] | who may report, join and leave, and who is silent for too long |
//! | [`workload`] | how much work a request is |
//! | [`envelope`], [`signer`] | how a request has to look for an unmodified worker |
//! | [`environment`] | what a worker we start has to be told |
//!
//! Nothing here does I/O or reads a clock; keys and tokens are made from the system's randomness.
//!
//! Sources of the protocol: package `vastai` 1.9.1 (`serverless/server`), `vast-ai/pyworker` at
//! 910f6f2 and `vast-ai/vast-pyworker` at 42cc75e.

pub mod address;
pub mod envelope;
pub mod environment;
pub mod message;
pub mod registry;
pub mod secret;
pub mod signer;
pub mod worker;
pub mod workload;
