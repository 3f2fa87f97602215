//! Encoded bytes → samples at the rate and with the channels that the encoder saw.
//!
//! [`pcm`] needs a declaration, [`container`] reads its own; [`opus`] and [`m4a`] fill what symphonia leaves open.
//! Invariant: nothing here resamples, nothing here keeps more than one packet.

pub(super) mod container;
mod m4a;
mod opus;
pub(super) mod pcm;
