//! What went wrong to an HTTP answer in OpenAI's form: `{"error": {"message", "type", "param", "code"}}`. Invariant: the
//! text of a fault of ours stays in the log.

use std::borrow::Cow;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::auth::AuthError;
use crate::{audio::AudioError, protocol::query::QueryError};

const INVALID: &str = "invalid_request_error";
/// When a client that found no place may ask again: utterances are short, sessions are not.
pub(super) const RETRY_AFTER_S: u64 = 5;

/// An answer that is not what was asked for. Serialized, it is what the body has under `error`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Error)]
pub struct ApiError {
    /// Status of the answer.
    #[serde(skip)]
    pub status: StatusCode,
    /// Whose fault it is: `invalid_request_error`, `rate_limit_error` or `server_error`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// What a program can tell it by.
    pub code: Option<&'static str>,
    /// The field of the request that was wrong.
    pub param: Option<Cow<'static, str>>,
    /// For people.
    pub message: String,
    /// When it may help to try again.
    #[serde(skip)]
    pub retry_after_s: Option<u64>,
}

impl ApiError {
    fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        Self { status, kind, code: None, param: None, message: message.into(), retry_after_s: None }
    }

    /// 400: the request cannot be understood, or a field has a value that it may not have.
    pub fn invalid(param: Option<&'static str>, message: impl Into<String>) -> Self {
        Self { param: param.map(Cow::Borrowed), ..Self::new(StatusCode::BAD_REQUEST, INVALID, message) }
    }

    /// 401: no key, or none that is known.
    pub fn unauthorized(message: impl Into<String>) -> Self {
        Self { code: Some("invalid_api_key"), ..Self::new(StatusCode::UNAUTHORIZED, INVALID, message) }
    }

    /// 403: known, but not allowed to.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self { code: Some("forbidden"), ..Self::new(StatusCode::FORBIDDEN, INVALID, message) }
    }

    /// 404: no such route.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self { code: Some("not_found"), ..Self::new(StatusCode::NOT_FOUND, INVALID, message) }
    }

    /// 404: no such model.
    pub fn no_model(name: &str) -> Self {
        let message = format!("no model is named {name:?}, GET /v1/models lists those that are there");
        Self { code: Some("model_not_found"), param: Some(Cow::Borrowed("model")), ..Self::not_found(message) }
    }

    /// 408: the client took too long.
    pub fn timeout(message: impl Into<String>) -> Self {
        Self { code: Some("timeout"), ..Self::new(StatusCode::REQUEST_TIMEOUT, INVALID, message) }
    }

    /// 413: more than is allowed, of bytes or of audio.
    pub fn too_large(message: impl Into<String>) -> Self {
        Self { code: Some("too_large"), ..Self::new(StatusCode::PAYLOAD_TOO_LARGE, INVALID, message) }
    }

    /// 415: audio in a format that is not known.
    pub fn unsupported_media(message: impl Into<String>) -> Self {
        Self { code: Some("unsupported_media"), ..Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, INVALID, message) }
    }

    /// 429: the client, or its key, has all that it may have.
    pub fn too_many(message: impl Into<String>, retry_after_s: u64) -> Self {
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", message);
        Self { code: Some("rate_limit_exceeded"), retry_after_s: Some(retry_after_s), ..error }
    }

    /// 503: the server has no room, or stops.
    pub fn unavailable(message: impl Into<String>, retry_after_s: u64) -> Self {
        let error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", message);
        Self { code: Some("overloaded"), retry_after_s: Some(retry_after_s), ..error }
    }

    /// 500: a fault of ours, which is told to the log only.
    pub fn internal(cause: &dyn std::error::Error) -> Self {
        tracing::error!(%cause, "a request failed");
        let message = "the server failed to answer; the cause is in its log";
        Self { code: Some("internal"), ..Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", message) }
    }
}

impl ApiError {
    /// The answer's body.
    pub fn body(&self) -> serde_json::Value {
        json!({ "error": self })
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body())).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")); // RFC 9110 §15.5.2
        }
        response
    }
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        let message = error.to_string();
        match error {
            AuthError::Missing | AuthError::Unknown => Self::unauthorized(message),
            AuthError::Origin(_) | AuthError::EphemeralParent => Self::forbidden(message),
            AuthError::TooManyEphemeral { retry_after_s, .. } => Self::too_many(message, retry_after_s),
            AuthError::Random => Self::internal(&error),
        }
    }
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        Self::invalid(Some(error.param()), error.to_string())
    }
}

impl From<AudioError> for ApiError {
    fn from(error: AudioError) -> Self {
        let message = error.to_string();
        match error {
            AudioError::TooLong { .. } => Self::too_large(message),
            AudioError::Unrecognized { .. } | AudioError::Unsupported { .. } | AudioError::NoAudioTrack => {
                Self::unsupported_media(message)
            }
            _ if error.is_senders_fault() => Self::invalid(Some("file"), message),
            _ => Self::internal(&error),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    async fn body(response: Response) -> serde_json::Value {
        serde_json::from_slice(&to_bytes(response.into_body(), 4096).await.unwrap()).unwrap()
    }

    #[tokio::test]
    async fn an_error_is_in_openai_s_form() {
        let response = ApiError::no_model("whisper-1").into_response();
        assert_eq!(response.status(), 404);
        assert_eq!(
            body(response).await,
            json!({"error": {
                "message": "no model is named \"whisper-1\", GET /v1/models lists those that are there",
                "type": "invalid_request_error", "param": "model", "code": "model_not_found",
            }})
        );
        let response = ApiError::invalid(None, "not JSON").into_response();
        assert_eq!(
            body(response).await["error"],
            json!({"message": "not JSON", "type": "invalid_request_error", "param": null, "code": null})
        );
    }

    #[test]
    fn headers_say_what_may_help() {
        for (error, status, retry_after) in [
            (ApiError::too_many("", 3), 429, Some("3")),
            (ApiError::unavailable("", 7), 503, Some("7")),
            (ApiError::too_large(""), 413, None),
        ] {
            let response = error.into_response();
            assert_eq!(response.status(), status);
            assert_eq!(response.headers().get("retry-after").map(|value| value.to_str().unwrap()), retry_after);
        }
        assert_eq!(ApiError::from(AuthError::Missing).into_response().headers()["www-authenticate"], "Bearer");
    }

    #[test]
    fn bad_audio_is_the_client_s_fault_and_our_faults_are_not_told() {
        for (error, status) in [
            (AudioError::TooLong { limit_ms: 1 }, 413),
            (AudioError::Unrecognized { cause: String::new() }, 415),
            (AudioError::Truncated { cause: String::new() }, 400),
            (AudioError::Io(std::io::Error::other("/var/secret")), 500),
        ] {
            let error = ApiError::from(error);
            assert_eq!(error.status, status);
            assert!(!error.message.contains("secret"));
        }
    }
}
