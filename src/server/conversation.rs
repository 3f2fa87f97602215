//! One websocket, from the upgrade to the close frame: messages to a stream, events to messages.
//!
//! Reads only when all that was read before is on its way to the engine: a client that sends faster than its audio is
//! worked off is held up by TCP, and nothing piles up. Invariant: every wait ends, by a message, an event or a deadline.

use std::collections::VecDeque;
use std::time::Duration;

use axum::extract::ws::{self, CloseFrame, WebSocket};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::{self, error::CapacityError};

use super::app::{Admitted, App, Place};
use crate::audio::{AudioDecoder, AudioError, Limits};
use crate::engine::{Input, StreamError, StreamEvents, StreamInput};
use crate::protocol::{Action, Closing, Dialect, End, Failure, FailureKind, Message, SessionInfo, Source};
use crate::session::event::{Command, Event};

/// Bytes decoded at a time: some milliseconds of work,
const PIECE_BYTES: usize = 4 << 10;
/// and of a container, which holds much more audio where it is silent.
const CONTAINER_PIECE_BYTES: usize = 1 << 10;
/// For the client's half of the closing handshake.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// From the end of the input until all is said: only some seconds of audio can be waiting by then.
const FINISH_TIMEOUT: Duration = Duration::from_secs(60);
/// A live client answers pings; this many fit into the idle limit.
const PINGS_PER_IDLE: u32 = 3;

/// See the [module](self).
pub(super) struct Conversation {
    app: App,
    dialect: Box<dyn Dialect>,
    front: Front,
    input: StreamInput,
    events: StreamEvents,
    info: SessionInfo,
    /// What the client asked for and the engine has not been told.
    commands: VecDeque<Command>,
    /// The input is finished, or about to be.
    finishing: bool,
    /// The server has finished it, not the client.
    draining: bool,
    /// When the client last sent anything at all, and a message.
    heard: Instant,
    spoken: Instant,
    _place: Place,
}

/// What the client's bytes go through.
pub(super) enum Front {
    /// Speech.
    Audio(AudioDecoder),
    /// Text goes as it is.
    Text,
    /// The input is over, or the decoder at work.
    Closed,
}

impl Front {
    /// For what a stream was opened with.
    pub(super) fn new(source: Source, limits: &Limits) -> Result<Self, AudioError> {
        match source {
            Source::Audio(encoding) => Ok(Self::Audio(AudioDecoder::new(encoding, limits)?)),
            Source::Text => Ok(Self::Text),
        }
    }

    fn is_container(&self) -> bool {
        matches!(self, Self::Audio(decoder) if decoder.is_container())
    }
}

/// Why a conversation stops: with a good-bye, or because nobody is there to hear one.
enum Stop {
    End(End),
    Gone,
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::End(End::Failed(failure))
    }
}

impl From<StreamError> for Stop {
    fn from(error: StreamError) -> Self {
        let kind = if error.is_internal() { FailureKind::Internal } else { FailureKind::InvalidMessage };
        Failure::new(kind, error.to_string()).into()
    }
}

fn fail<T>(kind: FailureKind, message: impl Into<String>) -> Result<T, Stop> {
    Err(Failure::new(kind, message).into())
}

fn undecodable(error: AudioError) -> Result<(), Stop> {
    let kind = match error {
        // A session lasts as long by the audio as by the clock.
        AudioError::TooLong { .. } => FailureKind::Expired,
        _ => FailureKind::UndecodableAudio,
    };
    fail(kind, error.to_string())
}

impl Conversation {
    pub(super) fn new(app: App, admitted: Admitted, dialect: Box<dyn Dialect>, front: Front) -> Self {
        let Admitted { input, events, info, place } = admitted;
        let now = Instant::now();
        Self {
            app,
            dialect,
            front,
            input,
            events,
            info,
            commands: VecDeque::new(),
            finishing: false,
            draining: false,
            heard: now,
            spoken: now,
            _place: place,
        }
    }

    pub(super) async fn run(mut self, mut socket: WebSocket) {
        tracing::info!("opened");
        let Err(stop) = self.converse(&mut socket).await;
        match stop {
            Stop::Gone => tracing::info!("the client is gone"),
            Stop::End(end) => {
                if let End::Failed(failure) = &end {
                    tracing::warn!(kind = ?failure.kind, "failed: {failure}");
                    self.app.metrics().failed(failure.kind.codes().code);
                }
                let closing = self.dialect.close(&end);
                tracing::info!(code = closing.code, "closed");
                // Others need not wait for this client's good manners.
                drop(self);
                farewell(socket, closing).await;
            }
        }
    }

    async fn converse(&mut self, socket: &mut WebSocket) -> Result<std::convert::Infallible, Stop> {
        let opening = self.dialect.open(&self.info);
        self.send(socket, opening).await?;
        let server = self.app.config().server.clone();
        let idle = Duration::from_millis(server.idle_timeout_ms);
        let mut ping = tokio::time::interval(idle / PINGS_PER_IDLE);
        let expiry = Instant::now()
            + match server.max_session_ms {
                0 => Duration::from_secs(self.info.expires_at - self.info.created_at),
                ms => Duration::from_millis(ms),
            };
        let shutdown = self.app.shutdown().clone();
        // Set when the input is finished: by then the rest must have been said.
        let mut overdue = expiry;
        loop {
            if self.input.is_clear()
                && let Some(command) = self.commands.pop_front()
            {
                if command == Command::Finish {
                    overdue = Instant::now() + FINISH_TIMEOUT;
                }
                self.perform(command).await?;
                // Decoding a large message is work: others may go first.
                tokio::task::yield_now().await;
                continue;
            }
            let listening = self.input.is_clear() && self.commands.is_empty();
            if !listening {
                // Who is not listened to is not silent.
                self.heard = Instant::now();
                self.spoken = self.heard;
            }
            let silence = match self.dialect.idle_limit() {
                Some(limit) => (self.spoken + limit).min(self.heard + idle),
                None => self.heard + idle,
            };
            tokio::select! {
                // The clock comes first: a client that never pauses must not outlast it.
                biased;
                () = shutdown.overdue() => return Err(Stop::End(End::Draining)),
                () = sleep_until(expiry) => return fail(FailureKind::Expired, "the session has lasted as long as it may"),
                () = sleep_until(overdue), if self.finishing => {
                    return fail(FailureKind::Internal, "what was said last could not be translated in time");
                }
                () = shutdown.begun(), if !self.finishing => {
                    self.draining = true;
                    self.finishing = true;
                    self.commands.push_back(Command::Finish);
                    let notice = self.dialect.drain(self.app.drain_left_ms());
                    self.send(socket, notice).await?;
                }
                _ = ping.tick() => self.write(socket, ws::Message::Ping(Default::default())).await?,
                event = self.events.next() => {
                    let Some(emission) = event.transpose()? else { return Err(StreamError::Stopped.into()) };
                    let messages = self.dialect.emit(&emission);
                    self.send(socket, messages).await?;
                    if emission.event == Event::Finished {
                        return Err(Stop::End(if self.draining { End::Draining } else { End::Finished }));
                    }
                }
                done = self.input.advance(), if !self.input.is_clear() => done?,
                message = socket.recv(), if listening => {
                    self.heard = Instant::now();
                    self.receive(socket, message).await?;
                }
                () = sleep_until(silence), if listening && !self.finishing => {
                    return fail(FailureKind::Idle, "nothing came for too long, send audio or keep-alive messages");
                }
            }
        }
    }

    async fn receive(
        &mut self,
        socket: &mut WebSocket,
        message: Option<Result<ws::Message, axum::Error>>,
    ) -> Result<(), Stop> {
        let message = match message {
            None => return Err(Stop::Gone),
            Some(Ok(ws::Message::Close(_))) => {
                // The next read sends the answer, without which the client takes the connection for broken.
                let _ = timeout(CLOSE_TIMEOUT, socket.recv()).await;
                return Err(Stop::Gone);
            }
            Some(Ok(ws::Message::Ping(_) | ws::Message::Pong(_))) => return Ok(()),
            Some(Ok(ws::Message::Text(text))) => Message::Text(text.as_str().to_owned()),
            Some(Ok(ws::Message::Binary(bytes))) => Message::Binary(bytes.to_vec()),
            Some(Err(error)) => return Err(self.broken(error)),
        };
        self.spoken = self.heard;
        for action in self.dialect.receive(message) {
            match action {
                Action::Reply(message) => self.send(socket, vec![message]).await?,
                Action::Fail(failure) => return Err(failure.into()),
                // Comes too late; the close frame will say so.
                Action::Command(_) if self.draining => {}
                Action::Command(Command::Audio(bytes)) => {
                    let piece_bytes = if self.front.is_container() { CONTAINER_PIECE_BYTES } else { PIECE_BYTES };
                    self.commands.extend(bytes.chunks(piece_bytes).map(|piece| Command::Audio(piece.to_vec())));
                }
                Action::Command(command) => {
                    self.finishing |= command == Command::Finish;
                    self.commands.push_back(command);
                }
            }
        }
        Ok(())
    }

    fn broken(&self, error: axum::Error) -> Stop {
        let limit = self.app.config().server.max_message_bytes;
        match error.into_inner().downcast::<tungstenite::Error>().map(|error| *error) {
            Ok(tungstenite::Error::Capacity(CapacityError::MessageTooLong { size, .. })) => {
                Failure::new(FailureKind::TooLarge, format!("a message of {size} bytes, allowed are {limit}")).into()
            }
            Ok(tungstenite::Error::Utf8(_)) => {
                Failure::new(FailureKind::UnsupportedData, "a text message is not UTF-8").into()
            }
            Ok(tungstenite::Error::Protocol(error)) => {
                Failure::new(FailureKind::InvalidMessage, format!("not the websocket protocol: {error}")).into()
            }
            _ => Stop::Gone,
        }
    }

    async fn perform(&mut self, command: Command) -> Result<(), Stop> {
        match command {
            Command::Audio(bytes) => {
                let Front::Audio(decoder) = std::mem::replace(&mut self.front, Front::Closed) else {
                    return fail(
                        FailureKind::InvalidMessage,
                        "audio where none is taken, or after the end of the input",
                    );
                };
                let (mut decoder, pushed) = work(decoder, move |decoder| decoder.push(&bytes)).await?;
                self.speak(decoder.take());
                self.front = Front::Audio(decoder);
                pushed.or_else(undecodable)?;
            }
            Command::Text(text) => self.input.push(Input::Text(text)),
            Command::Flush => self.input.push(Input::Flush),
            Command::Mark(number) => self.input.push(Input::Mark(number)),
            Command::Finish => {
                match std::mem::replace(&mut self.front, Front::Closed) {
                    Front::Audio(decoder) => self.decode_rest(decoder).await?,
                    Front::Text => {}
                    Front::Closed => return Ok(()),
                }
                self.input.push(Input::Finish);
            }
        }
        Ok(())
    }

    async fn decode_rest(&mut self, decoder: AudioDecoder) -> Result<(), Stop> {
        let (mut decoder, finished) = work(decoder, AudioDecoder::finish).await?;
        let rest = match finished {
            Ok(rest) => rest,
            // A stream that breaks off is translated as far as it goes, but it must have been one.
            Err(error @ (AudioError::Truncated { .. } | AudioError::Damaged { .. })) => {
                tracing::warn!("the audio ends badly: {error}");
                decoder.take()
            }
            Err(error) => return undecodable(error),
        };
        self.speak(rest);
        Ok(())
    }

    fn speak(&mut self, samples: Vec<f32>) {
        if !samples.is_empty() {
            self.input.push(Input::Samples(samples));
        }
    }

    // Here and below `&mut` because a decoder can move between threads but not be shared.
    async fn send(&mut self, socket: &mut WebSocket, messages: Vec<Message>) -> Result<(), Stop> {
        for message in messages {
            self.write(socket, frame(message)).await?;
        }
        Ok(())
    }

    async fn write(&mut self, socket: &mut WebSocket, message: ws::Message) -> Result<(), Stop> {
        let limit = Duration::from_millis(self.app.config().server.write_timeout_ms);
        match timeout(limit, socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Stop::Gone),
            Err(_) => fail(FailureKind::SlowReader, "messages were not read for too long"),
        }
    }
}

/// Has a decoder do something; where that may take long, on a thread that serves no sockets.
async fn work<T: Send + 'static>(
    mut decoder: AudioDecoder,
    what: impl FnOnce(&mut AudioDecoder) -> T + Send + 'static,
) -> Result<(AudioDecoder, T), Stop> {
    if !decoder.is_container() {
        let done = what(&mut decoder);
        return Ok((decoder, done));
    }
    let working = spawn_blocking(move || {
        let done = what(&mut decoder);
        (decoder, done)
    });
    working.await.map_err(|error| Failure::new(FailureKind::Internal, error.to_string()).into())
}

/// Says good-bye and waits for the client's answer: closing a socket with unread bytes in it would take back what has
/// been sent.
pub(super) async fn farewell(mut socket: WebSocket, closing: Closing) {
    let Closing { messages, code, reason } = closing;
    let farewell = async {
        for message in messages {
            socket.send(frame(message)).await?;
        }
        socket.send(ws::Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await?;
        while let Some(Ok(_)) = socket.recv().await {}
        Ok::<_, axum::Error>(())
    };
    if !matches!(timeout(CLOSE_TIMEOUT, farewell).await, Ok(Ok(()))) {
        tracing::debug!("the client did not take the close frame");
    }
}

fn frame(message: Message) -> ws::Message {
    match message {
        Message::Text(text) => ws::Message::Text(text.into()),
        Message::Binary(bytes) => ws::Message::Binary(bytes.into()),
    }
}
