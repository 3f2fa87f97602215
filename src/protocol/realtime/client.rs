//! The client's events of the native dialect: written by a client, read by the server. Invariant: whatever text comes,
//! the answer names what was wrong with it and, if it has one, its `event_id`.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{server::ErrorBody, session::SessionUpdate};

/// Longest `event_id`, in characters.
const MAX_EVENT_ID: usize = 512;

/// An event on the wire.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClientMessage {
    /// Chosen by the client, for errors to refer to; at most 512 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
    /// What is asked.
    #[serde(flatten)]
    pub event: ClientEvent,
}

/// Something that a client asks.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type")]
pub enum ClientEvent {
    /// Change the session; answered by `session.updated`.
    #[serde(rename = "session.update")]
    Update {
        /// What shall change.
        session: SessionUpdate,
    },
    /// More audio.
    #[serde(rename = "session.input_audio_buffer.append")]
    Append {
        /// Base64 of the bytes, in the session's encoding. Raw samples come whole.
        #[serde(serialize_with = "base64")]
        audio: Vec<u8>,
    },
    /// More text, in a session that was opened for text.
    #[serde(rename = "session.input_text.append")]
    AppendText {
        /// Any number of characters. A word counts when white space follows it; a sentence ends with its full stop or line.
        text: String,
    },
    /// Say when all audio before this has been worked off; answered by `session.marked`.
    #[serde(rename = "session.mark")]
    Mark {
        /// Comes back in the answer.
        mark: u64,
    },
    /// No more input will come; answered, after everything else, by `session.closed`.
    #[serde(rename = "session.close")]
    Close,
}

fn base64<S: serde::Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&BASE64_STANDARD.encode(bytes))
}

impl ClientMessage {
    /// Reads an event.
    ///
    /// # Errors
    /// Says what is wrong with it; the session goes on.
    pub fn parse(text: &str) -> Result<Self, ErrorBody> {
        let invalid = |error| ErrorBody::invalid("invalid_json", None, format!("not JSON: {error}"));
        let message: Value = serde_json::from_str(text).map_err(invalid)?;
        let event_id = match &message["event_id"] {
            Value::Null => None,
            Value::String(id) if id.chars().count() <= MAX_EVENT_ID => Some(id.clone()),
            _ => {
                let error = format!("event_id is not a text of at most {MAX_EVENT_ID} characters");
                return Err(ErrorBody::invalid("invalid_event", Some("event_id"), error));
            }
        };
        match event(&message) {
            Ok(event) => Ok(Self { event_id, event }),
            Err(error) => Err(ErrorBody { event_id, ..error }),
        }
    }
}

/// Reads what is asked. Fields beside those of the event are left alone; within `session` each must be understood,
/// because a setting that is not applied must not look as if it were.
fn event(message: &Value) -> Result<ClientEvent, ErrorBody> {
    match message["type"].as_str() {
        Some("session.update") => Ok(ClientEvent::Update { session: field(message, "session")? }),
        Some("session.input_audio_buffer.append") => {
            let audio: String = field(message, "audio")?;
            let invalid = |error| ErrorBody::invalid("invalid_value", Some("audio"), format!("not base64: {error}"));
            Ok(ClientEvent::Append { audio: BASE64_STANDARD.decode(audio).map_err(invalid)? })
        }
        Some("session.input_text.append") => Ok(ClientEvent::AppendText { text: field(message, "text")? }),
        Some("session.mark") => Ok(ClientEvent::Mark { mark: field(message, "mark")? }),
        Some("session.close") => Ok(ClientEvent::Close),
        other => {
            let found = other.map_or("no type".to_owned(), |other| {
                format!("of type {:?}", other.chars().take(64).collect::<String>())
            });
            let allowed = "session.update, session.input_audio_buffer.append, session.input_text.append, session.mark or \
                           session.close";
            let error = format!("an event must be of type {allowed}, not {found}");
            Err(ErrorBody::invalid("invalid_event", Some("type"), error))
        }
    }
}

/// Reads a field; an error names the path to what is wrong in it.
pub(super) fn field<T: DeserializeOwned>(message: &Value, name: &str) -> Result<T, ErrorBody> {
    let invalid =
        |param: &str, error: &str| ErrorBody::invalid("invalid_event", Some(param), format!("{param}: {error}"));
    let Some(value) = message.get(name) else {
        return Err(invalid(name, "the field is missing"));
    };
    serde_path_to_error::deserialize(value).map_err(|error| match error.path().to_string().as_str() {
        "." => invalid(name, &error.inner().to_string()),
        path => invalid(&format!("{name}.{path}"), &error.inner().to_string()),
    })
}
