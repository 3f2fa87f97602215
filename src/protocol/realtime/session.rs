//! The `session` object of the native dialect: its state, and what `session.update` may change of it. Invariant: an
//! update is applied as a whole or not at all, and nothing is accepted that will not hold.

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer, Serialize};

use super::server::ErrorBody;
use crate::protocol::SessionInfo;

/// The only type of session here.
const TRANSLATION: &str = "translation";

/// What an opened session is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// Unique.
    pub id: String,
    /// `translation`.
    #[serde(rename = "type")]
    pub session_type: String,
    /// Name of the model.
    pub model: String,
    /// When the server will end it, in seconds since 1970.
    pub expires_at: u64,
    /// What goes in and what comes out.
    pub audio: Audio,
    /// SHA-256 of the bundle's manifest, shortened.
    #[serde(default)]
    pub bundle: String,
    /// Language spoken, ISO 639-1.
    #[serde(default)]
    pub source_language: String,
    /// The extensions that are on.
    #[serde(default)]
    pub extensions: BTreeSet<Extension>,
}

/// Input and output.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Audio {
    /// What happens to the audio.
    pub input: AudioInput,
    /// What comes of it.
    pub output: AudioOutput,
}

/// What happens to the audio.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AudioInput {
    /// Whether the source text is sent too.
    pub transcription: Option<Transcription>,
    /// Kept and shown, without effect: the model was trained on speech as it comes.
    pub noise_reduction: Option<NoiseReduction>,
}

/// What comes of the audio.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AudioOutput {
    /// Language of the translation, ISO 639-1.
    pub language: String,
}

/// Asks for source text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transcription {
    /// Any name: the source text is the translating model's own.
    pub model: String,
}

/// Asks for less noise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoiseReduction {
    /// Where the microphone is.
    #[serde(rename = "type")]
    pub microphone: Microphone,
    /// How much; an update without it keeps what was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strength: Option<f64>,
}

/// Where the microphone is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Microphone {
    /// At the mouth.
    NearField,
    /// In the room.
    FarField,
}

/// Events beyond OpenAI's, which only come to those who ask for them: its Python client takes unknown events for errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Extension {
    /// `session.metrics`.
    Lag,
    /// `session.speech_started` and `session.speech_stopped`.
    Vad,
    /// `session.tentative.delta`. Only in the URL: guessing has to be known when the stream is opened.
    Tentative,
    /// `session.go_away`.
    GoAway,
}

/// What a client wants changed; what is absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SessionUpdate {
    /// May only repeat what is.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub session_type: Option<String>,
    /// May only repeat what is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Input and output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio: Option<AudioUpdate>,
    /// Those that shall be on; all others are off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extensions: Option<BTreeSet<Extension>>,
}

/// Changes of input and output.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AudioUpdate {
    /// What happens to the audio.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<AudioInputUpdate>,
    /// What comes of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<AudioOutputUpdate>,
}

/// Changes of the input; the inner `None` is JSON's null and switches off.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AudioInputUpdate {
    /// Source text.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub transcription: Option<Option<Transcription>>,
    /// Less noise.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub noise_reduction: Option<Option<NoiseReduction>>,
}

/// Changes of the output.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AudioOutputUpdate {
    /// May only repeat what is: a model has one target language.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
}

/// A field that is there, be it null.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(field: D) -> Result<Option<T>, D::Error> {
    T::deserialize(field).map(Some)
}

impl Session {
    /// A session with nothing but what the server decides.
    pub(super) fn new(info: &SessionInfo) -> Self {
        Self {
            id: info.id.clone(),
            session_type: TRANSLATION.to_owned(),
            model: info.model.clone(),
            expires_at: info.expires_at,
            audio: Audio {
                input: AudioInput::default(),
                output: AudioOutput { language: info.target_language.clone() },
            },
            bundle: info.bundle.clone(),
            source_language: info.source_language.clone(),
            extensions: BTreeSet::new(),
        }
    }

    /// Applies an update; of the extensions those in `available` can be on.
    ///
    /// # Errors
    /// Names the first field that asks for what cannot be; nothing has been changed then.
    pub(super) fn update(&mut self, update: SessionUpdate, available: &BTreeSet<Extension>) -> Result<(), ErrorBody> {
        let AudioUpdate { input, output } = update.audio.unwrap_or_default();
        let language = output.and_then(|output| output.language);
        keep("session.type", update.session_type, &self.session_type)?;
        keep("session.model", update.model, &self.model)?;
        keep("session.audio.output.language", language, &self.audio.output.language)?;
        if let Some(extension) = update.extensions.iter().flatten().find(|on| !available.contains(on)) {
            let message = match extension {
                Extension::Tentative => "tentative can only be asked for in the URL (?ext=tentative)".to_owned(),
                other => format!("{other:?} is about audio, and this session has text").to_lowercase(),
            };
            return Err(ErrorBody::invalid("invalid_value", Some("session.extensions"), message));
        }

        let input = input.unwrap_or_default();
        if let Some(transcription) = input.transcription {
            self.audio.input.transcription = transcription;
        }
        if let Some(mut noise_reduction) = input.noise_reduction {
            if let Some(wanted) = &mut noise_reduction {
                let before = self.audio.input.noise_reduction.as_ref();
                wanted.strength = wanted.strength.or_else(|| before?.strength);
            }
            self.audio.input.noise_reduction = noise_reduction;
        }
        if let Some(extensions) = update.extensions {
            self.extensions = extensions;
        }
        Ok(())
    }
}

/// Refuses to change what a session was opened with.
fn keep(param: &str, wanted: Option<String>, current: &str) -> Result<(), ErrorBody> {
    match wanted {
        Some(wanted) if wanted != current => {
            let message = format!("{param} cannot be changed; allowed is {current:?}");
            Err(ErrorBody::invalid("invalid_value", Some(param), message))
        }
        _ => Ok(()),
    }
}
