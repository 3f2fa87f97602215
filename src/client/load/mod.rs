//! Many streams at once to a verdict: is a speaker among N served as well as one alone?
//!
//! ```text
//! clips ─ playlist ─▶ drive: N paced clients ─▶ records ─┐
//!                     server: CPU and memory ─▶ usage ───┴▶ report ─▶ honest?  ◀─▶ search: the largest honest N
//! ```
//!
//! Only `drive` and `server` touch the network, the clock and processes; all else is arithmetic. Invariant: what makes a
//! server look good has to be seen: a stream that failed, a sample or a word that is missing makes a run dishonest.

mod drive;
mod playlist;
mod record;
mod report;
mod search;
mod server;
mod stats;

pub use drive::{Load, Trial};
pub use playlist::playlist;
pub use record::{Record, Word};
pub use report::{MAX_P99_INCREASE_MS, MAX_SLOPE_MS_PER_MIN, Report, Summary};
pub use search::Search;
pub use server::{Server, ServerError, Usage};
pub use stats::Distribution;
