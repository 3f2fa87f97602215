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
//! text/      text <-> token ids; ids -> words that cannot change; labels' probabilities -> the words that were heard
//! policy/    counts of source and target -> READ or WRITE: wait-k on words, offline; an alarm for loops
//! eval/      translations and delays -> BLEU, chrF, WER, AL, LAAL, DAL, AP; SimulEval's instance log
//! session/   one stream's state machine: samples or text, and translator's answers in, requests and events out
//! protocol/  wire messages <-> a stream's commands and events: one dialect a file
//! model/     the network: subsampler, segment-causal encoder, decoder, four attentions, state as a value
//! plot/      curves -> PNG files
//! subtitles.rs  committed words -> srt and vtt
//! bundle.rs  a folder of `models/` -> config, tokenizers, statistics and weights that fit together
//! client/    a stream from the client's side: paced audio out, typed events in; many at once, and the verdict on a server
//! engine/    sessions' requests -> batched steps: streams for front ends, worker threads; a recording on one thread; one
//!            translator of two networks, for a session that reads what it hears
//! config/    file < environment < flags -> the server's one validated config
//! telemetry/  every metric and its buckets; where the log and the spans go
//! server/    sockets -> streams: limits, keys, websockets, recordings, OpenAPI, health, shutdown; the web page
//! train/     manifests of clips and sentence pairs -> weights: stages, losses, masks, optimiser, checkpoints
//! cli/       the subcommands: wiring only
//! main.rs    the program
//! ```
//!
//! Two features, both on by default. Without `torch` everything that reaches libtorch is left out: of [`model`] only its
//! config remains, and sessions run against [`session::scripted`], a translator without weights. Without `server` there
//! is no network: of [`engine`] only [`engine::Recording`] remains, and `client`, `config`, `server`, `telemetry` are gone.
//!
//! ## Data flow
//!
//! ```text
//! audio bytes ─ audio ─▶ samples ─ features ─▶ frames (T, 80), 10 ms apart
//!   ─ session: voice activity, utterances ─▶ segments of 32 frames
//!   ─ Translator::encode (subsample ×4, segment-causal layers) ─▶ 8 encoder steps, 40 ms each; label probabilities
//!   ─ text::Recognizer ─▶ words of the transcript ─▶ where the bundle reads: a second session, whose segments they are
//!   ─ policy ─▶ READ: wait for the next segment │ WRITE: decide the next word
//!   ─ Translator::decode (state in, state out) ─▶ token ─ text ─▶ whole words ─▶ session::event::Event
//! ```
//!
//! Each stage is pushed its input, asked for what is ready, told when the input ends, and knows nothing of the next
//! one; the order is known to [`session`] alone. The same [`session::Session`] is driven by everything that
//! translates: what is measured is what is served. [`engine::Recording`] drives it on the calling thread; in the server
//! it lives with a worker, and front ends hold the two ends of a stream:
//!
//! ```text
//! socket ─ server::listen ─▶ request ─ key, place ─▶ StreamInput, StreamEvents
//!   websocket: bytes ─ protocol::Dialect ─▶ commands ─ AudioDecoder ─▶ samples ─ credits ─▶ mailbox of a live worker
//!   recording: file on disk ─ AudioReader, on a blocking thread ─▶ samples ─ credits ─▶ mailbox of the recordings' worker
//!   worker, a thread with a translator and its sessions:
//!     take all mail ─▶ let each session go on until it needs an answer ─▶ one batched step ─▶ answers ─▶ again
//!   events ─ protocol::Dialect │ json, srt, vtt, server-sent events ─▶ socket
//! ```
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
//! - A session never leaves its worker's thread: samples go in, events come out, and both ways are bounded. Who is behind
//!   holds up who sends: a worker its front end, and so the socket; a client that does not read its own stream alone.
//! - A place is taken before anything is promised. Without one the answer is 429 or 503 and says when to ask again.
//! - Every wait for a client has a deadline, and a connection that the server ends is told why.
//! - A step that panics ends only the streams whose jobs panic alone.
//! - What was said is in no log and no metric; of keys only hashes are kept.
//!
//! ## Import rule
//!
//! What of ours each module may use, besides itself; `tests/tidy.rs` holds the same table against the code. A file's own
//! row counts instead of its module's. `cli` and `main.rs` use the library from outside, as anybody would.
//!
//! | module | uses |
//! | --- | --- |
//! | `audio` | nothing |
//! | `features` | nothing |
//! | `text` | nothing |
//! | `policy` | nothing |
//! | `eval` | nothing |
//! | `model` | nothing |
//! | `plot` | nothing |
//! | `subtitles.rs` | `session` |
//! | `session` | `features`, `policy`, `text` |
//! | `protocol` | `audio`, `session` |
//! | `client` | `audio`, `protocol` |
//! | `bundle.rs` | `features`, `model`, `text` |
//! | `engine` | `bundle`, `policy`, `session`, `telemetry`, `text` |
//! | `engine/tests.rs` | `features`, `policy`, `session`, `telemetry` |
//! | `engine/torch.rs` | `bundle`, `model`, `session`, `text` |
//! | `config` | nothing |
//! | `telemetry` | `config` |
//! | `server` | `audio`, `config`, `engine`, `policy`, `protocol`, `session`, `subtitles`, `telemetry` |
//! | `train` | `audio`, `bundle`, `eval`, `features`, `model`, `plot`, `text` |
//! | `cli` | `cli` |
//! | `main.rs` | `cli` |
//! | `lib.rs` | nothing |
//!
//! Crates are kept apart as well: only `model`, `train`, `engine/torch.rs` and the program name `tch`, only `server` axum,
//! only `protocol` knows a wire format; `session`, `protocol`, `policy` and `features` know no clock, file, socket, thread.
//!
//! ## Where this differs from what one might expect
//!
//! - **Softmax where it pays.** Attention is chosen per block. Linear attention keeps two running sums; the
//!   cross-attention may be softmax, whose memory grows with the utterance. It stays small because keys and values are
//!   never stored: q·(W_k h) = (W_kᵀq)·h moves both projections to the query, so that all decoder layers share one copy
//!   of the encoder's steps, T·D numbers instead of 2·L·T·D. An utterance is bounded, and so is T.
//!   Live, it is bounded by more than that: a word sees the last k + `reach_segments` segments (an `EncodeJob` says so, since k is
//!   the session's), and what lies behind is forgotten.
//! - **f16 weights, f32 sums.** Served on a CPU, products are FBGEMM's with packed f16 weights, which is what bundles hold;
//!   `tch` lacks them, so a scripted module of 3 kB brings them along (`model/packed.rs`).
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
