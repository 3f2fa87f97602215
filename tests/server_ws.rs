//! Websockets from outside: the text is that of a session, whatever the client and its neighbours do.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used)] // a test may fail where it stands

#[path = "server/client.rs"]
mod client;
#[allow(dead_code)] // recordings are asked for by another test
#[path = "server/support.rs"]
mod support;

#[path = "server/abuse.rs"]
mod abuse;
#[path = "server/admission.rs"]
mod admission;
#[path = "server/ending.rs"]
mod ending;

use client::*;
use decalage::policy::PolicyKind;
use futures_util::future::join_all;
use support::*;
use tokio_tungstenite::tungstenite::Message;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_split_says_what_a_session_says() {
    let server = start(config()).await;
    let expected = said(3, dialogue());
    assert!(expected.split(' ').count() > 5, "{expected}");
    for (path, end) in both() {
        for size in [7, 317, CHUNK_BYTES, 50_000] {
            stream(&server, &path, dialogue(), size, end).await.assert_said(&expected);
        }
    }
    let base64 = dialogue().chunks(CHUNK_BYTES).map(append).chain([Message::text(CLOSE)]);
    converse(open(&server, &native(3)).await, base64.collect()).await.assert_said(&expected);
    server.empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn single_bytes_will_do() {
    let server = start(config()).await;
    let audio = pcm(&[(true, 900), (false, 100)]);
    let expected = said(3, &audio);
    for (path, end) in both() {
        stream(&server, &path, &audio, 1, end).await.assert_said(&expected);
    }
    assert!(!expected.is_empty());
}

/// WebM as a browser's MediaRecorder makes it, without lengths and in whatever pieces.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_s_recording_says_what_its_file_says() {
    let server = start(config()).await;
    let webm = include_bytes!("fixtures/audio/opus-live.webm");
    let expected = text(&alone(PolicyKind::WaitK { k: 3 }, webm.to_vec()));
    assert!(!expected.is_empty());
    let native = format!("/v1/realtime/translations?model={MODEL}&input_format=webm");
    for (path, end) in [(native.as_str(), CLOSE), ("/v1/listen", CLOSE_STREAM)] {
        for size in [11, 317, webm.len()] {
            stream(&server, path, webm, size, end).await.assert_said(&expected);
        }
    }
    server.empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_side_by_side_say_what_each_says_alone() {
    let server = start(config()).await;
    let expected: Vec<String> = (0..5).map(|k| said(k.max(1), dialogue())).collect();
    let streams = (0..32).map(|number| {
        let (server, expected) = (&server, &expected);
        async move {
            let size = 2 * (500 + 211 * number);
            if number % 2 == 0 {
                let k = 1 + number / 2 % 4;
                stream(server, &native(k), dialogue(), size, CLOSE).await.assert_said(&expected[k]);
            } else {
                stream(server, DEEPGRAM, dialogue(), size, CLOSE_STREAM).await.assert_said(&expected[3]);
            }
        }
    });
    join_all(streams).await;
    server.empty().await;
    server.metric("decalage_sessions_opened_total 32").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_understood_is_answered_and_changes_nothing() {
    let server = start(config()).await;
    let nested = "[".repeat(10_000);
    let long_id = format!(r#"{{"event_id":"{}","type":"session.close"}}"#, "x".repeat(513));
    let garbage = [
        "",
        "session.close",
        "{}",
        "[]",
        "null",
        "\u{0}\u{fffd}",
        r#"{"type":5}"#,
        r#"{"type":"session.input_audio_buffer.append"}"#,
        r#"{"type":"session.input_audio_buffer.append","audio":"****"}"#,
        r#"{"type":"session.input_audio_buffer.append","audio":"AAAA"}"#,
        r#"{"type":"session.update","session":{"modle":"x"}}"#,
        r#"{"type":"response.create"}"#,
        &long_id,
        &nested,
    ];
    for (path, end) in both() {
        let (first, second) = dialogue().split_at(dialogue().len() / 2);
        let mut messages: Vec<Message> = first.chunks(CHUNK_BYTES).map(binary).collect();
        messages.extend(garbage.iter().map(|text| Message::text(*text)));
        messages.extend(speech(second, CHUNK_BYTES, end));
        let heard = converse(open(&server, &path).await, messages).await;
        assert_eq!(heard.errors().len(), garbage.len(), "{heard:?}");
        heard.assert_said(&said(3, dialogue()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_after_the_end_is_answered_and_changes_nothing() {
    let server = start(config()).await;
    for (path, end) in both() {
        // The utterance cannot end, so that all messages find the stream open.
        server.gate.shut();
        let mut socket = open(&server, &path).await;
        send(&mut socket, speech(utterance(), CHUNK_BYTES, end)).await;
        send(&mut socket, [binary(utterance()), Message::text(end), binary(&[1, 2, 3]), append(&[0, 0])]).await;
        let mut heard = Heard::default();
        while heard.errors().len() < 4 {
            heard.events.extend(await_event(&mut socket, is_error).await.events);
        }
        server.gate.open();
        let heard = heard.join(listen(&mut socket).await);
        heard.assert_said(&said(3, utterance()));
        assert_eq!(heard.errors().len(), 4);
    }
    server.empty().await;
}
