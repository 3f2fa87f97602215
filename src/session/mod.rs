//! One stream's state machine.
pub mod event;
pub mod translator;
