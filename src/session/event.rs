//! What a session says: the product's own vocabulary, plain data, no wire format.

use serde::Serialize;

/// Something that happened in a session. Times are milliseconds of audio since the session's first sample.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// A target word that will never change. The concatenation of all `text` fields is the translation.
    Committed(Committed),
    /// Words of the source transcript, final as well: a word comes when the next one begins or the utterance ends. The
    /// concatenation of all `text` fields is the transcript.
    Transcript(Transcript),
    /// An utterance is over: everything heard in it has been translated.
    UtteranceEnd {
        /// Utterance number, from 0.
        utterance: u64,
        /// Where the utterance began.
        start_ms: u64,
        /// Where it ended.
        end_ms: u64,
    },
    /// The input was finished and nothing more will come.
    Finished,
}

/// One committed word.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Committed {
    /// Number of this word in the session, from 0, without gaps.
    pub seq: u64,
    /// Utterance number, from 0.
    pub utterance: u64,
    /// The word with the white space that goes before it (none at the beginning of the session).
    pub text: String,
    /// Beginning of the source span that the word renders.
    pub start_ms: u64,
    /// End of that span.
    pub end_ms: u64,
    /// How much audio the session had consumed when it decided the word: the `d_i` of the latency metrics. It is the
    /// least that decides the word, so it does not depend on the chunks that the audio came in.
    pub source_ms: u64,
}

/// Words of the live source transcript.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Transcript {
    /// Utterance number, from 0.
    pub utterance: u64,
    /// The new text, white space included.
    pub text: String,
    /// Beginning of the segment that it was read from.
    pub start_ms: u64,
    /// End of that segment.
    pub end_ms: u64,
}
