//! `GET /v1/models` and `/v1/models/{id}`, as OpenAI answers them; `POST …/client_secrets`, keys for web pages.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::app::{App, now_s};
use super::error::ApiError;
use crate::protocol::realtime::{ErrorBody, SecretRequest};

/// `GET /v1/models`
pub(super) async fn list(State(app): State<App>, headers: HeaderMap) -> Result<Json<Value>, ApiError> {
    app.authenticate(&headers)?;
    Ok(Json(json!({ "object": "list", "data": [describe(&app)] })))
}

/// `GET /v1/models/{id}`
pub(super) async fn retrieve(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, ApiError> {
    app.authenticate(&headers)?;
    app.check_model(Some(&id))?;
    Ok(Json(describe(&app)))
}

fn describe(app: &App) -> Value {
    let model = app.model();
    json!({
        "id": model.name,
        "object": "model",
        "created": model.loaded_at,
        "owned_by": "decalage",
        "bundle": model.bundle,
        "source_language": model.source_language,
        "target_language": model.target_language,
    })
}

/// `POST /v1/realtime/translations/client_secrets`
pub(super) async fn client_secret(
    State(app): State<App>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ApiError> {
    let principal = app.authenticate(&headers)?;
    let request = SecretRequest::parse(&body).map_err(invalid)?;
    app.check_model(Some(&request.model))?;
    let info = app.session_info();
    let key = app.keys().make_ephemeral(&principal, Some(request.seconds), now_s())?;
    Ok(Json(request.respond(key.value, &info).map_err(invalid)?).into_response())
}

fn invalid(error: ErrorBody) -> ApiError {
    ApiError::invalid(None, error.message)
}
