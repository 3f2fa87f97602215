//! Events of a recording to text, JSON or subtitles on standard output.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use clap::ValueEnum;
use decalage::session::event::{Committed, Event, Transcript};
use decalage::subtitles::{cues, srt, vtt};
use serde::Serialize;
use serde_json::json;

/// How a translation is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Words as they are committed, an utterance a line
    Text,
    /// One object a file: words with source spans, transcript, utterances
    Json,
    /// SubRip subtitles
    Srt,
    /// WebVTT subtitles
    Vtt,
}

#[derive(Debug, Serialize)]
struct Span {
    start_ms: u64,
    end_ms: u64,
}

/// Writes the events of one recording.
#[derive(Debug)]
pub(crate) struct Output<W> {
    to: W,
    format: Format,
    show_transcript: bool,
    words: Vec<Committed>,
    transcript: Vec<Transcript>,
    utterances: Vec<Span>,
    /// The transcript of the utterance that is on its way.
    heard: String,
    /// The cursor stands at the beginning of a line.
    fresh_line: bool,
}

impl<W: Write> Output<W> {
    pub(crate) fn new(to: W, format: Format, show_transcript: bool) -> Self {
        Self {
            to,
            format,
            show_transcript,
            words: Vec::new(),
            transcript: Vec::new(),
            utterances: Vec::new(),
            heard: String::new(),
            fresh_line: true,
        }
    }

    /// Text goes out at once; what the other formats need is kept until [`Output::finish`].
    pub(crate) fn heed(&mut self, event: Event) -> io::Result<()> {
        match event {
            Event::Committed(word) if self.format == Format::Text => {
                let text = if self.fresh_line { word.text.trim_start() } else { &word.text };
                self.fresh_line = false;
                write!(self.to, "{text}")?;
                self.to.flush()?;
            }
            Event::Committed(word) => self.words.push(word),
            Event::Transcript(words) if self.format == Format::Text => self.heard.push_str(&words.text),
            Event::Transcript(words) => self.transcript.push(words),
            Event::UtteranceEnd { .. } if self.format == Format::Text => self.end_line()?,
            Event::UtteranceEnd { start_ms, end_ms, .. } => self.utterances.push(Span { start_ms, end_ms }),
            Event::UtteranceStart { .. } | Event::Tentative(_) => {}
            Event::Flushed | Event::Marked { .. } | Event::Finished => {}
        }
        Ok(())
    }

    fn end_line(&mut self) -> io::Result<()> {
        if !self.fresh_line {
            writeln!(self.to)?;
            self.fresh_line = true;
        }
        let heard = std::mem::take(&mut self.heard);
        if self.show_transcript && !heard.trim().is_empty() {
            writeln!(self.to, "  [{}]", heard.trim())?;
        }
        self.to.flush()
    }

    /// The recording is over.
    pub(crate) fn finish(&mut self, file: &Path, bundle: &str, audio_ms: u64, compute: Duration) -> io::Result<()> {
        match self.format {
            Format::Text => self.end_line()?,
            Format::Srt => write!(self.to, "{}", srt(&cues(&self.words)))?,
            Format::Vtt => write!(self.to, "{}", vtt(&cues(&self.words)))?,
            Format::Json => {
                let text = |parts: &mut dyn Iterator<Item = &String>| {
                    parts.map(String::as_str).collect::<String>().trim().to_owned()
                };
                let mut object = json!({
                    "file": file.display().to_string(),
                    "bundle": bundle,
                    "audio_ms": audio_ms,
                    "compute_ms": compute.as_millis() as u64,
                    "text": text(&mut self.words.iter().map(|word| &word.text)),
                    "words": self.words,
                    "utterances": self.utterances,
                });
                if self.show_transcript {
                    object["transcript"] = text(&mut self.transcript.iter().map(|words| &words.text)).into();
                    object["transcript_words"] = json!(self.transcript);
                }
                writeln!(self.to, "{object}")?;
            }
        }
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(format: Format, show_transcript: bool) -> String {
        let word = |seq, utterance, text: &str, start_ms| {
            let text = text.to_owned();
            Event::Committed(Committed { seq, utterance, text, start_ms, end_ms: start_ms + 640, source_ms: 0 })
        };
        let heard = |text: &str| {
            Event::Transcript(Transcript { utterance: 0, text: text.to_owned(), start_ms: 0, end_ms: 320 })
        };
        let end = |utterance| Event::UtteranceEnd { utterance, start_ms: 0, end_ms: 1500 };
        let events = [
            heard("good"),
            word(0, 0, "Guten", 0),
            word(1, 0, " Tag.", 320),
            heard(" day"),
            end(0),
            end(1),
            word(2, 2, " Ja.", 2000),
            end(2),
            Event::Finished,
        ];
        let mut bytes = Vec::new();
        let mut output = Output::new(&mut bytes, format, show_transcript);
        for event in events {
            output.heed(event).unwrap();
        }
        output.finish(Path::new("a.wav"), "0123", 2640, Duration::from_millis(7)).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn text_has_a_line_for_each_utterance_that_says_something() {
        assert_eq!(written(Format::Text, false), "Guten Tag.\nJa.\n");
        assert_eq!(written(Format::Text, true), "Guten Tag.\n  [good day]\nJa.\n");
    }

    #[test]
    fn json_is_one_object_with_spans() {
        let object: serde_json::Value = serde_json::from_str(&written(Format::Json, true)).unwrap();
        assert_eq!(object["text"], "Guten Tag. Ja.");
        assert_eq!(object["transcript"], "good day");
        assert_eq!(object["words"][1]["start_ms"], 320);
        assert_eq!(object["words"][1]["end_ms"], 960);
        assert_eq!(object["utterances"].as_array().unwrap().len(), 3);
        assert_eq!((&object["audio_ms"], &object["file"]), (&2640.into(), &"a.wav".into()));
        let plain: serde_json::Value = serde_json::from_str(&written(Format::Json, false)).unwrap();
        assert!(plain.get("transcript").is_none());
    }

    #[test]
    fn subtitles_come_at_the_end() {
        assert!(written(Format::Srt, false).starts_with("1\n00:00:00,000 --> 00:00:00,960\nGuten Tag.\n\n2\n"));
        assert!(written(Format::Vtt, false).starts_with("WEBVTT\n\n00:00:00.000 --> 00:00:00.960\n"));
    }
}
