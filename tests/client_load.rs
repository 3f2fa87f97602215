//! Many clients at once against a small server that says a word for every half second heard: what a good one is told, and
//! that a server which loses audio or clients is found out.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used)] // a test may fail where it stands

use std::sync::Arc;
use std::time::Duration;

use decalage::client::ClientOptions;
use decalage::client::load::{Load, Report, Trial, playlist};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message;

const BYTES_PER_MS: usize = 32;

/// What is wrong with a server, from its second client on.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    LosesAPiece,
    HangsUp,
}

/// Serves clients until the test is over.
async fn load(fault: Fault) -> Load {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        for client in 0.. {
            let socket = listener.accept().await.unwrap().0;
            tokio::spawn(converse(socket, if client == 0 { Fault::None } else { fault }));
        }
    });
    let speech: Vec<f32> = (0..16_000).map(|i| if i % 2 == 0 { 0.25 } else { -0.25 }).collect();
    let playlist = playlist(&[speech], Duration::from_secs(1)).unwrap();
    let options = Arc::new(ClientOptions { url, ..ClientOptions::default() });
    Load { options, playlist, stagger: Duration::from_millis(400), server_pid: Some(std::process::id()) }
}

async fn converse(socket: TcpStream, fault: Fault) -> Option<()> {
    let mut socket = accept_async(socket).await.ok()?;
    let (mut heard_bytes, mut num_words) = (0, 0);
    let session = json!({"id": "s", "type": "translation", "model": "m", "expires_at": 1, "audio": {}});
    let mut events = vec![json!({"event_id": "e", "type": "session.created", "session": session})];
    loop {
        for event in events.drain(..) {
            socket.send(Message::text(event.to_string())).await.ok()?;
            if event["type"] == "session.closed" {
                return socket.close(None).await.ok();
            }
        }
        match socket.next().await?.ok()? {
            Message::Binary(_) if fault == Fault::LosesAPiece && heard_bytes == 0 => heard_bytes = 1,
            Message::Binary(bytes) => heard_bytes += bytes.len(),
            Message::Text(_) => events.push(json!({"event_id": "e", "type": "session.closed"})),
            _ => {}
        }
        if fault == Fault::HangsUp && heard_bytes > 0 {
            return None;
        }
        let heard_ms = heard_bytes / BYTES_PER_MS;
        if heard_ms >= 500 * (num_words + 1) || !events.is_empty() {
            let word = format!(" word{num_words}");
            let delta = json!({"type": "session.output_transcript.delta", "delta": word, "src_start_ms": 0});
            let metrics = json!({"type": "session.metrics", "seq": num_words, "source_ms": heard_ms, "lag_ms": 0});
            let with_id = |mut event: Value| {
                event["event_id"] = "e".into();
                event
            };
            events.splice(..0, [with_id(delta), with_id(metrics)]);
            num_words += 1;
        }
    }
}

/// One client, then three.
async fn report(fault: Fault) -> Report {
    let load = load(fault).await;
    let alone = load.run(1).await.records.remove(0).unwrap();
    Report::new(&alone, &load.run(3).await, None)
}

#[tokio::test]
async fn clients_of_a_good_server_agree() {
    let load = load(Fault::None).await;
    let alone = load.run(1).await.records.remove(0).unwrap();
    assert_eq!(alone.text, " word0 word1 word2");
    assert_eq!((alone.sent_ms, alone.heard_ms), (1000, 1000));
    assert!(alone.first_commit_ms.unwrap() >= 390.0, "half a second, told to a piece: {alone:?}");
    assert!(alone.words.iter().all(|word| word.lag_ms < 400.0), "a word is said as soon as it is decided: {alone:?}");

    let trial = load.run(3).await;
    let report = Report::new(&alone, &trial, None);
    assert_eq!((report.sessions, report.errors, report.different_texts, report.dropped_samples), (3, 0, 0, 0));
    let began: Vec<f64> = trial.records.iter().map(|record| record.as_ref().unwrap().began_s).collect();
    let spread = began.iter().fold(0.0, |most: f64, at_s| most.max(at_s - began[0]));
    assert!(spread > 0.1, "three clients begin apart: {began:?}");
    assert_eq!(trial.server_usage.is_empty(), cfg!(not(target_os = "linux")));
}

#[tokio::test]
async fn a_lost_piece_is_found() {
    let report = report(Fault::LosesAPiece).await;
    assert_eq!(report.dropped_samples, 3 * 1600, "{report:?}");
    assert!(!report.honest);
}

#[tokio::test]
async fn lost_clients_are_counted() {
    let report = report(Fault::HangsUp).await;
    assert_eq!((report.errors, report.honest), (3, false), "{report:?}");
    assert!(report.faults[0].starts_with("3 errors, the first: the connection is lost"), "{:?}", report.faults);
}

#[tokio::test]
async fn a_server_that_is_not_there_has_no_streams() {
    let load = load(Fault::None).await;
    let options = Arc::new(ClientOptions { url: "ws://127.0.0.1:9".to_owned(), ..ClientOptions::default() });
    let Trial { records, .. } = Load { options, ..load }.run(2).await;
    assert!(records.len() == 2 && records.iter().all(Result::is_err), "{records:?}");
}
