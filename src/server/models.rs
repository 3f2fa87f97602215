//! `GET /v1/models` and `/v1/models/{id}`, as OpenAI answers them; `POST …/client_secrets`, keys for web pages.

use std::borrow::Cow;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::HeaderMap;
use serde::Serialize;
use utoipa::ToSchema;

use super::app::{App, ModelInfo, now_s};
use super::error::ApiError;
use super::openapi::Fails;
use crate::protocol::realtime::{ErrorBody, SecretRequest, SecretResponse};

/// A model, as OpenAI describes one, and its languages.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Model {
    object: &'static str,
    owned_by: &'static str,
    #[serde(flatten)]
    info: ModelInfo,
    /// What it translates: `audio`, and `text` if it can read.
    input_modalities: &'static [&'static str],
}

/// All models.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Models {
    object: &'static str,
    data: Vec<Model>,
}

/// The model that is served, as a list
#[utoipa::path(get, path = "/v1/models", operation_id = "list_models", responses(
    (status = 200, description = "One model", body = Models), Fails<401>, Fails<403>,
))]
pub(super) async fn list(State(app): State<App>, headers: HeaderMap) -> Result<Json<Models>, ApiError> {
    app.authenticate(&headers)?;
    Ok(Json(Models { object: "list", data: vec![describe(&app)] }))
}

/// One model
#[utoipa::path(get, path = "/v1/models/{id}", operation_id = "retrieve_model",
    params(("id" = String, Path, description = "Its name")),
    responses((status = 200, description = "The model", body = Model), Fails<401>, Fails<403>, Fails<404>),
)]
pub(super) async fn retrieve(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Model>, ApiError> {
    app.authenticate(&headers)?;
    app.check_model(Some(&id))?;
    Ok(Json(describe(&app)))
}

fn describe(app: &App) -> Model {
    let input_modalities: &[&str] = if app.reads() { &["audio", "text"] } else { &["audio"] };
    Model { object: "model", owned_by: "decalage", info: app.model().clone(), input_modalities }
}

/// A key that expires, for a web page
///
/// Sessions of the native dialect that are opened with it begin with the settings that it was made for.
#[utoipa::path(post, path = "/v1/realtime/translations/client_secrets",
    request_body(content = ref("#/components/schemas/Realtime/$defs/client_secret_request")),
    responses(
        (status = 200, description = "The key, which is shown only here",
            body = ref("#/components/schemas/Realtime/$defs/client_secret_response")),
        Fails<400>, Fails<401>, Fails<403>, Fails<404>, Fails<408>, Fails<413>, Fails<429>, Fails<500>,
    ),
)]
pub(super) async fn client_secret(State(app): State<App>, request: Request) -> Result<Json<SecretResponse>, ApiError> {
    let principal = app.authenticate(request.headers())?;
    let request = SecretRequest::parse(&app.body(request).await?).map_err(invalid)?;
    app.check_model(Some(&request.model))?;
    let session = request.preview(&app.session_info()).map_err(invalid)?;
    // Last: a key is made only for what will be accepted.
    let key = app.keys().make_ephemeral(&principal, request.seconds, request.session, now_s())?;
    Ok(Json(SecretResponse { value: key.value, expires_at: key.expires_at_s, session }))
}

fn invalid(error: ErrorBody) -> ApiError {
    ApiError { param: error.param.map(Cow::Owned), ..ApiError::invalid(None, error.message) }
}
