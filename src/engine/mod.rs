//! Sessions' requests to answers: streams for front ends, served by threads that own a translator each.
//!
//! Front ends hold a `StreamInput` and a `StreamEvents`; the session itself lives with its worker, so that only
//! plain data crosses threads and a step batches whoever is ready. [`Recording`] does without any of that: one
//! recording on the calling thread.
//! Invariant: a request's answer is the same alone and among others.

#[cfg(feature = "server")]
mod batch;
mod cascade;
#[cfg(feature = "server")]
mod handle;
#[cfg(feature = "server")]
mod mail;
mod recording;
#[cfg(feature = "server")]
mod seat;
#[cfg(feature = "server")]
mod stream;
#[cfg(test)]
#[cfg(feature = "server")]
mod tests;
#[cfg(feature = "torch")]
mod torch;
#[cfg(feature = "server")]
mod worker;

pub use cascade::Cascade;
#[cfg(feature = "server")]
pub use handle::{Engine, EngineConfig, OpenError, Pace, StartError};
pub use recording::Recording;
#[cfg(feature = "server")]
pub use stream::{Input, StreamError, StreamEvents, StreamInput};
#[cfg(feature = "torch")]
pub use torch::{LoadError, TorchTranslator, session_assets, spec, text_session_assets};
