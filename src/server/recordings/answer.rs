//! A recording's events to the answer's body: OpenAI's `json`, `text`, `srt`, `verbose_json`, `vtt`, or a stream of
//! server-sent events.

use axum::Json;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::protocol::SessionInfo;
use crate::session::event::{Committed, Event};
use crate::subtitles::{cues, srt, vtt};

/// How the answer is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Format {
    #[default]
    Json,
    Text,
    Srt,
    VerboseJson,
    Vtt,
}

/// Everything that was said about a recording.
#[derive(Debug, Default)]
pub(super) struct Said {
    words: Vec<Committed>,
    transcript: Vec<(u64, String)>,
    utterances: Vec<(u64, u64, u64)>,
}

/// A translation. All but `text` only as `verbose_json`, and words where they are asked for.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct Translation {
    text: String,
    /// `translate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<&'static str>,
    /// Of the text, ISO 639-1.
    #[serde(skip_serializing_if = "Option::is_none")]
    language: Option<String>,
    /// Of the speech, ISO 639-1.
    #[serde(skip_serializing_if = "Option::is_none")]
    source_language: Option<String>,
    /// Of the audio, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    segments: Option<Vec<Segment>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    words: Option<Vec<Word>>,
}

/// An utterance. Times are in seconds.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Segment {
    id: usize,
    start: f64,
    end: f64,
    text: String,
    /// What was heard.
    source_text: String,
}

/// A word of the translation, and the speech that it renders.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Word {
    word: String,
    start: f64,
    end: f64,
}

impl Said {
    pub(super) fn heed(&mut self, event: Event) {
        match event {
            Event::Committed(word) => self.words.push(word),
            Event::Transcript(heard) => self.transcript.push((heard.utterance, heard.text)),
            Event::UtteranceEnd { utterance, start_ms, end_ms } => {
                self.utterances.push((utterance, start_ms, end_ms));
            }
            _ => {}
        }
    }

    fn text(&self) -> String {
        self.words.iter().map(|word| word.text.as_str()).collect::<String>().trim().to_owned()
    }

    pub(super) fn render(&self, format: Format, words: bool, info: &SessionInfo, audio_ms: u64) -> Response {
        let plain = |kind: &'static str, text: String| ([(CONTENT_TYPE, kind)], text).into_response();
        match format {
            Format::Json => Json(Translation { text: self.text(), ..Translation::default() }).into_response(),
            Format::Text => plain("text/plain; charset=utf-8", self.text() + "\n"),
            Format::Srt => plain("application/x-subrip; charset=utf-8", srt(&cues(&self.words))),
            Format::Vtt => plain("text/vtt; charset=utf-8", vtt(&cues(&self.words))),
            Format::VerboseJson => {
                let word = |w: &Committed| Word {
                    word: w.text.trim().to_owned(),
                    start: seconds(w.start_ms),
                    end: seconds(w.end_ms),
                };
                let body = Translation {
                    text: self.text(),
                    task: Some("translate"),
                    language: Some(info.target_language.clone()),
                    source_language: Some(info.source_language.clone()),
                    duration: Some(seconds(audio_ms)),
                    segments: Some(self.segments()),
                    words: words.then(|| self.words.iter().map(word).collect()),
                };
                Json(body).into_response()
            }
        }
    }

    fn segments(&self) -> Vec<Segment> {
        let segment = |(id, &(utterance, start_ms, end_ms)): (usize, &(u64, u64, u64))| {
            let words = self.words.iter().filter(|word| word.utterance == utterance);
            let heard = self.transcript.iter().filter(|heard| heard.0 == utterance);
            Segment {
                id,
                start: seconds(start_ms),
                end: seconds(end_ms),
                text: words.map(|word| word.text.as_str()).collect::<String>().trim().to_owned(),
                source_text: heard.map(|heard| heard.1.as_str()).collect::<String>().trim().to_owned(),
            }
        };
        self.utterances.iter().enumerate().map(segment).collect()
    }

    /// The last server-sent event.
    pub(super) fn done(&self, info: &SessionInfo) -> Value {
        chunk("transcript.text.done", "text", &self.text(), None, info)
    }
}

/// A server-sent event for one word.
pub(super) fn delta(word: &Committed, info: &SessionInfo) -> Value {
    let mut chunk = chunk("transcript.text.delta", "delta", &word.text, Some(&word.text), info);
    chunk["start_ms"] = word.start_ms.into();
    chunk["end_ms"] = word.end_ms.into();
    chunk
}

/// Two forms in one: the events of OpenAI's transcriptions (`type` and `delta` or `text`), and the chunks of vLLM's
/// translations (`object` and `choices`).
pub(in crate::server) fn chunk(
    kind: &str,
    field: &str,
    text: &str,
    content: Option<&str>,
    info: &SessionInfo,
) -> Value {
    let choice = match content {
        Some(content) => json!({ "index": 0, "delta": { "content": content }, "finish_reason": null }),
        None => json!({ "index": 0, "delta": {}, "finish_reason": "stop" }),
    };
    json!({
        "type": kind,
        field: text,
        "id": info.id,
        "object": "translation.chunk",
        "created": info.created_at,
        "model": info.model,
        "choices": [choice],
    })
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}
