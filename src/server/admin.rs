//! What whoever runs the server asks it: `/health`, `/ready`, `/metrics`. Invariant: none of them waits for anything, and
//! none tells what was said or who said it.

use axum::{
    Json, Router,
    extract::{MatchedPath, Request, State},
    http::{StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;
use tokio::sync::watch;
use utoipa::ToSchema;

use super::{error::ApiError, shutdown::Shutdown};
use crate::telemetry::{Metrics, OPENMETRICS};

/// What the routes look at.
#[derive(Debug, Clone)]
pub struct Admin {
    /// What a scrape is told.
    pub metrics: Metrics,
    /// False where the process should be started anew: the model keeps failing.
    pub healthy: watch::Receiver<bool>,
    /// Whether the server stops.
    pub shutdown: Shutdown,
}

/// `/health`: is the process in order; `/ready`: should it be sent clients; `/metrics`: OpenMetrics text.
pub fn routes(admin: Admin) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .with_state(admin)
}

/// One word.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Status {
    status: &'static str,
}

/// Whether the process is in order
#[utoipa::path(get, path = "/health", security(()), responses(
    (status = 200, description = "`ok`", body = Status),
    (status = 503, description = "`failing`: the model fails again and again, start the process anew", body = Status),
))]
pub(super) async fn health(State(admin): State<Admin>) -> impl IntoResponse {
    match *admin.healthy.borrow() {
        true => status(StatusCode::OK, "ok"),
        false => status(StatusCode::SERVICE_UNAVAILABLE, "failing"),
    }
}

/// Whether it should be sent clients
#[utoipa::path(get, path = "/ready", security(()), responses(
    (status = 200, description = "`ready`", body = Status),
    (status = 503, description = "`failing`, or `draining`: the server stops", body = Status),
))]
pub(super) async fn ready(State(admin): State<Admin>) -> impl IntoResponse {
    if admin.shutdown.has_begun() {
        return status(StatusCode::SERVICE_UNAVAILABLE, "draining");
    }
    match *admin.healthy.borrow() {
        true => status(StatusCode::OK, "ready"),
        false => status(StatusCode::SERVICE_UNAVAILABLE, "failing"),
    }
}

fn status(code: StatusCode, status: &'static str) -> impl IntoResponse {
    (code, Json(Status { status }))
}

/// What Prometheus scrapes
#[utoipa::path(get, path = "/metrics", security(()), responses(
    (status = 200, description = "OpenMetrics", body = String, content_type = "application/openmetrics-text"),
))]
pub(super) async fn metrics(State(admin): State<Admin>) -> Response {
    match admin.metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(error) => ApiError::internal(&error).into_response(),
    }
}

/// Counts a request by the pattern that it matched; a layer for `axum::middleware::from_fn_with_state`.
pub async fn count_request(State(metrics): State<Metrics>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    metrics.request(route.as_ref().map_or("none", MatchedPath::as_str), response.status().as_u16());
    response
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, body::to_bytes, middleware::from_fn_with_state};
    use tower::ServiceExt;

    use super::*;

    async fn ask(router: &Router, path: &str) -> (u16, String) {
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn health_and_readiness_follow_what_is_reported() {
        let (failing, healthy) = watch::channel(true);
        let shutdown = Shutdown::new();
        let metrics = Metrics::new();
        let admin = Admin { metrics, healthy, shutdown: shutdown.clone() };
        let router = routes(admin);

        assert_eq!(ask(&router, "/health").await, (200, r#"{"status":"ok"}"#.to_owned()));
        assert_eq!(ask(&router, "/ready").await, (200, r#"{"status":"ready"}"#.to_owned()));
        failing.send(false).unwrap();
        for path in ["/health", "/ready"] {
            assert_eq!(ask(&router, path).await, (503, r#"{"status":"failing"}"#.to_owned()));
        }
        shutdown.begin();
        assert_eq!(ask(&router, "/ready").await, (503, r#"{"status":"draining"}"#.to_owned()));
    }

    #[tokio::test]
    async fn requests_are_counted_by_pattern_whatever_paths_clients_think_of() {
        let metrics = Metrics::new();
        let router = Router::new()
            .route("/v1/models/{id}", get(|| async { StatusCode::NOT_FOUND }))
            .layer(from_fn_with_state(metrics.clone(), count_request));
        for path in ["/v1/models/a", "/v1/models/b", "/v2"] {
            ask(&router, path).await;
        }
        let text = metrics.encode().unwrap();
        assert!(text.contains(r#"http_requests_total{route="/v1/models/{id}",status="404"} 2"#), "{text}");
        assert!(text.contains(r#"http_requests_total{route="none",status="404"} 1"#), "{text}");
    }
}
