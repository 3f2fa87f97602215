//! A stream from the client's side: audio at the pace of speech out, typed events of the native dialect in.
//!
//! ```text
//! ClientOptions ─ Client::connect ─▶ Sender   (binary messages, pcm16 at 16 kHz)
//!                                  └▶ Receiver (protocol::realtime::ServerMessage with its time of arrival)
//! converse: pieces of audio ─ pace ─▶ Sender;  Receiver ─ lag ─▶ whoever heeds it
//! ```
//!
//! [`load`] runs many of them and judges the server. Invariants: every wait has a deadline; a conversation that was not
//! ended by `session.closed` is an error, because text may be missing.

mod connection;
mod conversation;
mod error;
pub mod load;
mod options;
mod timeline;

pub use connection::{Client, Received, Receiver, Sender};
pub use conversation::{Heard, PIECE_SAMPLES, Pace, Piece, Summary, converse, pcm16};
pub use error::{ClientError, Refusal};
pub use options::ClientOptions;
pub use timeline::Timeline;
pub use tokio::time::Instant;
