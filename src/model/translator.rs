//! The whole network, for training (whole utterances) and serving (segments or words, and tokens).

use tch::{Device, Kind, Tensor, nn};

use super::attention::{Valid, Visible};
use super::config::ModelConfig;
use super::decoder::Decoder;
use super::encoder::{EncoderState, SpeechEncoder, TextEncoder};
use super::packed::Products;
use super::state::{Rows, Shallow, State, select, stack, unstack};

/// An encoder and a decoder; `E` is [`SpeechEncoder`] or [`TextEncoder`].
#[derive(Debug)]
pub struct EncoderDecoder<E> {
    config: ModelConfig,
    encoder: E,
    decoder: Decoder,
    /// Of one utterance that has heard and said nothing.
    fresh: State,
    device: Device,
}

/// Hears and says.
pub type SpeechTranslator = EncoderDecoder<SpeechEncoder>;
/// Reads and writes.
pub type TextTranslator = EncoderDecoder<TextEncoder>;

/// Encoded utterances: steps `(B, T, D)`, of which row b has `num_steps[b]`.
#[derive(Debug)]
pub struct Utterances {
    /// `(B, T, D)` f32.
    pub steps: Tensor,
    /// `(B,)` int64.
    pub num_steps: Tensor,
}

impl SpeechTranslator {
    /// Makes the parameters `encoder.*` and `decoder.*` under `path`. Matrix products run in `product` (f32, or bf16,
    /// which is faster to train), everything else in f32.
    pub fn new(path: &nn::Path, config: &ModelConfig, product: Kind) -> Self {
        Self::with_products(path, config, &Products::of(product))
    }

    /// As [`SpeechTranslator::new`].
    pub(crate) fn with_products(path: &nn::Path, config: &ModelConfig, products: &Products) -> Self {
        let encoder = SpeechEncoder::new(&(path / "encoder"), config, products);
        let fresh = encoder.init(1, path.device());
        Self::with(path, config, encoder, fresh, products)
    }

    /// Encodes whole utterances under the serving schedule's mask: frames `(B, T, num_mel_bins)`, of which row b has
    /// `num_frames[b]` (at least 1) and zeros behind.
    pub fn encode(&self, frames: &Tensor, num_frames: &Tensor, train: bool) -> Utterances {
        let (steps, num_steps) = self.encoder.forward(frames, num_frames, train);
        Utterances { steps, num_steps }
    }

    /// CTC log-probabilities `(B, T, source_vocab)`.
    pub fn ctc(&self, steps: &Tensor) -> Tensor {
        self.encoder.ctc(steps)
    }

    /// Encodes one segment of each utterance: frames `(B, T, num_mel_bins)`, of which row b has `num_frames[b]`.
    /// A row with fewer than a full segment must be its utterance's last one. Of row b's encoder steps the last `reach[b]`
    /// stay in the decoder's sight, all if `None`. Returns the next states and the CTC log-probabilities
    /// `(B, ceil(T / frames_per_step), source_vocab)`.
    pub fn encode_step(
        &self,
        states: &[&State],
        frames: &Tensor,
        num_frames: &[usize],
        reach: &[Option<usize>],
    ) -> (Vec<State>, Tensor) {
        let steps_of = |num_frames: usize| num_frames.div_ceil(self.config.frames_per_step);
        let counts: Vec<usize> = num_frames.iter().copied().map(steps_of).collect();
        let valid = Valid::new(&counts, steps_of(frames.size()[1] as usize), self.device);
        let reach: Vec<i64> = reach.iter().map(|steps| steps.map_or(i64::MAX, |steps| steps as i64)).collect();
        let reach = Tensor::from_slice(&reach).to_device(self.device);
        let (next, steps) = self.grow(states, &valid, &reach, |state| self.encoder.step(state, frames, &valid));
        (next, self.encoder.ctc(&steps))
    }
}

impl TextTranslator {
    /// Makes the parameters `text_encoder.*`, for `vocab` source pieces, and `decoder.*` under `path`.
    pub fn new(path: &nn::Path, vocab: usize, config: &ModelConfig, product: Kind) -> Self {
        Self::with_products(path, vocab, config, &Products::of(product))
    }

    /// As [`TextTranslator::new`].
    pub(crate) fn with_products(path: &nn::Path, vocab: usize, config: &ModelConfig, products: &Products) -> Self {
        let encoder = TextEncoder::new(&(path / "text_encoder"), vocab, config, products);
        let fresh = encoder.init(1, path.device());
        Self::with(path, config, encoder, fresh, products)
    }

    /// Encodes whole sentences: pieces `(B, T)`, of which row b has `lengths[b]` (at least 1).
    pub fn encode(&self, pieces: &Tensor, lengths: &Tensor, train: bool) -> Utterances {
        Utterances { steps: self.encoder.forward(pieces, train), num_steps: lengths.shallow_clone() }
    }

    /// Encodes one piece of each sentence; returns the next states.
    pub fn encode_step(&self, states: &[&State], pieces: &[i64]) -> Vec<State> {
        let pieces = Tensor::from_slice(pieces).to_device(self.device);
        let everything = pieces.full_like(i64::MAX);
        self.grow(states, &Valid::one_each(&pieces), &everything, |state| self.encoder.step(state, &pieces)).0
    }
}

impl<E> EncoderDecoder<E> {
    fn with(path: &nn::Path, config: &ModelConfig, encoder: E, fresh: EncoderState, products: &Products) -> Self {
        let (decoder, device) = (Decoder::new(&(path / "decoder"), config, products), path.device());
        let fresh = State { encoder: fresh, decoder: decoder.init(1, device), cross: decoder.init_cross(1, device) };
        Self { config: config.clone(), encoder, decoder, fresh, device }
    }

    /// The config it was built from.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Where the parameters live.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Log-probabilities of the token after each of `tokens` `(B, U)`, which sees the first `visible` `(B, U)` encoder
    /// steps, of them the last `reach` if that is given: `(B, U, target_vocab)`.
    pub fn decode(
        &self,
        tokens: &Tensor,
        source: &Utterances,
        visible: &Tensor,
        reach: Option<usize>,
        train: bool,
    ) -> Tensor {
        let visible = Visible::new(&visible.clamp_min(1), source.steps.size()[1]);
        let visible = match reach {
            Some(steps) => visible.last(steps as i64),
            None => visible,
        };
        self.decoder.forward(tokens, Some((&source.steps, &visible)), train)
    }

    /// The state of one utterance that has heard and said nothing.
    pub fn init(&self) -> State {
        self.fresh.clone()
    }

    /// Makes encoder steps, of which those are real that are `valid`, and lets the decoder see the last `reach` `(B,)`.
    fn grow(
        &self,
        states: &[&State],
        valid: &Valid,
        reach: &Tensor,
        encode: impl FnOnce(&EncoderState) -> (Tensor, EncoderState),
    ) -> (Vec<State>, Tensor) {
        let encoder = stack(&states.iter().map(|s| &s.encoder).collect::<Vec<_>>());
        let cross = stack(&states.iter().map(|s| &s.cross).collect::<Vec<_>>());
        let (steps, encoder) = encode(&encoder);
        let cross = self.decoder.absorb(&cross, &steps, valid, reach);
        let next = unstack(&encoder, states.len())
            .into_iter()
            .zip(unstack(&cross, states.len()))
            .zip(states)
            .map(|((encoder, cross), old)| State { encoder, cross, decoder: old.decoder.shallow() })
            .collect();
        (next, steps)
    }

    /// Feeds one token to each utterance, which must have heard at least one segment. Returns the next states and the
    /// log-probabilities of the next token `(B, target_vocab)`.
    pub fn decode_step(&self, states: &[&State], tokens: &[i64]) -> (Vec<State>, Tensor) {
        let decoder = stack(&states.iter().map(|s| &s.decoder).collect::<Vec<_>>());
        let cross = stack(&states.iter().map(|s| &s.cross).collect::<Vec<_>>());
        let tokens = Tensor::from_slice(tokens).to_device(self.device);
        let (scores, decoder) = self.decoder.step(&decoder, &cross, &tokens);
        let next = unstack(&decoder, states.len())
            .into_iter()
            .zip(states)
            .map(|(decoder, old)| State { decoder, encoder: old.encoder.shallow(), cross: old.cross.shallow() })
            .collect();
        (next, scores)
    }

    /// Feeds `tokens` to hypotheses; `parents` says which of the `rows` each continues, `sources` in which row what it has
    /// heard is to be found. Returns the log-probabilities of what may follow, `(hypotheses, target_vocab)`.
    pub(crate) fn beam_step(&self, rows: &Rows, parents: &[i64], sources: &[i64], tokens: &[i64]) -> (Rows, Tensor) {
        let (decoder, cross) = (select(&rows.decoder, parents), select(&rows.cross, sources));
        let tokens = Tensor::from_slice(tokens).to_device(self.device);
        let (scores, decoder) = self.decoder.step(&decoder, &cross, &tokens);
        (Rows { decoder, cross }, scores)
    }
}
