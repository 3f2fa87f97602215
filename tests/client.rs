//! The client against small servers: recorded conversations of `proto/fixtures`, refusals, and servers that say nothing.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used)] // a test may fail where it stands

use std::fs;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use decalage::client::{
    Client, ClientError, ClientOptions, Instant, PIECE_SAMPLES, Pace, Piece, Refusal, Summary, converse,
};
use decalage::protocol::realtime::{Extension, ServerEvent};
use futures_util::{SinkExt, StreamExt, stream};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{WebSocketStream, accept_async};

const SOON: Duration = Duration::from_secs(20);
const AS_FAST_AS_IT_GOES: Pace = Pace { speed: 1000.0, max_behind: None };

/// A server for one connection.
async fn serve<F: Future<Output = ()> + Send + 'static>(
    answer: impl FnOnce(TcpStream) -> F + Send + 'static,
) -> ClientOptions {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { answer(listener.accept().await.unwrap().0).await });
    ClientOptions { url, connect_timeout: SOON, answer_timeout: SOON, ..ClientOptions::default() }
}

/// Says what the server says in a recorded conversation, and waits for the client where it has its say. The client sends
/// its audio as it likes: binary messages count for any step with audio.
async fn replay(name: &'static str) -> ClientOptions {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto/fixtures").join(name).with_extension("jsonl");
    let steps = fs::read_to_string(path).unwrap();
    let steps: Vec<Value> = steps.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    serve(move |socket| async move {
        let mut socket = accept_async(socket).await.unwrap();
        for step in steps {
            match (step["from"].as_str().unwrap(), &step["close"]) {
                ("server", Value::Null) => socket.send(Message::text(step["text"].to_string())).await.unwrap(),
                ("server", code) => {
                    let code = u16::try_from(code.as_u64().unwrap()).unwrap().into();
                    let reason = step["reason"].as_str().unwrap().to_owned().into();
                    socket.close(Some(CloseFrame { code, reason })).await.unwrap();
                    while socket.next().await.is_some_and(|answer| answer.is_ok()) {}
                }
                ("client", _) => hear(&mut socket, step["text"]["type"].as_str()).await,
                _ => {}
            }
        }
    })
    .await
}

/// Waits for a message of this type, or for audio.
async fn hear(socket: &mut WebSocketStream<TcpStream>, expected: Option<&str>) {
    while let Some(Ok(message)) = socket.next().await {
        match (message, expected) {
            (Message::Binary(_), None | Some("session.input_audio_buffer.append")) => return,
            (Message::Text(text), Some(expected)) => {
                let message: Value = serde_json::from_str(&text).unwrap();
                if message["type"] == expected {
                    return;
                }
            }
            _ => {}
        }
    }
}

/// A second of silence in pieces.
fn audio() -> impl stream::Stream<Item = Piece> {
    let piece = Piece { pcm16: Bytes::from(vec![0; 2 * PIECE_SAMPLES]), since: Instant::now() };
    stream::iter(vec![piece; 10])
}

/// What came of a conversation: summary, events, and lags of those that have one.
async fn talk(options: &ClientOptions) -> (Result<Summary, ClientError>, Vec<ServerEvent>, Vec<Duration>) {
    let client = Client::connect(options).await.unwrap();
    let (mut events, mut lags) = (Vec::new(), Vec::new());
    let heed = |heard: decalage::client::Heard<'_>| {
        events.push(heard.message.event.clone());
        lags.extend(heard.lag);
    };
    let result = tokio::time::timeout(SOON, converse(client, audio(), AS_FAST_AS_IT_GOES, heed)).await.unwrap();
    (result, events, lags)
}

fn text(events: &[ServerEvent]) -> String {
    let delta = |event: &ServerEvent| match event {
        ServerEvent::OutputTranscript(delta) => Some(delta.delta.clone()),
        _ => None,
    };
    events.iter().filter_map(delta).collect()
}

#[tokio::test]
async fn a_conversation_is_heard_to_its_end() {
    let (summary, events, _) = talk(&replay("realtime-conversation").await).await;
    assert_eq!(summary.unwrap().num_samples, 16_000);
    assert_eq!(text(&events), "Guten Morgen, Berlin.");
    assert_eq!(events.last(), Some(&ServerEvent::Closed));
}

#[tokio::test]
async fn source_text_is_asked_for_before_any_audio() {
    let options = replay("realtime-transcription").await;
    let client = Client::connect(&ClientOptions { transcript: true, ..options }).await.unwrap();
    assert!(client.session().audio.input.transcription.is_some());
}

#[tokio::test]
async fn lag_is_told_for_words_and_what_decided_them() {
    let options = serve(|socket| async move {
        let mut socket = accept_async(socket).await.unwrap();
        socket.send(Message::text(created().to_string())).await.unwrap();
        for _ in 0..10 {
            hear(&mut socket, None).await;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        let word =
            json!({"event_id": "e", "type": "session.output_transcript.delta", "delta": "Ja", "src_start_ms": 0});
        let metrics = json!({"event_id": "e", "type": "session.metrics", "seq": 0, "source_ms": 1000, "lag_ms": 7});
        let ahead = json!({"event_id": "e", "type": "session.metrics", "seq": 1, "source_ms": 2000, "lag_ms": 7});
        for event in [word, metrics, ahead, json!({"event_id": "e", "type": "session.closed"})] {
            socket.send(Message::text(event.to_string())).await.unwrap();
        }
    })
    .await;
    let client = Client::connect(&ClientOptions { extensions: [Extension::Lag].into(), ..options }).await.unwrap();
    let mut lags = Vec::new();
    converse(client, audio(), Pace { speed: 1.0, max_behind: None }, |heard| lags.push(heard.lag)).await.unwrap();
    let [Some(word), Some(commit), None, None] = lags[..] else { panic!("{lags:?}") };
    assert!(commit >= Duration::from_millis(300) && commit < Duration::from_secs(5), "{commit:?}");
    assert!(word >= commit + Duration::from_millis(850), "the speech began 1 s before its end: {word:?}, {commit:?}");
}

#[tokio::test]
async fn audio_comes_no_faster_than_it_is_spoken() {
    let client = Client::connect(&replay("realtime-conversation").await).await.unwrap();
    let began = Instant::now();
    let summary = converse(client, audio(), Pace { speed: 2.0, max_behind: None }, |_| {}).await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(440), "9 pieces of 50 ms after the first: {:?}", began.elapsed());
    assert!(summary.closing - summary.began >= Duration::from_millis(490));
}

#[tokio::test]
async fn a_stream_that_ends_early_is_an_error_with_the_servers_words() {
    for (name, expected_code, expected) in
        [("realtime-slow-reader", 1008, "256 messages wait to be read"), ("realtime-draining", 1001, "draining")]
    {
        let (result, ..) = talk(&replay(name).await).await;
        let error = result.unwrap_err();
        assert!(error.to_string().contains(expected), "{name}: {error}");
        assert!(matches!(error, ClientError::Closed { code, .. } if code == expected_code), "{name}: {error:?}");
    }
}

#[tokio::test]
async fn a_connection_that_breaks_is_lost() {
    let options = serve(|socket| async move {
        let mut socket = accept_async(socket).await.unwrap();
        socket.send(Message::text(created().to_string())).await.unwrap();
        hear(&mut socket, None).await;
    })
    .await;
    let (result, ..) = talk(&options).await;
    assert!(matches!(result, Err(ClientError::Lost { .. })), "{result:?}");
}

/// Answers the upgrade with this.
async fn refuse(answer: &'static str) -> Result<Client, ClientError> {
    let options = serve(move |mut socket| async move {
        let mut request = [0; 4096];
        let _ = socket.read(&mut request).await.unwrap();
        socket.write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    Client::connect(&options).await
}

#[tokio::test]
async fn refusals_repeat_what_the_server_says() {
    let full = "HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\ncontent-type: application/json\r\n\
        content-length: 105\r\n\r\n\
        {\"error\":{\"type\":\"server_error\",\"code\":\"overloaded\",\"message\":\"all 64 places are taken\",\"param\":null}}   ";
    let Err(ClientError::Refused(refusal)) = refuse(full).await else { panic!("not refused") };
    let retry_after = Some(Duration::from_secs(5));
    assert_eq!(refusal, Refusal { status: 503, message: "all 64 places are taken".to_owned(), retry_after });
    assert!(refusal.to_string().ends_with("(503): all 64 places are taken; try again in 5 s"), "{refusal}");

    for (answer, status, message) in [
        ("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n", 401, "Unauthorized"),
        ("HTTP/1.1 403 Forbidden\r\ncontent-length: 7\r\n\r\nno way\n", 403, "no way"),
        ("HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}", 404, "{}"),
        (
            "HTTP/1.1 429 Too Many Requests\r\nretry-after: tomorrow\r\ncontent-length: 0\r\n\r\n",
            429,
            "Too Many Requests",
        ),
    ] {
        let Err(ClientError::Refused(refusal)) = refuse(answer).await else { panic!("{status}: not refused") };
        assert_eq!(refusal, Refusal { status, message: message.to_owned(), retry_after: None });
    }
}

#[tokio::test]
async fn what_is_no_server_of_ours_is_told() {
    let unreachable = ClientOptions { url: "ws://127.0.0.1:9".to_owned(), ..ClientOptions::default() };
    assert!(matches!(Client::connect(&unreachable).await, Err(ClientError::Connect(_))));
    assert!(matches!(refuse("SSH-2.0-OpenSSH_9.2\r\n\r\n").await, Err(ClientError::Connect(_))));

    let mute = serve(|socket| async move {
        let _open = accept_async(socket).await.unwrap();
        tokio::time::sleep(SOON).await;
    });
    let connect_timeout = Duration::from_millis(200);
    let mute = ClientOptions { connect_timeout, ..mute.await };
    assert!(matches!(Client::connect(&mute).await, Err(ClientError::ConnectTimeout { .. })));

    let babbler = serve(|socket| async move {
        let mut socket = accept_async(socket).await.unwrap();
        socket.send(Message::text("hello")).await.unwrap();
        hear(&mut socket, None).await;
    });
    assert!(matches!(Client::connect(&babbler.await).await, Err(ClientError::Message { .. })));
}

#[tokio::test]
async fn a_server_that_falls_silent_is_not_waited_for() {
    let silent = serve(|socket| async move {
        let mut socket = accept_async(socket).await.unwrap();
        socket.send(Message::text(created().to_string())).await.unwrap();
        // Pongs prove that the connection lives, but are no answer to session.close.
        while let Some(Ok(_)) = socket.next().await {
            socket.send(Message::Ping(Bytes::new())).await.unwrap();
        }
    });
    let options = ClientOptions { answer_timeout: Duration::from_millis(300), ..silent.await };
    let (result, ..) = talk(&options).await;
    assert!(matches!(result, Err(ClientError::Silent { .. })), "{result:?}");
}

fn created() -> Value {
    json!({
        "event_id": "event_1",
        "type": "session.created",
        "session": {"id": "s", "type": "translation", "model": "m", "expires_at": 1, "audio": {}},
    })
}
