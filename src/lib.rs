//! # decalage: simultaneous speech translation
pub mod audio;
pub mod eval;
pub mod features;
pub mod policy;
pub mod session;
pub mod subtitles;
pub mod text;

#[cfg(feature = "torch")]
pub mod bundle;
#[cfg(feature = "torch")]
pub mod engine;
pub mod model;
#[cfg(feature = "torch")]
pub mod plot;
#[cfg(feature = "torch")]
pub mod train;
