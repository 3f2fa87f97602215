//! What every handler shares, and the gate that each stream and recording passes before anything is promised to it.
//!
//! Invariant: whoever passed holds a place of the engine's and one of the key's, and gives both back by being dropped.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::RequestExt;
use axum::body::Bytes;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use rand::random;
use serde::Serialize;
use tokio::time::timeout;
use utoipa::ToSchema;

use super::auth::{self, Keys, Origins, Principal};
use super::error::{ApiError, RETRY_AFTER_S};
use super::shutdown::Shutdown;
use super::slots::{Slot, Slots};
use crate::config::{Config, KeyHash};
use crate::engine::{Engine, OpenError, Pace, StreamEvents, StreamInput};
use crate::protocol::SessionInfo;
use crate::session::SessionConfig;
use crate::telemetry::{Active, Metrics, Rejection};

/// A session without an end still says when it ends: in ten years.
const NEVER_S: u64 = 10 * 365 * 24 * 3600;

/// The model that is served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ModelInfo {
    /// Its name: the bundle's folder.
    #[serde(rename = "id")]
    pub name: String,
    /// Names the bundle's contents.
    pub bundle: String,
    /// ISO 639-1.
    pub source_language: String,
    /// ISO 639-1.
    pub target_language: String,
    /// When it was loaded, in seconds since 1970.
    #[serde(rename = "created")]
    pub loaded_at: u64,
}

/// What every handler shares. A clone is the same one.
#[derive(Debug, Clone)]
pub struct App(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    engine: Engine,
    /// Reads, if the model can.
    text: Option<Engine>,
    model: ModelInfo,
    config: Config,
    keys: Keys,
    origins: Origins,
    by_key: Slots<KeyHash>,
    metrics: Metrics,
    shutdown: Shutdown,
}

/// A place, and who has it.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) input: StreamInput,
    pub(super) events: StreamEvents,
    pub(super) info: SessionInfo,
    pub(super) place: Place,
}

/// Given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    _share: Slot<KeyHash>,
    _active: Active,
    _stream: Option<Active>,
}

impl App {
    /// Puts the parts together; `text` is the engine that reads.
    pub fn new(
        engine: Engine,
        text: Option<Engine>,
        model: ModelInfo,
        config: Config,
        metrics: Metrics,
        shutdown: Shutdown,
    ) -> Self {
        let keys = Keys::new(config.auth.keys.clone());
        let origins = Origins::new(config.server.allowed_origins.clone());
        let by_key = Slots::new(config.auth.max_sessions_per_key);
        metrics.max_streams.set(config.model.max_sessions as i64);
        Self(Arc::new(Shared { engine, text, model, config, keys, origins, by_key, metrics, shutdown }))
    }

    pub(super) fn config(&self) -> &Config {
        &self.0.config
    }

    pub(super) fn model(&self) -> &ModelInfo {
        &self.0.model
    }

    /// Whether the model can read.
    pub(super) fn reads(&self) -> bool {
        self.0.text.is_some()
    }

    pub(super) fn keys(&self) -> &Keys {
        &self.0.keys
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    pub(super) fn shutdown(&self) -> &Shutdown {
        &self.0.shutdown
    }

    /// That the page which a request comes from, if any, may connect; `has_keys` if it has to send one as well.
    pub(super) fn check_origin(&self, headers: &HeaderMap, has_keys: bool) -> Result<(), ApiError> {
        Ok(self.0.origins.check(headers, has_keys).inspect_err(|_| self.reject(Rejection::Origin))?)
    }

    /// Whom a request comes from.
    pub(super) fn authenticate(&self, headers: &HeaderMap) -> Result<Principal, ApiError> {
        self.check_origin(headers, self.0.keys.are_asked_for())?;
        let principal = self.0.keys.authenticate(auth::key(headers), now_s());
        Ok(principal.inspect_err(|_| self.reject(Rejection::Unauthorized))?)
    }

    /// A whole body, no larger than its route allows, which has to be there within the idle limit. Not an extractor: those
    /// run before anybody has asked for a key.
    pub(super) async fn body(&self, request: Request) -> Result<Bytes, ApiError> {
        let limit = Duration::from_millis(self.0.config.server.idle_timeout_ms);
        match timeout(limit, request.extract::<Bytes, _>()).await {
            Ok(Ok(body)) => Ok(body),
            Ok(Err(error)) if error.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                Err(ApiError::too_large(error.body_text()))
            }
            Ok(Err(error)) => Err(ApiError::invalid(None, error.body_text())),
            Err(_) => Err(ApiError::timeout("the body came too slowly")),
        }
    }

    /// The model that a request names, which must be the one that is served.
    pub(super) fn check_model(&self, name: Option<&str>) -> Result<(), ApiError> {
        match name {
            Some(name) if name != self.0.model.name => Err(ApiError::no_model(name)),
            _ => Ok(()),
        }
    }

    /// Languages that a request names, which must be the model's. Regions are ignored: `de-AT` is `de`.
    pub(super) fn check_languages(&self, source: Option<&str>, target: Option<&str>) -> Result<(), ApiError> {
        let model = &self.0.model;
        let wanted = [("language", source, &model.source_language), ("to_language", target, &model.target_language)];
        for (param, wanted, allowed) in wanted {
            let Some(wanted) = wanted else { continue };
            let language = wanted.split(['-', '_']).next().unwrap_or_default();
            if !language.eq_ignore_ascii_case(allowed) {
                let message = format!("{param} is {wanted:?}, allowed is {allowed:?} with the model {}", model.name);
                return Err(ApiError::invalid(Some(param), message));
            }
        }
        Ok(())
    }

    /// Whether a live stream could be opened for `principal`, which takes no place.
    pub(super) fn room(&self, principal: &Principal) -> Result<(), ApiError> {
        if !self.0.by_key.has_room(&principal.key) {
            return Err(self.no_share());
        }
        self.0.engine.room(Pace::Live).map_err(refused)
    }

    /// Opens a stream for `principal`, or says why not.
    pub(super) fn admit(&self, principal: &Principal, config: SessionConfig, pace: Pace) -> Result<Admitted, ApiError> {
        self.admit_to(&self.0.engine, principal, config, pace)
    }

    /// The same of one that reads.
    pub(super) fn admit_text(
        &self,
        principal: &Principal,
        config: SessionConfig,
        pace: Pace,
    ) -> Result<Admitted, ApiError> {
        let unable = || ApiError::not_found(format!("the model {} does not read text", self.0.model.name));
        self.admit_to(self.0.text.as_ref().ok_or_else(unable)?, principal, config, pace)
    }

    fn admit_to(
        &self,
        engine: &Engine,
        principal: &Principal,
        config: SessionConfig,
        pace: Pace,
    ) -> Result<Admitted, ApiError> {
        let share = self.share(principal).inspect_err(|_| self.reject(Rejection::Share))?;
        let opened = engine.open(config, pace).inspect_err(|error| match error {
            OpenError::Full(_) => self.reject(Rejection::Capacity),
            OpenError::Stopping => self.reject(Rejection::Draining),
            OpenError::Session(_) => {}
        });
        let (input, events) = opened.map_err(refused)?;
        let metrics = &self.0.metrics;
        let stream = (pace == Pace::Live).then(|| metrics.stream());
        let place = Place { _share: share, _active: metrics.session(), _stream: stream };
        Ok(Admitted { input, events, info: self.session_info(), place })
    }

    /// How much longer a server that has begun to stop waits for its streams.
    pub(super) fn drain_left_ms(&self) -> u64 {
        let shared = &self.0;
        let waited_ms = shared.shutdown.begun_for().as_millis() as u64;
        shared.config.server.drain_timeout_ms.saturating_sub(waited_ms)
    }

    /// What a session that is opened now is.
    pub(super) fn session_info(&self) -> SessionInfo {
        let model = &self.0.model;
        let created_at = now_s();
        let longest_s = match self.0.config.server.max_session_ms {
            0 => NEVER_S,
            ms => Duration::from_millis(ms).as_secs(),
        };
        SessionInfo {
            id: format!("sess_{:032x}", random::<u128>()),
            model: model.name.clone(),
            bundle: model.bundle.clone(),
            source_language: model.source_language.clone(),
            target_language: model.target_language.clone(),
            created_at,
            expires_at: created_at + longest_s,
        }
    }

    /// One of the places that a key may have.
    fn share(&self, principal: &Principal) -> Result<Slot<KeyHash>, ApiError> {
        self.0.by_key.acquire(principal.key).ok_or_else(|| self.no_share())
    }

    fn no_share(&self) -> ApiError {
        let most = self.0.config.auth.max_sessions_per_key;
        ApiError::too_many(format!("this key has {most} streams, no more are allowed"), RETRY_AFTER_S)
    }

    fn reject(&self, reason: Rejection) {
        self.0.metrics.session_rejected(reason);
    }
}

fn refused(error: OpenError) -> ApiError {
    match error {
        OpenError::Full(_) | OpenError::Stopping => ApiError::unavailable(error.to_string(), RETRY_AFTER_S),
        OpenError::Session(error) => ApiError::invalid(None, error.to_string()),
    }
}

/// Seconds since 1970.
pub(super) fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
