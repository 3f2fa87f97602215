//! Encoded bytes → samples at the rate and with the channels that the encoder saw.
//!
//! [`pcm`] needs a declaration, [`container`] reads its own, with a [`source`], a [`track`] and the [`opus`] codec.
//! Invariant: nothing here resamples, nothing here keeps more than one packet.

pub(super) mod container;
mod opus;
pub(super) mod pcm;
mod source;
mod track;
