//! The network: sockets to routes, and the limits of both. Invariant: whatever a client does or fails to do ends after a
//! stated time, and others are not harmed by it.

pub mod admin;
pub mod auth;
pub mod error;
pub mod listen;
pub mod shutdown;
pub mod slots;
pub mod tls;
