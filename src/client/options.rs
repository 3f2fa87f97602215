//! What a client wants, to the request that opens its websocket. Invariant: the key stands in a header, and nowhere else.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, pem::PemObject};
use tokio_tungstenite::Connector;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::{HeaderValue, Uri, header::AUTHORIZATION};

use super::ClientError;
use crate::audio::SAMPLE_RATE_HZ;
use crate::protocol::realtime::Extension;

const ENDPOINT: &str = "/v1/realtime/translations";

/// What a stream is opened with.
#[derive(Clone)]
pub struct ClientOptions {
    /// `ws`, `wss`, `http` or `https`: the server, or its `/v1`, or the whole endpoint.
    pub url: String,
    /// API key.
    pub key: Option<String>,
    /// Name of the model.
    pub model: String,
    /// Lag of the wait-k policy; `None` takes the server's.
    pub k: Option<usize>,
    /// Source text is wanted too.
    pub transcript: bool,
    /// Events beyond OpenAI's.
    pub extensions: BTreeSet<Extension>,
    /// PEM file of the certificates to trust; `None` trusts the public authorities.
    pub ca_file: Option<PathBuf>,
    /// For everything until the stream is open.
    pub connect_timeout: Duration,
    /// For the server to take a message, and between two signs of its life.
    pub answer_timeout: Duration,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            url: "ws://127.0.0.1:8080".to_owned(),
            key: None,
            model: "en-de-small".to_owned(),
            k: None,
            transcript: false,
            extensions: BTreeSet::new(),
            ca_file: None,
            connect_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(30),
        }
    }
}

impl fmt::Debug for ClientOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, model, k, transcript, extensions, ca_file, .. } = self;
        let mut shown = f.debug_struct("ClientOptions");
        shown.field("url", url).field("model", model).field("k", k).field("transcript", transcript);
        shown.field("extensions", extensions).field("ca_file", ca_file).finish_non_exhaustive()
    }
}

impl ClientOptions {
    /// The upgrade's request.
    pub(super) fn request(&self) -> Result<Request, ClientError> {
        let endpoint = self.endpoint().map_err(|cause| ClientError::Url { url: self.url.clone(), cause })?;
        let mut request = endpoint.into_client_request().map_err(|error| ClientError::handshake(&self.url, error))?;
        if let Some(key) = &self.key {
            let mut value = HeaderValue::from_str(&format!("Bearer {key}")).map_err(|_| ClientError::Key)?;
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        Ok(request)
    }

    /// Whom to trust; `None` for the public authorities.
    pub(super) fn connector(&self) -> Result<Option<Connector>, ClientError> {
        let Some(path) = &self.ca_file else { return Ok(None) };
        let unusable = |cause: String| ClientError::CaFile { path: path.clone(), cause };
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unusable(error.to_string()))? {
            let added = roots.add(certificate.map_err(|error| unusable(error.to_string()))?);
            added.map_err(|error| unusable(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(unusable("it holds none".to_owned()));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = versions.map_err(|error| unusable(error.to_string()))?;
        Ok(Some(Connector::Rustls(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))))
    }

    fn endpoint(&self) -> Result<Uri, String> {
        let given: Uri = self.url.parse().map_err(|error| format!("{error}"))?;
        let scheme = match given.scheme_str() {
            Some("ws" | "http") => "ws",
            Some("wss" | "https") => "wss",
            Some(other) => return Err(format!("the scheme is {other}")),
            None => return Err("it has no scheme".to_owned()),
        };
        let authority = given.authority().ok_or("it has no host")?;
        let path = given.path().trim_end_matches('/');
        let base = path.strip_suffix(ENDPOINT).or_else(|| path.strip_suffix("/v1")).unwrap_or(path);

        let mut query = form_urlencoded::Serializer::new(given.query().unwrap_or_default().to_owned());
        query.append_pair("model", &self.model);
        query.append_pair("input_format", "pcm16").append_pair("rate", &SAMPLE_RATE_HZ.to_string());
        if let Some(k) = self.k {
            query.append_pair("k", &k.to_string());
        }
        if !self.extensions.is_empty() {
            let name = |extension| Some(serde_json::to_value(extension).ok()?.as_str()?.to_owned());
            let names: Vec<String> = self.extensions.iter().filter_map(name).collect();
            query.append_pair("ext", &names.join(","));
        }
        let query = query.finish();
        format!("{scheme}://{authority}{base}{ENDPOINT}?{query}").parse().map_err(|error| format!("{error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(url: &str) -> Result<String, ClientError> {
        let options = ClientOptions { url: url.to_owned(), ..ClientOptions::default() };
        options.request().map(|request| request.uri().to_string())
    }

    #[test]
    fn servers_bases_and_endpoints_are_understood() {
        let asked = "model=en-de-small&input_format=pcm16&rate=16000";
        for (url, expected) in [
            ("ws://127.0.0.1:8080", "ws://127.0.0.1:8080/v1/realtime/translations"),
            ("http://host:1/", "ws://host:1/v1/realtime/translations"),
            ("https://host/v1/", "wss://host/v1/realtime/translations"),
            ("wss://host/speech/v1", "wss://host/speech/v1/realtime/translations"),
            ("wss://host/v1/realtime/translations", "wss://host/v1/realtime/translations"),
        ] {
            assert_eq!(uri(url).unwrap(), format!("{expected}?{asked}"), "{url}");
        }
        assert_eq!(uri("ws://h?a=b").unwrap(), format!("ws://h/v1/realtime/translations?a=b&{asked}"));
        for url in ["", "host:80", "ftp://host", "ws://", "/v1"] {
            assert!(matches!(uri(url), Err(ClientError::Url { .. })), "{url:?} is no server");
        }
    }

    #[test]
    fn wishes_stand_in_the_url_and_the_key_in_a_header() {
        let options = ClientOptions {
            key: Some("secret-key".to_owned()),
            model: "a&b ü".to_owned(),
            k: Some(5),
            extensions: [Extension::Lag, Extension::GoAway].into(),
            ..ClientOptions::default()
        };
        let request = options.request().unwrap();
        let query = request.uri().query().unwrap();
        assert_eq!(query, "model=a%26b+%C3%BC&input_format=pcm16&rate=16000&k=5&ext=lag%2Cgo_away");
        assert_eq!(request.headers()[AUTHORIZATION], "Bearer secret-key");
        assert!(!format!("{options:?} {request:?}").contains("secret-key"), "a key was shown");
        let broken = ClientOptions { key: Some("a\nb".to_owned()), ..options };
        assert!(matches!(broken.request(), Err(ClientError::Key)));
    }

    #[test]
    fn certificates_that_cannot_be_read_are_named() {
        let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
        for ca_file in [path, "/nowhere.pem".into()] {
            let options = ClientOptions { ca_file: Some(ca_file.clone()), ..ClientOptions::default() };
            let error = options.connector().err().unwrap().to_string();
            assert!(error.contains(&ca_file.display().to_string()), "{error}");
        }
    }
}
