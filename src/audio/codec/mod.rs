//! Encoded bytes → samples at the rate and with the channels that the encoder saw.
//!
//! [`pcm`] needs a declaration, [`container`] reads its own; [`opus`] and [`source`] fill what symphonia leaves open.
//! Invariant: nothing here resamples, nothing here keeps more than one packet.

pub(super) mod container;
mod opus;
pub(super) mod pcm;
mod source;
