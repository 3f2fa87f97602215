//! A websocket client that does as it is told.

use std::ops::ControlFlow;

use base64::{Engine, prelude::BASE64_STANDARD};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{self, Message, client::IntoClientRequest, http::Response};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::support::{MODEL, PATIENCE, Server};

pub(crate) type Socket = WebSocketStream<TcpStream>;

pub(crate) const CLOSE: &str = r#"{"type":"session.close"}"#;
pub(crate) const CLOSE_STREAM: &str = r#"{"type":"CloseStream"}"#;

/// The native dialect, 16-bit samples at 16 kHz, with this lag.
pub(crate) fn native(k: usize) -> String {
    format!("/v1/realtime/translations?model={MODEL}&rate=16000&k={k}")
}

pub(crate) const DEEPGRAM: &str = "/v1/listen?encoding=linear16&sample_rate=16000";

/// Both dialects, which must behave alike: where to connect, and what ends the audio.
pub(crate) fn both() -> [(String, &'static str); 2] {
    [(native(3), CLOSE), (DEEPGRAM.to_owned(), CLOSE_STREAM)]
}

pub(crate) fn append(audio: &[u8]) -> Message {
    let audio = BASE64_STANDARD.encode(audio);
    Message::text(json!({ "type": "session.input_audio_buffer.append", "audio": audio }).to_string())
}

pub(crate) fn binary(bytes: &[u8]) -> Message {
    Message::binary(bytes.to_vec())
}

/// `audio` as binary messages of `size` bytes, then `end`.
pub(crate) fn speech(audio: &[u8], size: usize, end: &str) -> Vec<Message> {
    audio.chunks(size).map(binary).chain([Message::text(end)]).collect()
}

/// Asks for an upgrade with more headers: the socket, or the answer that refuses it.
pub(crate) async fn ask(
    server: &Server,
    path: &str,
    headers: &[(&'static str, &str)],
) -> Result<Socket, Response<String>> {
    let mut request = format!("ws://{}{path}", server.address).into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    match timeout(PATIENCE, client_async(request, server.connect().await)).await.expect("no answer") {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::Error::Http(refusal)) => {
            Err(refusal.map(|body| String::from_utf8(body.unwrap_or_default()).unwrap()))
        }
        Err(error) => panic!("{error}"),
    }
}

pub(crate) async fn open(server: &Server, path: &str) -> Socket {
    ask(server, path, &[]).await.unwrap_or_else(|refusal| panic!("{path}: {refusal:?}"))
}

/// Everything that a server said.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(crate) events: Vec<Value>,
    /// Code and reason; `None` if the connection ended without a close frame.
    pub(crate) close: Option<(u16, String)>,
}

impl Heard {
    /// Takes a message; breaks after the last.
    fn heed(&mut self, message: Option<Result<Message, tungstenite::Error>>) -> ControlFlow<()> {
        match message {
            Some(Ok(Message::Text(text))) => self.events.push(serde_json::from_str(&text).unwrap()),
            Some(Ok(Message::Close(frame))) => {
                self.close = frame.map(|frame| (frame.code.into(), frame.reason.to_string()));
            }
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return ControlFlow::Break(()),
        }
        ControlFlow::Continue(())
    }

    /// What came first, and then the rest.
    pub(crate) fn join(mut self, rest: Self) -> Self {
        self.events.extend(rest.events);
        Self { close: rest.close, ..self }
    }

    /// The translation, in either dialect.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for event in &self.events {
            match event["type"].as_str().unwrap() {
                "session.output_transcript.delta" => text += event["delta"].as_str().unwrap(),
                "Results" => {
                    let transcript = event["channel"]["alternatives"][0]["transcript"].as_str().unwrap();
                    let space = if text.is_empty() || transcript.is_empty() { "" } else { " " };
                    text += &format!("{space}{transcript}");
                }
                _ => {}
            }
        }
        text
    }

    /// The codes of all errors, in either dialect.
    pub(crate) fn errors(&self) -> Vec<&str> {
        self.events
            .iter()
            .filter(|event| is_error(event))
            .map(|event| event["error"]["code"].as_str().or(event["variant"].as_str()).unwrap_or(""))
            .collect()
    }

    /// Type of the last event before the close frame.
    pub(crate) fn last(&self) -> &str {
        self.events.last().map_or("", |event| event["type"].as_str().unwrap())
    }

    /// Everything was said, and that was said as well.
    #[track_caller]
    pub(crate) fn assert_said(&self, text: &str) {
        assert_eq!(self.text(), text);
        assert!(["session.closed", "Metadata"].contains(&self.last()), "{self:?}");
        assert_eq!(self.close, Some((1000, String::new())));
    }

    /// It ended with this error and this close frame.
    #[track_caller]
    pub(crate) fn assert_failed(&self, error: &str, code: u16, reason: &str) {
        assert_eq!(self.errors().last(), Some(&error), "{self:?}");
        assert!(self.events.last().is_some_and(is_error), "{self:?}");
        assert_eq!(self.close, Some((code, reason.to_owned())));
    }
}

/// Reads until the server has closed.
pub(crate) async fn listen(socket: &mut (impl StreamExt<Item = Result<Message, tungstenite::Error>> + Unpin)) -> Heard {
    let mut heard = Heard::default();
    while heard.heed(timeout(PATIENCE, socket.next()).await.expect("the server says nothing")).is_continue() {}
    heard
}

/// Reads until an event is as wanted.
pub(crate) async fn await_event(socket: &mut Socket, is_wanted: impl Fn(&Value) -> bool) -> Heard {
    let mut heard = Heard::default();
    while !heard.events.last().is_some_and(&is_wanted) {
        let next = timeout(PATIENCE, socket.next()).await.expect("the server says nothing");
        assert!(heard.heed(next).is_continue(), "closed too early: {heard:?}");
    }
    heard
}

pub(crate) fn is_error(event: &Value) -> bool {
    event["type"] == "error" || event["type"] == "Error"
}

/// An event of this type.
pub(crate) fn of_type(kind: &str) -> impl Fn(&Value) -> bool {
    move |event| event["type"] == kind
}

/// Sends all at once, in one write where the socket takes it.
pub(crate) async fn send(socket: &mut Socket, messages: impl IntoIterator<Item = Message>) {
    for message in messages {
        socket.feed(message).await.unwrap();
    }
    socket.flush().await.unwrap();
}

/// Sends messages while listening, as a good client does, until the server has closed.
pub(crate) async fn converse(socket: Socket, messages: Vec<Message>) -> Heard {
    let (mut sink, mut stream): (SplitSink<Socket, Message>, SplitStream<Socket>) = socket.split();
    let send = async {
        for message in messages {
            // Ends with an error as soon as the server has closed.
            if sink.feed(message).await.is_err() {
                return;
            }
        }
        let _ = sink.flush().await;
    };
    tokio::join!(send, listen(&mut stream)).1
}

/// A whole stream.
pub(crate) async fn stream(server: &Server, path: &str, audio: &[u8], size: usize, end: &str) -> Heard {
    converse(open(server, path).await, speech(audio, size, end)).await
}
