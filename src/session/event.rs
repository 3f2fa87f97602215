//! What is said to a stream and what it says: the product's own vocabulary, plain data, no wire format.

use serde::{Deserialize, Serialize};

/// What a client asks of its stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// More audio, in the encoding agreed on when the stream was opened; any number of bytes.
    Audio(Vec<u8>),
    /// More text, where that is translated: any number of characters.
    Text(String),
    /// Translate what has been heard: the utterance ends here. Answered by [`Event::Flushed`].
    Flush,
    /// Say when everything before this has been worked off. Answered by [`Event::Marked`].
    Mark(u64),
    /// No more input will come. Answered, after everything else, by [`Event::Finished`].
    Finish,
}

/// An event on its way out, with what only the server's clock knows.
#[derive(Debug, Clone, PartialEq)]
pub struct Emission {
    /// What happened.
    pub event: Event,
    /// When it left the session, in milliseconds since the stream was opened.
    pub emitted_ms: u64,
    /// How long ago came in what it answers, in milliseconds: for committed words the audio that decided the word, for
    /// [`Event::Marked`], [`Event::Flushed`] and [`Event::Finished`] the command.
    pub lag_ms: u64,
}

/// Something that happened in a session. Times are milliseconds of audio since the session's first sample; of text,
/// which has no time, each word counts as one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// A target word that will never change. The concatenation of all `text` fields is the translation.
    Committed(Committed),
    /// A word of the source transcript, final as well: it comes when the one after it is over or the utterance ends. The
    /// concatenation of all `text` fields is the transcript.
    Transcript(Transcript),
    /// Speech has begun: an utterance.
    UtteranceStart {
        /// Utterance number, from 0.
        utterance: u64,
        /// Where it begins.
        start_ms: u64,
    },
    /// How the translation may go on: takes the place of the guess before it, and means nothing once a word is
    /// committed. Only where [`super::SessionConfig::tentative_tokens`] asks for it.
    Tentative(Tentative),
    /// An utterance is over: everything heard in it has been translated.
    UtteranceEnd {
        /// Utterance number, from 0.
        utterance: u64,
        /// Where the utterance began.
        start_ms: u64,
        /// Where it ended.
        end_ms: u64,
    },
    /// Everything heard before [`Command::Flush`] has been translated.
    Flushed,
    /// Everything before [`Command::Mark`] has been worked off.
    Marked {
        /// The command's number.
        mark: u64,
    },
    /// The input was finished and nothing more will come.
    Finished,
}

/// One committed word.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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

/// A guess at what comes next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tentative {
    /// Utterance number, from 0.
    pub utterance: u64,
    /// What may follow the words committed so far, without white space before it; may end within a word.
    pub text: String,
}

/// A word of the live source transcript.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Transcript {
    /// Utterance number, from 0.
    pub utterance: u64,
    /// The new text, white space included.
    pub text: String,
    /// Where its first letter was heard,
    pub start_ms: u64,
    /// and its last.
    pub end_ms: u64,
}
