//! # decalage: simultaneous speech translation
//!
//! Audio bytes in, committed text in another language out, while the speaker is still talking. The network is a
//! linear-attention encoder-decoder in libtorch; all that a stream has accumulated is a value which its session holds.
//! (*Décalage*: the interpreters' word for the lag between speaker and interpreter, the `k` of wait-k.)
//!
//! ## Layout
//!
//! ```text
//! audio/     bytes -> mono f32 samples at 16 kHz: containers, codecs, downmix, resampling, limits
//! features/  samples -> log-mel filterbank frames, normalised by the bundle's statistics
//! text/      text <-> token ids; ids -> words that cannot change; what is heard in a written text
//! policy/    counts of source and target -> READ or WRITE: wait-k on words, offline; an alarm for loops
//! eval/      translations and delays -> BLEU, chrF, WER, AL, LAAL, DAL, AP; SimulEval's instance log
//! session/   one stream's state machine: samples and translator's answers in, requests and events out
//! protocol/  wire messages <-> a stream's commands and events: one dialect a file
//! model/     the network: subsampler, segment-causal encoder, decoder, four attentions, state as a value
//! plot/      curves -> PNG files
//! subtitles.rs  committed words -> srt and vtt
//! bundle.rs  a folder of `models/` -> config, tokenizers, statistics and weights that fit together
//! client/    a stream from the client's side: paced audio out, typed events in; many at once, and the verdict on a server
//! engine/    requests of sessions -> batched steps of the network; a recording driven on one thread
//! config/    file < environment < flags -> the server's one validated config
//! telemetry.rs  every metric and its buckets; where the log goes
//! server/    sockets: limits, keys, shutdown, health
//! train/     manifests of clips and sentence pairs -> weights: stages, losses, masks, optimiser, checkpoints
//! cli/       the subcommands: wiring only
//! main.rs    the program
//! ```
//!
//! Without the feature `torch` (on by default) everything that reaches libtorch is left out: of [`model`] only its
//! config remains, and sessions run against [`session::scripted`], a translator without weights.
//!
//! ## Data flow
//!
//! ```text
//! audio bytes ─ audio ─▶ samples ─ features ─▶ frames (T, 80), 10 ms apart
//!   ─ session: voice activity, utterances ─▶ segments of 32 frames
//!   ─ Translator::encode (subsample ×4, segment-causal layers) ─▶ 8 encoder steps, 40 ms each; source labels
//!   ─ policy ─▶ READ: wait for the next segment │ WRITE: decide the next word
//!   ─ Translator::decode (state in, state out) ─▶ token ─ text ─▶ whole words ─▶ session::event::Event
//! ```
//!
//! Each stage is pushed its input, asked for what is ready, told when the input ends, and knows nothing of the next
//! one; the order is known to [`session`] alone. The same [`session::Session`] is driven by everything that
//! translates: what is measured is what is served.
//!
//! ## Invariants
//!
//! - Committed text never changes, and only whole words are committed.
//! - Any split of the input gives the same output: of bytes the same samples, of samples the same frames, of frames the
//!   same text.
//! - A frame is encoded once; an encoder step, once made, is final.
//! - The model is read-only. An utterance's state moves into a step and the next state comes out; dropping it frees it.
//! - An answer is the same alone and in a batch; a whole sequence in training gives what its steps give when serving.
//! - Running sums are f32 whatever the weights are.
//! - A session reads no clock and does no IO; only `train`, `model`, `engine::torch` and the program name `tch`.
//! - Memory is bounded whatever the input says; a bad input is a typed error, never a panic.
//!
//! ## Import rule
//!
//! `audio`, `features`, `text`, `policy`, `eval` and `model` use nothing else of ours. `session` uses `features`,
//! `text` and `policy`; `protocol` `session::event` and `audio`'s plain types; `bundle` `features`, `text` and `model`;
//! `engine` `session`, `text` and `bundle`, and in `engine::torch` `model`; `config` nothing; `telemetry` `config`;
//! `server` `engine`, `session`, `protocol`, `audio`, `config` and `telemetry`; `client` `protocol` and `audio`;
//! `subtitles` `session`; `plot` nothing; `train` all but `session`, `policy` and `engine`.
//! `tests/tidy.rs` holds the table.
//!
//! ## Where this differs from what one might expect
//!
//! - **Softmax where it pays.** Attention is chosen per block. Linear attention keeps two running sums; the
//!   cross-attention may be softmax, whose memory grows with the utterance. It stays small because keys and values are
//!   never stored: q·(W_k h) = (W_kᵀq)·h moves both projections to the query, so that all decoder layers share one copy
//!   of the encoder's steps, T·D numbers instead of 2·L·T·D. An utterance is bounded, and so is T.
//! - **An utterance without a state.** `EncodeJob::state` is an `Option`: silence holds no state, and a session needs no
//!   translator at hand to begin an utterance.
//! - **Wait-k counts words, not pieces**, and segments that contain speech, not time: one piece a segment falls behind a
//!   brisk speaker, and a pause is nothing to translate.
//! - **Opus is decoded by `opus-pure`**: symphonia takes the packets out of Ogg and WebM but has no Opus decoder.
//! - **Our own Adam over one flat vector**: the state of libtorch's optimisers cannot be saved through `tch`, and with
//!   one vector clipping, averaging, checkpoints and replicas are vector arithmetic.

pub mod audio;
#[cfg(feature = "server")]
pub mod client;
pub mod eval;
pub mod features;
pub mod policy;
pub mod protocol;
pub mod session;
pub mod subtitles;
pub mod text;

#[cfg(feature = "torch")]
pub mod bundle;
#[cfg(feature = "server")]
pub mod config;
pub mod engine;
pub mod model;
#[cfg(feature = "torch")]
pub mod plot;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "server")]
pub mod telemetry;
#[cfg(feature = "torch")]
pub mod train;
