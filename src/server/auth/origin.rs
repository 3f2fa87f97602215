//! Which web pages may connect. CORS does not cover websockets: without this check any page that somebody visits could
//! use a server within their reach (cross-site websocket hijacking, CWE-1385).

use std::net::IpAddr;

use axum::http::uri::Authority;
use axum::http::{HeaderMap, header};

use super::AuthError;

/// Origins that may connect besides the server's own.
#[derive(Debug, Clone)]
pub struct Origins {
    allowed: Vec<String>,
}

impl Origins {
    /// `scheme://host` or `scheme://host:port`, as in a config that is valid.
    pub fn new(allowed: Vec<String>) -> Self {
        Self { allowed }
    }

    /// Lets in programs, which send no `Origin`, pages of the host that the request is for, and pages that are allowed.
    /// Where no key is asked for (`has_keys` is false), the host must be an address or `localhost`: a stranger's name can
    /// be made to mean this machine (DNS rebinding), and then the stranger's page is of the host that it asks.
    ///
    /// # Errors
    /// Any other page, and `null`, which is what sandboxed and local pages send.
    pub fn check(&self, headers: &HeaderMap, has_keys: bool) -> Result<(), AuthError> {
        let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
        let origin = String::from_utf8_lossy(origin.as_bytes());
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let host = host.filter(|host| has_keys || is_address_or_localhost(host));
        // The scheme is left out: behind a proxy that ends TLS the server does not know its own.
        let is_own =
            origin.split_once("://").is_some_and(|(_, page)| host.is_some_and(|h| h.eq_ignore_ascii_case(page)));
        if is_own || self.allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(&origin)) {
            return Ok(());
        }
        Err(AuthError::Origin(origin.into_owned()))
    }
}

/// An address or `localhost`, with or without a port: no name that somebody else could have given.
fn is_address_or_localhost(host: &str) -> bool {
    host.parse().is_ok_and(|host: Authority| {
        let host = host.host();
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        host.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_others_are_kept_out() {
        let origins = Origins::new(vec!["https://app.example.org".to_owned(), "http://localhost:3000".to_owned()]);
        for (origin, host, may) in [
            (None, Some("127.0.0.1:8080"), true),
            (Some("http://127.0.0.1:8080"), Some("127.0.0.1:8080"), true),
            (Some("https://talk.example.org"), Some("Talk.example.org"), true),
            (Some("https://app.example.org"), Some("127.0.0.1:8080"), true),
            (Some("HTTPS://App.Example.org"), Some("127.0.0.1:8080"), true),
            (Some("http://localhost:3000"), None, true),
            (Some("http://127.0.0.1:3000"), Some("127.0.0.1:8080"), false),
            (Some("http://localhost:8080"), Some("127.0.0.1:8080"), false),
            (Some("http://app.example.org"), Some("127.0.0.1:8080"), false),
            (Some("https://app.example.org.evil.net"), Some("127.0.0.1:8080"), false),
            (Some("https://evil.net"), Some("127.0.0.1:8080"), false),
            (Some("https://evil.net"), None, false),
            (Some("null"), Some("127.0.0.1:8080"), false),
            (Some(""), Some(""), false),
        ] {
            let mut headers = HeaderMap::new();
            origin.map(|origin| headers.insert(header::ORIGIN, origin.parse().unwrap()));
            host.map(|host| headers.insert(header::HOST, host.parse().unwrap()));
            assert_eq!(origins.check(&headers, true).is_ok(), may, "{origin:?} at {host:?}");
        }
    }

    #[test]
    fn without_keys_no_name_is_our_own_but_localhost() {
        let origins = Origins::new(vec!["https://app.example.org".to_owned()]);
        for (origin, host, may) in [
            (None, "evil.net:8080", true),
            (Some("http://127.0.0.1:8080"), "127.0.0.1:8080", true),
            (Some("http://[::1]:8080"), "[::1]:8080", true),
            (Some("http://192.168.1.7"), "192.168.1.7", true),
            (Some("http://LocalHost:8080"), "localhost:8080", true),
            (Some("https://app.example.org"), "app.example.org", true),
            (Some("http://evil.net:8080"), "evil.net:8080", false),
            (Some("http://localhost.evil.net:8080"), "localhost.evil.net:8080", false),
            (Some("http://127.0.0.1.evil.net"), "127.0.0.1.evil.net", false),
            (Some("http://localhost@evil.net"), "localhost@evil.net", false),
            (Some("http://localhost:8080"), "127.0.0.1:8080", false),
            (Some("http://[::1"), "[::1", false),
            (Some("http://"), "", false),
        ] {
            let mut headers = HeaderMap::new();
            origin.map(|origin| headers.insert(header::ORIGIN, origin.parse().unwrap()));
            headers.insert(header::HOST, host.parse().unwrap());
            assert_eq!(origins.check(&headers, false).is_ok(), may, "{origin:?} at {host:?}");
        }
    }
}
