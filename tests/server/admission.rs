//! Who gets in, who is told why not, and that whoever leaves leaves nothing behind.

use std::time::Duration;

use decalage::config::KeyHash;
use futures_util::StreamExt;
use futures_util::stream::iter;
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::Message;

use crate::client::*;
use crate::support::*;

const KEY: &str = "sk-a-key-of-this-test";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_are_refused_before_the_upgrade() {
    let mut config = config();
    config.auth.keys = vec![KeyHash::of(KEY)];
    config.server.allowed_origins = vec!["https://app.example.org".to_owned()];
    let server = start(config).await;
    let bearer = format!("Bearer {KEY}");
    let token = format!("Token {KEY}");
    let protocols = format!("realtime, openai-insecure-api-key.{KEY}");
    let wrong = format!("Bearer {KEY}x");
    for (headers, status) in [
        (&[][..], 401),
        (&[("authorization", wrong.as_str())], 401),
        (&[("cookie", bearer.as_str())], 401),
        (&[("authorization", &bearer), ("origin", "https://evil.example.org")], 403),
        (&[("authorization", &bearer), ("origin", "null")], 403),
        (&[("authorization", &bearer), ("origin", "https://app.example.org")], 101),
        (&[("authorization", &bearer)], 101),
        (&[("authorization", &token)], 101),
        (&[("sec-websocket-protocol", &protocols)], 101),
    ] {
        for (path, end) in both() {
            let answer = ask(&server, &path, headers).await;
            match answer {
                Err(refusal) => {
                    assert_eq!(refusal.status(), status, "{path} {headers:?}");
                    assert_eq!(refusal.headers().contains_key("www-authenticate"), status == 401);
                    assert!(!refusal.body().contains("sk-a-key"), "{}", refusal.body());
                    assert!(refusal.body().starts_with(r#"{"error":{"#), "{}", refusal.body());
                }
                Ok(socket) => {
                    assert_eq!(101, status, "{path} {headers:?}");
                    converse(socket, vec![Message::text(end)]).await.assert_said("");
                }
            }
        }
    }
    server.metric("decalage_sessions_rejected_total{reason=\"unauthorized\"} 6").await;
    server.metric("decalage_sessions_rejected_total{reason=\"origin\"} 4").await;
    server.metric("decalage_sessions_opened_total 8").await;
    server.empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_served_is_refused_before_the_upgrade() {
    let server = start(config()).await;
    for (path, status) in [
        ("/v1/realtime/translations", 400),
        ("/v1/realtime/translations?model=whisper-1", 404),
        ("/v1/realtime/translations?model=en-de-scripted&k=0", 400),
        ("/v1/realtime/translations?model=en-de-scripted&k=99999999999999999999", 400),
        ("/v1/realtime/translations?model=en-de-scripted&rate=7999", 400),
        ("/v1/realtime/translations?model=en-de-scripted&intent=transcription", 400),
        ("/v1/realtime/translations?model=en-de-scripted&channels=%00", 400),
        ("/v1/listen?encoding=linear16", 400),
        ("/v1/listen?language=fr", 400),
        ("/v1/speak", 404),
    ] {
        assert_eq!(ask(&server, path, &[]).await.unwrap_err().status(), status, "{path}");
    }
    let plain = format!("GET {} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", native(3));
    assert_eq!(server.http(plain.as_bytes()).await.status, 400);
    server.metric("decalage_sessions_opened_total 0").await;
    server.empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_finds_no_place_is_told_when_to_come_again() {
    let mut config = config();
    config.auth.keys = vec![KeyHash::of(KEY), KeyHash::of("sk-another-key")];
    config.auth.max_sessions_per_key = 2;
    config.model.max_sessions = 3;
    let server = start(config).await;
    let mine = [("authorization", format!("Bearer {KEY}"))];
    let mine = mine.each_ref().map(|(name, value)| (*name, value.as_str()));
    let other = [("authorization", "Bearer sk-another-key")];

    let mut first = ask(&server, &native(3), &mine).await.unwrap();
    let second = ask(&server, DEEPGRAM, &mine).await.unwrap();
    let refusal = ask(&server, &native(3), &mine).await.unwrap_err();
    assert_eq!((refusal.status().as_u16(), &refusal.headers()["retry-after"]), (429, &"5".parse().unwrap()));
    assert!(refusal.body().contains("rate_limit_exceeded"), "{}", refusal.body());
    let third = ask(&server, &native(3), &other).await.unwrap();
    let refusal = ask(&server, DEEPGRAM, &other).await.unwrap_err();
    assert_eq!((refusal.status().as_u16(), &refusal.headers()["retry-after"]), (503, &"5".parse().unwrap()));
    assert!(refusal.body().contains("overloaded"), "{}", refusal.body());
    // A page, which is not told why an upgrade was refused, asks without one: nobody is counted as refused for it.
    for (key, status) in [(mine[0].1, 429), (other[0].1, 503)] {
        let path = native(3);
        let plain = format!("GET {path} HTTP/1.1\r\nhost: a\r\nauthorization: {key}\r\nconnection: close\r\n\r\n");
        let answer = server.http(plain.as_bytes()).await;
        assert_eq!(answer.status, status);
        assert!(answer.head.contains("retry-after: 5"), "{}", answer.head);
    }
    server.metric("decalage_streams 3").await;
    server.metric("decalage_max_streams 3").await;
    server.metric("decalage_sessions_rejected_total{reason=\"share\"} 1").await;
    server.metric("decalage_sessions_rejected_total{reason=\"capacity\"} 1").await;

    // Whoever is in is served, and places come back from the middle of a word.
    send(&mut first, utterance().chunks(CHUNK_BYTES).map(binary)).await;
    await_event(&mut first, of_type("session.output_transcript.delta")).await;
    drop(first);
    server.metric("decalage_sessions 2").await;
    let again = await_place(&server, &native(3), &mine).await;
    for socket in [again, third] {
        converse(socket, speech(dialogue(), CHUNK_BYTES, CLOSE)).await.assert_said(&said(3, dialogue()));
    }
    drop(second);
    server.empty().await;
}

/// The engine takes a place back a little after its client has gone.
async fn await_place(server: &Server, path: &str, headers: &[(&'static str, &str)]) -> Socket {
    loop {
        match ask(server, path, headers).await {
            Ok(socket) => return socket,
            Err(refusal) => assert_eq!(refusal.status(), 503),
        }
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_hundred_sessions_leave_nothing() {
    let server = start(config()).await;
    let short = pcm(&[(true, 400), (false, 100)]);
    let expected = said(3, &short);
    let session = |number: usize| {
        let (server, short, expected) = (&server, &short, &expected);
        async move {
            let (path, end) = &both()[number % 2];
            let mut socket = await_place(server, path, &[]).await;
            match number / 2 % 6 {
                0 => drop(socket),
                1 => send(&mut socket, [binary(short)]).await,
                2 => socket.close(None).await.unwrap(),
                // Not waited for.
                3 => send(&mut socket, speech(short, 999, end)).await,
                4 => send(&mut socket, [Message::text("garbage"), binary(&[0; 3])]).await,
                _ => converse(socket, speech(short, 999, end)).await.assert_said(expected),
            }
        }
    };
    iter(0..300).map(session).buffer_unordered(12).collect::<Vec<()>>().await;
    server.empty().await;
    server.metric("decalage_sessions_opened_total 300").await;
}
