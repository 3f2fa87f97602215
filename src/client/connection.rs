//! One websocket to a server of the native dialect, as two ends. Invariant: every wait ends, by a message or a deadline.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use serde::Serialize;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_tls_with_config};

use super::{ClientError, ClientOptions};
use crate::protocol::realtime::{
    AudioInputUpdate, AudioUpdate, ClientEvent, ClientMessage, ErrorBody, ServerEvent, ServerMessage, Session,
    SessionUpdate, Transcription,
};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// The default of 128 KiB is allocated for each connection at once.
const READ_BUFFER_BYTES: usize = 8 << 10;
/// Far more than an event of ours.
const MAX_MESSAGE_BYTES: usize = 1 << 20;
/// For the close frame, once everything is said.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Code of a close frame that has none (RFC 6455 §7.4.1).
const NO_CODE: u16 = 1005;

/// An open stream.
#[derive(Debug)]
pub struct Client {
    session: Session,
    sender: Sender,
    receiver: Receiver,
}

/// Takes audio.
#[derive(Debug)]
pub struct Sender {
    sink: SplitSink<Socket, Message>,
    timeout: Duration,
    pinged: Instant,
    closing: Arc<OnceLock<Instant>>,
}

/// Gives events.
#[derive(Debug)]
pub struct Receiver {
    stream: SplitStream<Socket>,
    timeout: Duration,
    /// When `session.close` was sent.
    closing: Arc<OnceLock<Instant>>,
    /// When the last event came.
    last: Instant,
    closed: bool,
    error: Option<Box<ErrorBody>>,
}

/// An event, and when it came.
#[derive(Debug, Clone, PartialEq)]
pub struct Received {
    /// By the client's clock.
    pub at: Instant,
    /// What came.
    pub message: ServerMessage,
}

impl Client {
    /// Opens a stream, and sets what is not set in the URL.
    ///
    /// # Errors
    /// If an option cannot be used, or the stream is not open within [`ClientOptions::connect_timeout`], or the server
    /// refuses it ([`ClientError::Refused`]) or a setting ([`ClientError::Settings`]).
    pub async fn connect(options: &ClientOptions) -> Result<Self, ClientError> {
        let limit = options.connect_timeout;
        let late = |_| ClientError::ConnectTimeout { limit };
        timeout(limit, Self::open(options)).await.map_err(late)?
    }

    async fn open(options: &ClientOptions) -> Result<Self, ClientError> {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_message_size(Some(MAX_MESSAGE_BYTES))
            .max_frame_size(Some(MAX_MESSAGE_BYTES));
        let (request, connector) = (options.request()?, options.connector()?);
        let connected = connect_async_tls_with_config(request, Some(config), true, connector).await;
        let (socket, _) = connected.map_err(|error| ClientError::handshake(&options.url, error))?;

        let (sink, stream) = socket.split();
        let (closing, now) = (Arc::new(OnceLock::new()), Instant::now());
        let timeout = options.answer_timeout;
        let mut sender = Sender { sink, timeout, pinged: now, closing: Arc::clone(&closing) };
        let mut receiver = Receiver { stream, timeout, closing, last: now, closed: false, error: None };
        let mut session = receiver.session().await?;
        if options.transcript {
            let transcription = Some(Some(Transcription { model: options.model.clone() }));
            let input = Some(AudioInputUpdate { transcription, ..AudioInputUpdate::default() });
            let audio = Some(AudioUpdate { input, output: None });
            sender.tell(ClientEvent::Update { session: SessionUpdate { audio, ..SessionUpdate::default() } }).await?;
            session = receiver.session().await?;
        }
        Ok(Self { session, sender, receiver })
    }

    /// What was opened.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The two ends, which may be used at the same time.
    pub fn split(self) -> (Sender, Receiver) {
        (self.sender, self.receiver)
    }
}

impl Sender {
    /// Sends mono samples at 16 kHz, 16 bits each, little-endian; any number of bytes.
    ///
    /// # Errors
    /// If the server takes nothing for [`ClientOptions::answer_timeout`], or the connection is lost. Of a stream that the
    /// server has ended the [`Receiver`] knows the reason.
    pub async fn send(&mut self, pcm16: Bytes) -> Result<(), ClientError> {
        // A server that lives answers; one that hears audio may have nothing to say for long.
        if self.pinged.elapsed() > self.timeout / 3 {
            self.pinged = Instant::now();
            self.put(Message::Ping(Bytes::new())).await?;
        }
        self.put(Message::Binary(pcm16)).await
    }

    /// No more audio will come. The rest of the text follows, then `session.closed`.
    ///
    /// # Errors
    /// As [`Sender::send`].
    pub async fn finish(&mut self) -> Result<(), ClientError> {
        // Before the message: whoever receives must not see the answer before the question.
        let _ = self.closing.set(Instant::now()); // the first time counts
        self.tell(ClientEvent::Close).await
    }

    async fn tell(&mut self, event: ClientEvent) -> Result<(), ClientError> {
        self.put(text(&ClientMessage { event_id: None, event })?).await
    }

    async fn put(&mut self, message: Message) -> Result<(), ClientError> {
        match timeout(self.timeout, self.sink.send(message)).await {
            Ok(sent) => sent.map_err(lost),
            Err(_) => Err(ClientError::Stuck { limit: self.timeout }),
        }
    }
}

impl Receiver {
    /// The next event; `None` once `session.closed` and the close frame have come. Events of a later server come as
    /// [`ServerEvent::Unknown`].
    ///
    /// # Errors
    /// If the stream ends in any other way, if no sign of life comes for [`ClientOptions::answer_timeout`] (after
    /// [`Sender::finish`]: no event), or if what comes cannot be read. Nothing follows an error.
    pub async fn next(&mut self) -> Result<Option<Received>, ClientError> {
        loop {
            let now = Instant::now();
            let deadline = match self.closing.get() {
                _ if self.closed => now + CLOSE_TIMEOUT,
                Some(closing) => self.last.max(*closing) + self.timeout,
                None => now + self.timeout,
            };
            let frame = timeout_at(deadline, self.stream.next()).await;
            let at = Instant::now();
            match frame {
                Ok(Some(Ok(Message::Text(text)))) => return self.read(&text, at).map(Some),
                Ok(Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)))) => {}
                _ if self.closed => return Ok(None),
                Ok(Some(Ok(Message::Close(frame)))) => return Err(self.ended(frame)),
                Ok(Some(Ok(Message::Binary(bytes)))) => {
                    return Err(ClientError::Message { cause: format!("{} bytes that are no text", bytes.len()) });
                }
                Ok(Some(Err(error))) => return Err(lost(error)),
                Ok(None) => return Err(ClientError::Lost { cause: "it ended without a close frame".to_owned() }),
                Err(_) => return Err(ClientError::Silent { limit: self.timeout }),
            }
        }
    }

    fn read(&mut self, text: &str, at: Instant) -> Result<Received, ClientError> {
        let unreadable = |error: serde_json::Error| ClientError::Message { cause: error.to_string() };
        let message: ServerMessage = serde_json::from_str(text).map_err(unreadable)?;
        self.last = at;
        match &message.event {
            ServerEvent::Closed => self.closed = true,
            ServerEvent::Error { error } => self.error = Some(Box::new(error.clone())),
            _ => {}
        }
        Ok(Received { at, message })
    }

    fn ended(&mut self, frame: Option<CloseFrame>) -> ClientError {
        let (code, reason) =
            frame.map_or((NO_CODE, String::new()), |frame| (frame.code.into(), frame.reason.to_string()));
        ClientError::Closed { code, reason, error: self.error.take() }
    }

    /// What the server says that the session is, first or after an update.
    async fn session(&mut self) -> Result<Session, ClientError> {
        match self.next().await?.map(|received| received.message.event) {
            Some(ServerEvent::Created { session } | ServerEvent::Updated { session }) => Ok(session),
            Some(ServerEvent::Error { error }) => Err(ClientError::Settings(error)),
            other => Err(ClientError::Message { cause: format!("{other:?}, allowed is what the session is") }),
        }
    }
}

fn text(message: &impl Serialize) -> Result<Message, ClientError> {
    let text = serde_json::to_string(message).map_err(|error| ClientError::Message { cause: error.to_string() })?;
    Ok(Message::text(text))
}

fn lost(error: tungstenite::Error) -> ClientError {
    ClientError::Lost { cause: error.to_string() }
}
