//! The handlers' own descriptions to one OpenAPI 3.1 document, `GET /openapi.json`. Invariant: it names every route of
//! the main listener and no other, but for the files of the web page.
//!
//! What travels over websockets is described by `proto/`; the native dialect's schema is a part of the document.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use serde_json::{Value, json};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, HeaderBuilder, ObjectBuilder, RefOr, Response, ResponseBuilder, schema::Type};
use utoipa::{IntoResponses, Modify, OpenApi, PartialSchema, ToSchema};

use super::error::ApiError;
use super::{admin, models, recordings, text, ws};

#[derive(OpenApi)]
#[openapi(
    info(description = "Simultaneous speech translation: audio in, committed text in another language out. Keys are \
        asked for only where the server has some. Browsers, which cannot set headers on websockets, send the key as a \
        subprotocol: `openai-insecure-api-key.KEY`, or `token, KEY`. A socket beyond the server's limits has any \
        request answered with 429 or 503 and is closed."),
    paths(
        ws::realtime, ws::deepgram, recordings::translate, text::translate, models::client_secret, models::list,
        models::retrieve, admin::health, admin::ready, admin::metrics, openapi,
    ),
    components(schemas(ApiError)),
    security(("key" = [])),
    modifiers(&Keys),
)]
struct Document;

/// How keys are sent.
struct Keys;

impl Modify for Keys {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        document.components.get_or_insert_default().add_security_scheme("key", SecurityScheme::Http(bearer));
    }
}

/// An [`ApiError`] as an answer of this status; for the `responses` of handlers.
pub(super) struct Fails<const STATUS: u16>;

impl<const STATUS: u16> IntoResponses for Fails<STATUS> {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let description = match STATUS {
            400 => "The request cannot be understood, or a value is not allowed: the message says what is",
            401 => "No key, or none that is known",
            403 => "A web page of another host, or an ephemeral key that may not do this",
            404 => "No such model",
            408 => "The body came too slowly",
            413 => "More bytes, or longer audio, than is allowed",
            415 => "Audio in a format that is not known",
            426 => "The connection cannot become a websocket",
            429 => "The key has all that it may have",
            503 => "All places are taken, or the server stops",
            _ => "The server failed; the cause is in its log",
        };
        let error = utoipa::openapi::Ref::from_schema_name(ApiError::name());
        let body = ObjectBuilder::new().property("error", error).required("error");
        let mut response = ResponseBuilder::new()
            .description(description)
            .content("application/json", ContentBuilder::new().schema(Some(body)).build());
        if [429, 503].contains(&STATUS) {
            let seconds = ObjectBuilder::new().schema_type(Type::Integer);
            let header = HeaderBuilder::new().schema(seconds).description(Some("Seconds after which to ask again"));
            response = response.header("Retry-After", header.build());
        }
        if STATUS == 401 {
            response = response.header("WWW-Authenticate", HeaderBuilder::new().schema(String::schema()).build());
        }
        [(STATUS.to_string(), response.build().into())].into()
    }
}

/// This document
#[utoipa::path(get, path = "/openapi.json", security(()), responses(
    (status = 200, description = "OpenAPI 3.1", body = Value),
))]
pub(super) async fn openapi() -> impl IntoResponse {
    static TEXT: LazyLock<String> = LazyLock::new(|| document().to_string());
    ([(CONTENT_TYPE, "application/json")], TEXT.as_str())
}

fn document() -> Value {
    let mut document = json!(Document::openapi());
    // The native dialect's messages, whose schema exists: its references need the place where they come to stand.
    let native = include_str!("../../proto/realtime.schema.json");
    let native = native.replace("\"#/$defs/", "\"#/components/schemas/Realtime/$defs/");
    document["components"]["schemas"]["Realtime"] = serde_json::from_str(&native).unwrap_or_default();
    document
}

#[cfg(test)]
mod tests;
