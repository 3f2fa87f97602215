//! How conversations end: by a handshake, by the clock, or because the server stops.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, frame::coding::CloseCode};

use crate::client::*;
use crate::support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_says_good_bye_is_answered() {
    let server = start(config()).await;
    for (path, _) in both() {
        let mut socket = open(&server, &path).await;
        let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        send(&mut socket, [binary(utterance()), Message::Close(Some(frame))]).await;
        // RFC 6455 §5.5.1: without it the client takes the connection for broken.
        assert_eq!(listen(&mut socket).await.close, Some((1000, String::new())));
    }
    server.empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_is_free_before_the_client_has_said_good_bye() {
    let mut config = config();
    config.auth.max_sessions_per_key = 1;
    let server = start(config).await;
    for _ in 0..5 {
        let mut socket = open(&server, &native(3)).await;
        send(&mut socket, speech(dialogue(), CHUNK_BYTES, CLOSE)).await;
        // The socket stays open: its client does not read the close frame.
        await_event(&mut socket, of_type("session.closed")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_lasts_as_long_as_it_says() {
    let mut config = config();
    config.server.max_session_ms = 2000;
    let server = start(config).await;
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let mut sockets = Vec::new();
    for (path, _) in both() {
        sockets.push(open(&server, &path).await);
    }
    let created = await_event(&mut sockets[0], of_type("session.created")).await;
    let expires_at = created.events[0]["session"]["expires_at"].as_u64().unwrap();
    assert!((now_s + 2..now_s + 10).contains(&expires_at), "{expires_at} at {now_s}");
    for socket in &mut sockets {
        listen(socket).await.assert_failed("session_expired", 1001, "session_expired");
    }
    // More audio than fits, in less time: the same limit.
    for (path, end) in both() {
        let audio = vec![0; 3 * 2 * RATE_HZ];
        let heard = stream(&server, &path, &audio, CHUNK_BYTES, end).await;
        heard.assert_failed("session_expired", 1001, "session_expired");
    }
    server.empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_lets_everybody_finish() {
    let server = start(config()).await;
    // Some have paused in the middle, some go on speaking, some have said that they are at their end.
    let mut paused = Vec::new();
    let noticed = [(native(3) + "&ext=go_away", CLOSE)];
    for (path, _) in both().into_iter().chain(noticed) {
        let mut socket = open(&server, &path).await;
        send(&mut socket, utterance().chunks(CHUNK_BYTES).map(binary).chain([Message::text("?")])).await;
        // The answer to what is no message: all before it has been read.
        let heard = await_event(&mut socket, is_error).await;
        paused.push((socket, heard));
    }
    server.gate.shut();
    let mut ended = open(&server, &native(3)).await;
    send(&mut ended, speech(utterance(), CHUNK_BYTES, CLOSE).into_iter().chain([Message::text(CLOSE)])).await;
    let before = await_event(&mut ended, is_error).await;
    let speak = |path: String| {
        let server = &server;
        async move {
            let mut messages = Vec::new();
            (0..20).for_each(|_| messages.extend(dialogue().chunks(CHUNK_BYTES).map(binary)));
            let (sender, receiver) = futures_util::StreamExt::split(open(server, &path).await);
            let (mut sender, mut receiver) = (sender, receiver);
            let send = async {
                for message in messages {
                    if futures_util::SinkExt::send(&mut sender, message).await.is_err() {
                        // The server is done with us: why, the other half hears.
                        std::future::pending::<()>().await;
                    }
                    sleep(Duration::from_millis(10)).await;
                }
            };
            tokio::select! {
                heard = listen(&mut receiver) => heard,
                () = send => panic!("the server does not stop"),
            }
        }
    };
    let stop = async {
        sleep(Duration::from_millis(500)).await;
        server.engine.stop_admitting();
        server.shutdown.begin();
        server.gate.open();
        server.shutdown.complete(PATIENCE).await
    };
    let speaking = join_all(both().map(|(path, _)| speak(path)));
    let rest = listen(&mut ended);
    let (stopped, speaking, rest) = timeout(PATIENCE, async { tokio::join!(stop, speaking, rest) }).await.unwrap();
    assert_eq!(stopped, Ok(()));

    let draining = Some((1001, "draining".to_owned()));
    for (number, (mut socket, heard)) in paused.into_iter().enumerate() {
        let heard = heard.join(listen(&mut socket).await);
        assert_eq!(heard.text(), said(3, utterance()), "what was heard is said");
        assert_eq!((&heard.close, heard.errors().len()), (&draining, 1));
        let notice = heard.events.iter().position(of_type("session.go_away"));
        assert_eq!(notice.is_some(), number == 2, "{heard:?}");
        if let Some(notice) = notice {
            assert!((1..=20_000).contains(&heard.events[notice]["time_left_ms"].as_u64().unwrap()), "{heard:?}");
            let words = heard.events.iter().rposition(of_type("session.output_transcript.delta"));
            assert!(words > Some(notice), "a notice of what follows: {heard:?}");
        }
    }
    for heard in speaking {
        assert!(!heard.text().is_empty());
        assert_eq!((&heard.close, heard.errors()), (&draining, vec![]), "{heard:?}");
    }
    before.join(rest).assert_said(&said(3, utterance()));
    server.empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_cannot_finish_in_time_is_told_before_it_is_cut_off() {
    let server = start(config()).await;
    server.gate.shut();
    let mut sockets = Vec::new();
    for (path, _) in both() {
        let mut socket = open(&server, &path).await;
        send(&mut socket, speech(utterance(), CHUNK_BYTES, "?")).await;
        await_event(&mut socket, is_error).await;
        sockets.push(socket);
    }
    let readers = sockets.into_iter().map(|mut socket| tokio::spawn(async move { listen(&mut socket).await }));
    let readers: Vec<_> = readers.collect();
    assert!(server.shutdown.complete(Duration::from_millis(300)).await.is_err());
    // What `decalage serve` does next is to end the process, so that all must have been said by now.
    assert!(server.metrics.encode().unwrap().contains("decalage_sessions 0\n"));
    for reader in readers {
        assert_eq!(reader.await.unwrap().close, Some((1001, "draining".to_owned())));
    }
    server.gate.open();
}
