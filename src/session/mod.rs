//! One stream's state machine.
pub mod cutter;
pub mod event;
pub mod translator;
pub mod vad;
