//! Sessions' jobs to answers: the network behind the session's seam.
//!
//! Invariant: a job's answer is the same alone and among others.

mod recording;
mod torch;

pub use recording::{Recording, session_assets};
pub use torch::{LoadError, TorchTranslator, spec};
