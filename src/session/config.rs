//! What a session is told when it begins: how to behave ([`SessionConfig`]), and what it shares with all sessions of
//! its bundle ([`SessionAssets`]). Invariant: a session that could be made has numbers that fit together.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{
    source::{cutter::CutterConfig, vad},
    translator::{TranslatorError, TranslatorSpec},
};
use crate::{
    features::{Cmvn, FbankConfig, FeatureError},
    policy::{DEFAULT_BEAM_SIZE, MAX_BEAM_SIZE, PolicyError, PolicyKind},
    text::{Effort, Language, Search, Tokenizer},
};

/// How a session behaves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SessionConfig {
    /// When to write.
    pub policy: PolicyKind,
    /// Where the bundle reads, translate the transcript, word by word, instead of the speech itself: a cascade. The policy's
    /// segments are its words then.
    pub cascade: bool,
    /// Score of the voice activity detector, 0 to 1, from which a frame is speech. 0 switches the detector off: the
    /// whole input is speech, and utterances end only at their greatest length.
    pub vad_threshold: f32,
    /// Where utterances begin and end.
    pub utterances: CutterConfig,
    /// A translation has at most this many tokens,
    pub max_tokens_base: usize,
    /// and this many more for each encoder step. German has 4 to 8 pieces in a second, which is 25 steps.
    pub max_tokens_per_step: f32,
    /// Pieces after which a word must end.
    pub max_pieces_per_word: usize,
    /// Language of the transcript that must have been heard for each word of the translation: where a detector takes noise
    /// for speech, nothing is heard, and a decoder on its own would invent sentences. English has 4 or 5 letters for each
    /// word of its German, and of a voice that it hardly understands the CTC head still hears most. 0 does not ask.
    pub letters_per_word: usize,
    /// While fewer letters a second are heard than this, on an average of the last words, it is not speech (music, say), and
    /// nothing is said. 0 takes everything for speech.
    pub min_letters_per_s: f32,
    /// While the letters heard surprise by more bits than this, on an average of the last words, they are of another language,
    /// which a recogniser takes for words that are none, and nothing is said. 64 takes all for the source language.
    pub max_letter_bits: f32,
    /// Hypotheses of the search that decides a word under wait-k; 1 takes the best piece each time. A beam that looks some
    /// pieces ahead and commits the first word is worth up to 3 BLEU at the same lag (Zheng et al. 2019, arXiv
    /// 1909.05903, speculative beam search).
    pub word_beam_size: usize,
    /// Pieces of each of these hypotheses.
    pub lookahead_tokens: usize,
    /// Hypotheses of the search for what is left to say when the source of an utterance has ended under wait-k: nothing
    /// more will be read, so the rest can be searched as a whole. 1 goes on word by word. Where nothing has been said yet, the
    /// whole sentence is the rest, and is searched with no fewer than offline.
    pub tail_beam_size: usize,
    /// Pieces to guess ahead of the policy after each segment, as [`super::event::Event::Tentative`]; 0 for none. Costs
    /// as many decoder steps.
    pub tentative_tokens: usize,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            policy: PolicyKind::WaitK { k: 3 },
            cascade: true,
            vad_threshold: 0.5,
            utterances: CutterConfig::default(),
            max_tokens_base: 8,
            max_tokens_per_step: 0.5,
            max_pieces_per_word: 16,
            letters_per_word: 2,
            min_letters_per_s: 2.0,
            max_letter_bits: 5.25,
            word_beam_size: 2,
            lookahead_tokens: 3,
            tail_beam_size: 2,
            tentative_tokens: 0,
        }
    }
}

impl SessionConfig {
    /// The default where text is read: whole sentences, and of each piece of source up to two of the translation.
    pub fn for_text() -> Self {
        Self {
            policy: PolicyKind::Offline { beam_size: DEFAULT_BEAM_SIZE },
            max_tokens_per_step: 2.0,
            letters_per_word: 0,
            min_letters_per_s: 0.0,
            tail_beam_size: DEFAULT_BEAM_SIZE,
            ..Self::default()
        }
    }

    /// Longest translation of an utterance of this many encoder steps, in tokens.
    pub(crate) fn max_tokens(&self, num_steps: usize) -> usize {
        self.max_tokens_base + (num_steps as f32 * self.max_tokens_per_step) as usize
    }

    /// Longest translation of an utterance of which this many letters were heard, in words.
    pub(crate) fn max_words(&self, num_letters: usize) -> usize {
        // Rounded up: "I" is a word.
        if self.letters_per_word == 0 { usize::MAX } else { num_letters.div_ceil(self.letters_per_word) }
    }

    fn validate(&self) -> Result<(), SessionError> {
        self.policy.validate()?;
        require((0.0..=1.0).contains(&self.vad_threshold), "vad_threshold", self.vad_threshold, "0 to 1")?;
        let per_step = self.max_tokens_per_step;
        require((0.0..=10.0).contains(&per_step), "max_tokens_per_step", per_step, "0 to 10")?;
        require(self.max_tokens_base <= 1000, "max_tokens_base", self.max_tokens_base, "0 to 1000")?;
        let pieces = self.max_pieces_per_word;
        require((1..=1000).contains(&pieces), "max_pieces_per_word", pieces, "1 to 1000")?;
        let rate = self.min_letters_per_s;
        require((0.0..=20.0).contains(&rate), "min_letters_per_s", rate, "0 to 20")?;
        let bits = self.max_letter_bits;
        require((0.0..=64.0).contains(&bits), "max_letter_bits", bits, "0 to 64")?;
        let beam = self.word_beam_size;
        require((1..=MAX_BEAM_SIZE).contains(&beam), "word_beam_size", beam, format!("1 to {MAX_BEAM_SIZE}"))?;
        let ahead = self.lookahead_tokens;
        require((1..=64).contains(&ahead), "lookahead_tokens", ahead, "1 to 64")?;
        let beam = self.tail_beam_size;
        require((1..=MAX_BEAM_SIZE).contains(&beam), "tail_beam_size", beam, format!("1 to {MAX_BEAM_SIZE}"))?;
        let tentative = self.tentative_tokens;
        require(tentative <= 64, "tentative_tokens", tentative, "0 to 64")?;
        let pause_ms = self.utterances.pause_ms;
        require((1..=60_000).contains(&pause_ms), "pause_ms", pause_ms, "1 to 60000")
    }
}

/// What all sessions of a bundle share.
#[derive(Debug)]
pub struct SessionAssets {
    /// The translator's shapes.
    pub spec: TranslatorSpec,
    /// What is translated.
    pub source: SourceAssets,
    /// Labels of the source transcript, or pieces of the text that is read.
    pub source_tokenizer: Tokenizer,
    /// Tells the source language from others in the transcript; none where all that is heard is taken for it.
    pub language: Option<Language>,
    /// What sessions share that read the transcript, instead of translating the speech itself; none where nothing reads.
    pub reads: Option<Arc<SessionAssets>>,
    /// Tokens of the translation.
    pub target_tokenizer: Tokenizer,
}

/// What a source needs to become frames or pieces.
#[derive(Debug)]
pub enum SourceAssets {
    /// Speech.
    Speech {
        /// The filterbank's; 16 kHz.
        fbank: FbankConfig,
        /// The filterbank's statistics.
        cmvn: Cmvn,
    },
    /// Text.
    Text,
}

impl SessionAssets {
    /// The filterbank and its statistics, where speech is heard.
    pub fn speech(&self) -> Option<(&FbankConfig, &Cmvn)> {
        match &self.source {
            SourceAssets::Speech { fbank, cmvn } => Some((fbank, cmvn)),
            SourceAssets::Text => None,
        }
    }

    /// What a transcript is searched by, if the session says things under `policy`.
    pub(super) fn search(&self, policy: PolicyKind) -> Search<'_> {
        let effort = match policy {
            PolicyKind::Offline { .. } => Effort::WHOLE,
            PolicyKind::WaitK { .. } | PolicyKind::Transcribe => Effort::LIVE,
        };
        Search { tokenizer: &self.source_tokenizer, language: self.language.as_ref(), effort }
    }

    /// Checks that the parts fit together, and that a session may behave so.
    pub(crate) fn validate(&self, config: &SessionConfig) -> Result<(), SessionError> {
        let spec = &self.spec;
        let same = |key, value: usize, other: usize| require(value == other, key, value, other);
        if let Some((fbank, cmvn)) = self.speech() {
            same("sample_rate_hz", fbank.sample_rate_hz as usize, vad::SAMPLE_RATE_HZ as usize)?;
            same("frame_shift_ms", fbank.frame_shift_ms as usize, spec.frame_shift_ms as usize)?;
            same("num_mel_bins", fbank.num_mel_bins, spec.num_mel_bins)?;
            same("num_mel_bins", cmvn.num_mel_bins(), spec.num_mel_bins)?;
        }
        for (key, value) in [
            ("frames_per_step", spec.frames_per_step),
            ("steps_per_segment", spec.steps_per_segment),
            ("max_utterance_segments", spec.max_utterance_segments),
            ("max_tokens", spec.max_tokens),
        ] {
            require((1..=10_000).contains(&value), key, value, "1 to 10000")?;
        }
        config.validate()
    }
}

fn require(holds: bool, key: &'static str, value: impl ToString, allowed: impl ToString) -> Result<(), SessionError> {
    match holds {
        true => Ok(()),
        false => Err(SessionError::Config { key, value: value.to_string(), allowed: allowed.to_string() }),
    }
}

/// Why a session cannot begin, or had to end. After the latter, every call gives the same error again.
#[derive(Debug, Clone, Error, PartialEq)]
pub enum SessionError {
    /// A number is out of range, or the bundle's parts do not fit together.
    #[error("{key} is {value}, allowed is {allowed}")]
    Config {
        /// Name of the key.
        key: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        allowed: String,
    },
    /// The policy's numbers.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The filterbank's.
    #[error(transparent)]
    Features(#[from] FeatureError),
    /// A job failed; the state that it carried is lost.
    #[error(transparent)]
    Translator(#[from] TranslatorError),
    /// The translator's answer breaks its contract.
    #[error("invalid reply: {0}")]
    InvalidReply(String),
    /// An answer of another kind than the request, or without one: a defect of the driver.
    #[error("unexpected reply: {0}")]
    UnexpectedReply(&'static str),
    /// Samples or text after the end: a defect of the caller.
    #[error("the input is finished, no more is allowed")]
    InputFinished,
    /// Samples where text is read, or text where speech is heard: a defect of the caller.
    #[error("the input is {given}, allowed is {allowed}")]
    OtherInput {
        /// What came.
        given: &'static str,
        /// What this translator takes.
        allowed: &'static str,
    },
    /// Text that the tokenizer refuses.
    #[error("text: {0}")]
    Text(String),
}
