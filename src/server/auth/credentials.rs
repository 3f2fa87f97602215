//! Where clients put their key: the header `Authorization`, or, as browsers cannot set it on a websocket, among the
//! subprotocols.

use axum::http::{HeaderMap, header};

/// The subprotocols that the server may choose, to be given to `WebSocketUpgrade::protocols`: names only. What stands
/// beside them is a key, which the answer must not repeat.
pub const SUBPROTOCOLS: [&str; 3] = ["realtime", "token", "bearer"];

/// The key of a request: `Authorization: Bearer KEY` (RFC 6750) or `Token KEY`; else one of the subprotocols
/// `openai-insecure-api-key.KEY`, or the one that follows `token` or `bearer`.
pub fn key(headers: &HeaderMap) -> Option<&str> {
    let key = authorization(headers).or_else(|| subprotocol(headers));
    key.filter(|key| !key.is_empty())
}

fn authorization(headers: &HeaderMap) -> Option<&str> {
    let (scheme, key) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.trim().split_once(' ')?;
    is_scheme(scheme).then(|| key.trim())
}

fn subprotocol(headers: &HeaderMap) -> Option<&str> {
    let lines = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|line| line.to_str().ok());
    let mut offered = lines.flat_map(|line| line.split(',')).map(str::trim);
    loop {
        let name = offered.next()?;
        if let Some(key) = name.strip_prefix("openai-insecure-api-key.") {
            return Some(key);
        }
        if is_scheme(name) {
            return offered.next();
        }
    }
}

fn is_scheme(name: &str) -> bool {
    name.eq_ignore_ascii_case("bearer") || name.eq_ignore_ascii_case("token")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_key_is_found_wherever_clients_put_it() {
        let (auth, protocol) = ("authorization", "sec-websocket-protocol");
        for (lines, expected) in [
            (&[(auth, "Bearer sk-1")][..], Some("sk-1")),
            (&[(auth, "token  sk-1 ")], Some("sk-1")),
            (&[(auth, "BEARER sk-1")], Some("sk-1")),
            (&[(protocol, "realtime, openai-insecure-api-key.sk-1, openai-beta.realtime-v1")], Some("sk-1")),
            (&[(protocol, "token, sk-1")], Some("sk-1")),
            (&[(protocol, "token"), (protocol, "sk-1")], Some("sk-1")),
            (&[(protocol, "bearer,sk-1")], Some("sk-1")),
            (&[(auth, "Bearer sk-1"), (protocol, "token, sk-2")], Some("sk-1")),
            (&[(auth, "Basic c2s6MQ=="), (protocol, "token, sk-2")], Some("sk-2")),
            (&[(auth, "Basic c2s6MQ==")], None),
            (&[(auth, "sk-1")], None),
            (&[(auth, "Bearer ")], None),
            (&[(protocol, "token")], None),
            (&[(protocol, "realtime, sk-1")], None),
            (&[(protocol, "openai-insecure-api-key.")], None),
            (&[], None),
        ] {
            assert_eq!(key(&headers(lines)), expected, "{lines:?}");
        }
    }
}
