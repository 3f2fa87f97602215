//! SimulEval's remote evaluation: JSON bodies of four HTTP routes to a stream's commands, its events to a body.
//!
//! ```text
//! POST /reset      a sentence begins                                                      SimulEval::reset
//! PUT  /input      {"content":[0.01,…],"sample_rate":16000,"finished":false,…}            SimulEval::input
//! GET  /output     {"content":"Guten Tag.","data_type":"text","finished":false,…}         SimulEval::output
//! GET  /           about the server; no client asks
//! ```
//!
//! The client is SimulEval, we are the agent (Ma et al., "SimulEval: An Evaluation Toolkit for Simultaneous Translation",
//! EMNLP 2020; package 1.1.4 read). It repeats input and output until an output is `finished`, looks at no status and
//! sends no content type, so bodies are read as bytes; 500 ms of audio are 150 kB of them. A server has one session.
//!
//! Invariants: an output holds every word that the input before it decides, so that delays do not depend on how fast
//! the machine is; only whole words; nothing is `finished` before everything has been said. After a bad input there is
//! no output: an error takes its place, which stops the client, as a half translation would be scored like a whole one.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Source, StreamOptions};
use crate::{
    audio::Encoding,
    session::event::{Command, Event},
};

/// Why a sentence cannot go on. The status is 400, the body anything that is no segment.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SimulEvalError {
    /// The input is no segment of speech.
    #[error("not a segment of speech: {0}")]
    NotSpeech(String),
    /// A sample is infinite.
    #[error("sample {index} of the segment is out of range, allowed: -1 to 1")]
    Sample {
        /// Number of the sample in the segment, from 0.
        index: usize,
    },
    /// Audio without a rate, or with another one than before.
    #[error("sample rate {found:?}, expected {expected:?}")]
    Rate {
        /// What the segment says.
        found: Option<i64>,
        /// What the sentence began with, if it has begun.
        expected: Option<u32>,
    },
    /// Audio after the end.
    #[error("audio after the segment that was finished")]
    AfterEnd,
    /// The stream that translates the sentence has ended with an error.
    #[error("the stream has failed: {0}")]
    Stream(String),
}

/// What a `PUT /input` asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// Open a stream first: the sentence's first audio.
    pub open: Option<StreamOptions>,
    /// Pass these to the stream.
    pub commands: Vec<Command>,
}

/// A segment from the client; what else it says is of no use.
#[derive(Debug, Deserialize)]
struct SpeechSegment {
    content: Vec<f32>,
    finished: bool,
    sample_rate: Option<i64>,
}

/// A segment for the client, which knows no other keys and needs `data_type`.
#[derive(Debug, Serialize)]
struct TextSegment<'a> {
    index: u64,
    content: Content<'a>,
    finished: bool,
    is_empty: bool,
    data_type: Option<&'static str>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Words(&'a str),
    /// SimulEval's READ.
    Nothing([u8; 0]),
}

/// What the next output has to wait for.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Awaiting {
    #[default]
    Nothing,
    Mark(u64),
    /// The stream's end; nothing is awaited any more once it is there.
    Finish,
}

/// One sentence after the other. See the [module](self).
#[derive(Debug, Default)]
pub struct SimulEval {
    rate_hz: Option<u32>,
    num_inputs: u64,
    awaiting: Awaiting,
    /// The client has said that no more audio will come.
    ended: bool,
    /// Committed and not yet fetched.
    words: String,
    failure: Option<SimulEvalError>,
}

impl SimulEval {
    /// `POST /reset`: a new sentence. The caller drops the stream of the one before.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// `PUT /input`.
    ///
    /// # Errors
    /// If it is not speech that continues the sentence; every output until the next reset repeats the error.
    pub fn input(&mut self, body: &[u8]) -> Result<Input, SimulEvalError> {
        self.read(body).inspect_err(|error| self.failure = Some(error.clone()))
    }

    fn read(&mut self, body: &[u8]) -> Result<Input, SimulEvalError> {
        let segment: SpeechSegment =
            serde_json::from_slice(body).map_err(|error| SimulEvalError::NotSpeech(error.to_string()))?;
        let mut input = Input { open: None, commands: Vec::new() };
        if !segment.content.is_empty() {
            if self.ended {
                return Err(SimulEvalError::AfterEnd);
            }
            if let Some(index) = segment.content.iter().position(|sample| !sample.is_finite()) {
                return Err(SimulEvalError::Sample { index });
            }
            input.open = self.begin(segment.sample_rate)?;
            let bytes = segment.content.iter().flat_map(|sample| sample.to_le_bytes()).collect();
            input.commands.push(Command::Audio(bytes));
        }
        let open = self.rate_hz.is_some();
        if segment.finished {
            // The client repeats its last, empty segment until we have finished.
            if open && !self.ended {
                self.awaiting = Awaiting::Finish;
                input.commands.push(Command::Finish);
            }
            self.ended = true;
        } else if open && !self.ended {
            self.num_inputs += 1;
            self.awaiting = Awaiting::Mark(self.num_inputs);
            input.commands.push(Command::Mark(self.num_inputs));
        }
        Ok(input)
    }

    /// How to open the stream, if these are the sentence's first samples.
    fn begin(&mut self, rate: Option<i64>) -> Result<Option<StreamOptions>, SimulEvalError> {
        let wrong = SimulEvalError::Rate { found: rate, expected: self.rate_hz };
        let rate_hz = rate.and_then(|rate| u32::try_from(rate).ok()).ok_or(wrong.clone())?;
        match self.rate_hz {
            Some(expected) if expected != rate_hz => Err(wrong),
            Some(_) => Ok(None),
            None => {
                self.rate_hz = Some(rate_hz);
                Ok(Some(StreamOptions {
                    model: None,
                    source: Source::Audio(Encoding::F32 { rate_hz, channels: 1 }),
                    k: None,
                    source_language: None,
                    target_language: None,
                    tentative: false,
                }))
            }
        }
    }

    /// What the stream says.
    pub fn accept(&mut self, event: &Event) {
        match event {
            Event::Committed(word) => self.words.push_str(&word.text),
            Event::Marked { mark } if self.awaiting == Awaiting::Mark(*mark) => self.awaiting = Awaiting::Nothing,
            Event::Finished => self.awaiting = Awaiting::Nothing,
            _ => {}
        }
    }

    /// The stream has ended with an error, or could not be opened.
    pub fn fail(&mut self, message: impl Into<String>) {
        self.failure = Some(SimulEvalError::Stream(message.into()));
    }

    /// `GET /output`: the body, or `None` while the stream has to be [heard](Self::accept) first.
    ///
    /// # Errors
    /// What was wrong with an input or with the stream.
    pub fn output(&mut self) -> Result<Option<String>, SimulEvalError> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        if self.awaiting != Awaiting::Nothing {
            return Ok(None);
        }
        let words = std::mem::take(&mut self.words);
        let words = words.trim();
        let (content, data_type) = match words {
            "" => (Content::Nothing([]), None),
            _ => (Content::Words(words), Some("text")),
        };
        let segment = TextSegment { index: 0, content, finished: self.ended, is_empty: words.is_empty(), data_type };
        let body = serde_json::to_string(&segment).map_err(|error| SimulEvalError::Stream(error.to_string()))?;
        Ok(Some(body))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::session::event::Committed;

    /// As SimulEval 1.1.4 writes it.
    fn segment(content: &str, finished: bool) -> Vec<u8> {
        format!(
            r#"{{"index": 500.0, "content": {content}, "finished": {finished}, "is_empty": false,
                "data_type": "speech", "tgt_lang": null, "config": {{}}, "sample_rate": 16000}}"#
        )
        .into_bytes()
    }

    const EMPTY: &[u8] = br#"{"index": 700.0, "content": [], "finished": true, "is_empty": true,
        "data_type": null, "tgt_lang": null, "config": {}}"#;

    const READ: &str = r#"{"index":0,"content":[],"finished":false,"is_empty":true,"data_type":null}"#;
    const OVER: &str = r#"{"index":0,"content":[],"finished":true,"is_empty":true,"data_type":null}"#;

    fn text(words: &str, finished: bool) -> Option<String> {
        Some(format!(r#"{{"index":0,"content":"{words}","finished":{finished},"is_empty":false,"data_type":"text"}}"#))
    }

    fn word(text: &str) -> Event {
        Event::Committed(Committed { seq: 0, utterance: 0, text: text.into(), start_ms: 0, end_ms: 0, source_ms: 0 })
    }

    #[test]
    fn a_sentence_is_translated_segment_by_segment() {
        let mut agent = SimulEval::default();
        agent.reset();
        let input = agent.input(&segment("[0.5, -1.0]", false)).unwrap();
        assert_eq!(input.open.unwrap().source, Source::Audio(Encoding::F32 { rate_hz: 16_000, channels: 1 }));
        let bytes = [0.5_f32.to_le_bytes(), (-1.0_f32).to_le_bytes()].concat();
        assert_eq!(input.commands, [Command::Audio(bytes), Command::Mark(1)]);
        assert_eq!(agent.output(), Ok(None), "the stream has not heard it yet");
        agent.accept(&Event::Marked { mark: 1 });
        assert_eq!(agent.output().unwrap().as_deref(), Some(READ));

        let input = agent.input(&segment("[0]", false)).unwrap();
        assert_eq!((input.open, input.commands.last()), (None, Some(&Command::Mark(2))));
        agent.accept(&word("Guten"));
        agent.accept(&word(" Tag"));
        assert_eq!(agent.output(), Ok(None), "more words may come");
        agent.accept(&Event::Marked { mark: 2 });
        assert_eq!(agent.output().unwrap(), text("Guten Tag", false));

        let input = agent.input(&segment("[0]", true)).unwrap();
        assert_eq!(input.commands, [Command::Audio(vec![0; 4]), Command::Finish]);
        agent.accept(&word(" zusammen."));
        assert_eq!(agent.output(), Ok(None), "nothing is finished before everything is said");
        agent.accept(&Event::Finished);
        assert_eq!(agent.output().unwrap(), text("zusammen.", true));
        // And for a client that asks on.
        assert_eq!(agent.input(EMPTY).unwrap().commands, []);
        assert_eq!(agent.output().unwrap().as_deref(), Some(OVER));

        agent.reset();
        assert!(agent.input(&segment("[0]", false)).unwrap().open.is_some());
    }

    #[test]
    fn a_sentence_may_be_empty_or_end_with_an_empty_segment() {
        let mut agent = SimulEval::default();
        assert_eq!(agent.output().unwrap().as_deref(), Some(READ), "asked before anything was said");
        assert_eq!(agent.input(EMPTY).unwrap(), Input { open: None, commands: vec![] });
        assert_eq!(agent.output().unwrap().as_deref(), Some(OVER));

        agent.reset();
        agent.input(&segment("[0]", false)).unwrap();
        assert_eq!(agent.input(EMPTY).unwrap().commands, [Command::Finish]);
        agent.accept(&Event::Marked { mark: 1 });
        assert_eq!(agent.output(), Ok(None));
        agent.accept(&Event::Finished);
        assert_eq!(agent.output().unwrap().as_deref(), Some(OVER));
    }

    #[test]
    fn after_a_bad_input_there_is_only_the_error_until_the_next_reset() {
        let rate = |rate: &str| format!(r#"{{"content":[0],"finished":false{rate}}}"#).into_bytes();
        let cases: [(Vec<u8>, &str); 6] = [
            (b"{".to_vec(), "not a segment of speech: "),
            (segment("\"words\"", false), "not a segment of speech: "),
            // By serde_json itself, where another crate has asked it to read floats to the last bit.
            (segment("[0, 1e39]", false), "out of range"),
            (rate(""), "sample rate None, expected Some(16000)"),
            (rate(",\"sample_rate\":-1"), "sample rate Some(-1), expected Some(16000)"),
            (rate(",\"sample_rate\":8000"), "sample rate Some(8000), expected Some(16000)"),
        ];
        let mut agent = SimulEval::default();
        for (body, message) in cases {
            agent.input(&segment("[0]", false)).unwrap();
            let error = agent.input(&body).unwrap_err();
            assert!(error.to_string().contains(message), "{error}");
            agent.accept(&Event::Marked { mark: 1 });
            assert_eq!(agent.output(), Err(error));
            agent.reset();
        }
        agent.input(&segment("[0]", true)).unwrap();
        assert_eq!(agent.input(&segment("[0]", true)), Err(SimulEvalError::AfterEnd));
        agent.reset();
        agent.fail("no translator");
        assert_eq!(agent.output().unwrap_err().to_string(), "the stream has failed: no translator");
    }

    proptest! {
        #[test]
        fn garbage_never_panics(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut agent = SimulEval::default();
            prop_assert!(agent.input(&body).is_err());
            prop_assert!(agent.output().is_err());
        }
    }
}
