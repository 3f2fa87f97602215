//! The multipart body of a recording: fields to settings, the file to disk.
//!
//! Invariant: of the file only a piece is in memory at a time, and every wait for the next piece has a deadline, as
//! the whole body has.

use std::fs::File;
use std::io::{Seek, Write};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::Multipart;
use axum::extract::multipart::{Field, MultipartError};
use serde::Deserialize;
use tempfile::tempfile_in;
use tokio::time::{Instant, timeout_at};
use utoipa::ToSchema;

use super::answer::Format;
use crate::engine::Pace;
use crate::policy::{DEFAULT_BEAM_SIZE, MAX_BEAM_SIZE, MAX_K, PolicyKind};
use crate::server::app::{Admitted, App};
use crate::server::auth::Principal;
use crate::server::error::ApiError;
use crate::session::SessionConfig;

/// Longest value of a field that is not the file.
const MAX_FIELD_BYTES: usize = 16 << 10;
/// An upload that is slower on the whole keeps its place from others for too long.
const MIN_BYTES_PER_S: u64 = 4 << 10;

/// A recording that has been taken. As a schema it is the form: `k` and `beam_size` must come before the file.
#[derive(Debug, ToSchema)]
pub(super) struct Upload {
    #[schema(ignore)]
    pub(super) admitted: Admitted,
    /// wav, flac, mp3, ogg, webm, m4a, mp4 or aac.
    #[schema(value_type = String, format = Binary)]
    pub(super) file: File,
    #[serde(flatten)]
    pub(super) settings: Settings,
}

/// What the fields say.
#[derive(Debug, Clone, Default, PartialEq, ToSchema)]
pub(super) struct Settings {
    #[schema(rename = "response_format", required = false, default = "json")]
    pub(super) format: Format,
    /// Server-sent events: words as they are committed, the whole text, `[DONE]`.
    #[schema(required = false, default = false)]
    pub(super) stream: bool,
    /// `word` adds the words to `verbose_json`.
    #[schema(rename = "timestamp_granularities[]", required = false, value_type = Vec<String>)]
    pub(super) words: bool,
    /// The model that is served.
    model: Option<String>,
    /// The model's source language; a region is ignored.
    language: Option<String>,
    /// The model's target language.
    to_language: Option<String>,
    /// Wait-k with this lag, in segments with speech, in place of a search of whole utterances.
    #[schema(minimum = 1, maximum = 1000)]
    k: Option<usize>,
    /// Width of the search.
    #[schema(minimum = 1, maximum = 32, default = 5)]
    beam_size: Option<usize>,
}

impl Settings {
    /// Takes one field; those that are not known, and `prompt` and `temperature`, change nothing.
    fn set(&mut self, name: &str, value: &str) -> Result<(), ApiError> {
        match name {
            "response_format" => self.format = parse("response_format", value, "json, text, srt, verbose_json or vtt")?,
            "stream" => self.stream = parse("stream", value, "true or false")?,
            "timestamp_granularities[]" => self.words |= value == "word",
            "model" => self.model = Some(value.to_owned()),
            "language" => self.language = Some(value.to_owned()),
            "to_language" => self.to_language = Some(value.to_owned()),
            "k" => self.k = Some(number("k", value, MAX_K)?),
            "beam_size" => self.beam_size = Some(number("beam_size", value, MAX_BEAM_SIZE)?),
            _ => {}
        }
        Ok(())
    }

    fn policy(&self) -> PolicyKind {
        match self.k {
            Some(k) => PolicyKind::WaitK { k },
            None => PolicyKind::Offline { beam_size: self.beam_size.unwrap_or(DEFAULT_BEAM_SIZE) },
        }
    }

    fn check(&self, app: &App) -> Result<(), ApiError> {
        app.check_model(self.model.as_deref())?;
        app.check_languages(self.language.as_deref(), self.to_language.as_deref())
    }
}

/// Reads a JSON scalar without its quotes, in any case: Python's clients write `True`.
fn parse<T: for<'a> Deserialize<'a>>(param: &'static str, value: &str, allowed: &str) -> Result<T, ApiError> {
    let lower = value.trim().to_lowercase();
    let bare = serde_json::from_str(&lower).or_else(|_| serde_json::from_value(lower.into()));
    bare.map_err(|_| ApiError::invalid(Some(param), format!("{param} is {value:?}, allowed is {allowed}")))
}

fn number(param: &'static str, value: &str, most: usize) -> Result<usize, ApiError> {
    let number = value.trim().parse().ok().filter(|number| (1..=most).contains(number));
    let invalid = || ApiError::invalid(Some(param), format!("{param} is {value:?}, allowed is 1 to {most}"));
    number.ok_or_else(invalid)
}

/// Reads the whole body. The place is taken when the file begins, so nobody uploads in vain; what decides how it is
/// translated (`k`, `beam_size`) must come before it.
pub(super) async fn receive(app: &App, principal: &Principal, mut form: Multipart) -> Result<Upload, ApiError> {
    let mut patience = Patience::new(Duration::from_millis(app.config().server.idle_timeout_ms));
    let mut settings = Settings::default();
    let mut taken: Option<(Admitted, File, PolicyKind)> = None;
    while let Some(mut field) = patience.wait(form.next_field()).await? {
        let name = field.name().unwrap_or_default().to_owned();
        if name != "file" {
            let mut value = Vec::new();
            while let Some(piece) = patience.piece(&mut field).await? {
                value.extend_from_slice(&piece);
                if value.len() > MAX_FIELD_BYTES {
                    let message = format!("the field {name:?} is longer than {MAX_FIELD_BYTES} bytes");
                    return Err(ApiError::too_large(message));
                }
            }
            settings.set(&name, &String::from_utf8_lossy(&value))?;
            settings.check(app)?;
            continue;
        }
        if taken.is_some() {
            return Err(ApiError::invalid(Some("file"), "two files, allowed is one"));
        }
        let policy = settings.policy();
        let cascade = app.config().model.cascade;
        let config = SessionConfig { policy, cascade, ..SessionConfig::default() };
        let admitted = app.admit(principal, config, Pace::Recording)?;
        taken = Some((admitted, keep(app, &mut patience, field).await?, policy));
    }
    let Some((admitted, file, policy)) = taken else {
        return Err(ApiError::invalid(Some("file"), "the field file is missing"));
    };
    if settings.policy() != policy {
        return Err(ApiError::invalid(None, "k and beam_size must come before the file"));
    }
    Ok(Upload { admitted, file, settings })
}

/// Writes the file to a nameless one on disk: half of all m4a files cannot be read from front to back.
async fn keep(app: &App, patience: &mut Patience, mut field: Field<'_>) -> Result<File, ApiError> {
    let mut file = tempfile_in(app.config().server.uploads()).map_err(|error| ApiError::internal(&error))?;
    while let Some(piece) = patience.piece(&mut field).await? {
        // Into the page cache: not worth a thread.
        file.write_all(&piece).map_err(|error| ApiError::internal(&error))?;
    }
    file.rewind().map_err(|error| ApiError::internal(&error))?;
    Ok(file)
}

/// How long an upload is waited for: for each piece, and for all of them so long that a byte now and then is not enough.
struct Patience {
    limit: Duration,
    /// Moves on with every byte.
    until: Instant,
}

impl Patience {
    fn new(limit: Duration) -> Self {
        Self { limit, until: Instant::now() + limit }
    }

    async fn piece(&mut self, field: &mut Field<'_>) -> Result<Option<Bytes>, ApiError> {
        let piece = self.wait(field.chunk()).await?;
        let num_bytes = piece.as_ref().map_or(0, |piece| piece.len() as u64);
        self.until += Duration::from_micros(num_bytes * 1_000_000 / MIN_BYTES_PER_S);
        Ok(piece)
    }

    async fn wait<T>(&self, wait: impl Future<Output = Result<T, MultipartError>>) -> Result<T, ApiError> {
        match timeout_at(self.until.min(Instant::now() + self.limit), wait).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) if error.status().as_u16() == 413 => Err(ApiError::too_large(error.body_text())),
            Ok(Err(error)) => Err(ApiError::invalid(None, error.body_text())),
            Err(_) => Err(ApiError::timeout("the body came too slowly")),
        }
    }
}

#[cfg(test)]
mod tests {
    use utoipa::PartialSchema;

    use super::*;

    #[test]
    fn fields_are_read_as_clients_write_them() {
        let mut settings = Settings::default();
        for (name, value) in [("response_format", "verbose_json"), ("stream", "True"), ("k", "5"), ("prompt", "x")] {
            settings.set(name, value).unwrap();
        }
        settings.set("timestamp_granularities[]", "word").unwrap();
        assert_eq!((settings.format, settings.stream, settings.words), (Format::VerboseJson, true, true));
        assert_eq!(settings.policy(), PolicyKind::WaitK { k: 5 });
        assert_eq!(Settings::default().policy(), PolicyKind::Offline { beam_size: 5 });
    }

    /// What is described must do something.
    #[test]
    fn every_field_that_is_described_is_known() {
        let schema = serde_json::to_value(Settings::schema()).unwrap();
        let names: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
        assert_eq!(names.len(), 8);
        for name in names {
            let mut settings = Settings::default();
            let refused = settings.set(name, "word").is_err();
            assert!(refused || settings != Settings::default(), "{name}");
        }
    }

    #[test]
    fn wrong_values_are_named_with_what_is_allowed() {
        for (name, value, allowed) in [
            ("response_format", "xml", "json, text, srt, verbose_json or vtt"),
            ("stream", "yes", "true or false"),
            ("k", "0", "1 to 1000"),
            ("beam_size", "33", "1 to 32"),
        ] {
            let error = Settings::default().set(name, value).unwrap_err();
            assert_eq!(error.param.as_deref(), Some(name));
            assert!(error.message.contains(value) && error.message.ends_with(allowed), "{}", error.message);
        }
    }
}
