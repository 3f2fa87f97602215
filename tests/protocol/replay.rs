//! The server's side of a recorded connection: to each step of a fixture the steps that follow from it.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender, channel};

use base64::{Engine, prelude::BASE64_STANDARD};
use decalage::{
    audio::Encoding,
    protocol::{
        Action, Closing, Dialect, End, Failure, FailureKind, Message, SessionInfo, Source,
        deepgram::Deepgram,
        realtime::Realtime,
        simuleval::{Input, SimulEval, SimulEvalError},
        simulstream::{MetricsLine, Simulstream, closing},
    },
    session::event::{Command, Emission, Event},
};
use serde_json::{Value, json};

/// A connection, with what it has put out and nobody has looked at yet.
pub(crate) struct Connection {
    side: Side,
    /// As steps of a fixture.
    pub(crate) output: VecDeque<Value>,
    log: Receiver<MetricsLine>,
}

enum Side {
    Socket(Box<dyn Dialect>),
    /// simulstream's first message opens the stream.
    Unopened(SessionInfo, Sender<MetricsLine>),
    /// SimulEval asks by HTTP; `asked` while `GET /output` waits.
    Agent {
        agent: SimulEval,
        asked: bool,
    },
}

impl Connection {
    pub(crate) fn open(step: &Value) -> Self {
        let (lines, log) = channel();
        let mut connection =
            Self { side: Side::Agent { agent: SimulEval::default(), asked: false }, output: [].into(), log };
        let mut dialect: Box<dyn Dialect> = match step["dialect"].as_str().unwrap() {
            "realtime" => Box::new(Realtime::parse(&query(step)).unwrap().0),
            "deepgram" => Box::new(Deepgram::parse(&query(step)).unwrap().0),
            "simulstream" => {
                connection.side = Side::Unopened(session(step), lines);
                return connection;
            }
            "simuleval" => return connection,
            other => panic!("{other} is no dialect"),
        };
        let idle_limit_ms = dialect.idle_limit().map(|limit| limit.as_millis() as u64);
        assert_eq!(idle_limit_ms, step["idle_limit_ms"].as_u64());
        connection.say(&dialect.open(&session(step)));
        connection.side = Side::Socket(dialect);
        connection
    }

    pub(crate) fn client(&mut self, step: &Value) {
        match &mut self.side {
            Side::Socket(dialect) => {
                let actions = dialect.receive(message(step));
                self.act(actions);
            }
            Side::Unopened(info, lines) => {
                let lines = lines.clone();
                match Simulstream::parse(&message(step), Box::new(move |line| lines.send(line).unwrap())) {
                    Ok((mut dialect, options)) => {
                        let messages = dialect.open(info);
                        self.side = Side::Socket(Box::new(dialect));
                        self.output.push_back(opened(options.source));
                        self.say(&messages);
                    }
                    Err(failure) => self.close(closing(&End::Failed(failure))),
                }
            }
            Side::Agent { agent, asked } => match step["request"].as_str().unwrap() {
                "POST /reset" => {
                    agent.reset();
                    self.output.push_back(json!({ "from": "server", "status": 200 }));
                }
                "PUT /input" => {
                    let done = agent.input(text(step).as_bytes());
                    self.output.extend(taken(done));
                }
                "GET /output" => {
                    *asked = true;
                    self.answer();
                }
                other => panic!("nobody asks for {other}"),
            },
        }
    }

    pub(crate) fn stream(&mut self, step: &Value) {
        let end = (!step["end"].is_null()).then(|| end(&step["end"]));
        match (&mut self.side, end) {
            (Side::Socket(dialect), Some(end)) => {
                let closing = dialect.close(&end);
                self.close(closing);
            }
            (Side::Socket(dialect), None) if !step["drain"].is_null() => {
                let messages = dialect.drain(step["drain"]["time_left_ms"].as_u64().unwrap());
                self.say(&messages);
            }
            (Side::Socket(dialect), None) => {
                let (emitted_ms, lag_ms) = (step["emitted_ms"].as_u64().unwrap(), step["lag_ms"].as_u64().unwrap());
                let messages = dialect.emit(&Emission { event: event(step), emitted_ms, lag_ms });
                self.say(&messages);
            }
            (Side::Agent { agent, .. }, end) => {
                match end {
                    Some(End::Failed(failure)) => agent.fail(failure.message),
                    Some(other) => panic!("a sentence does not end by {other:?}"),
                    None => agent.accept(&event(step)),
                }
                self.answer();
            }
            (Side::Unopened(..), _) => panic!("there is no stream yet"),
        }
    }

    fn act(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Reply(message) => self.say(&[message]),
                Action::Command(command) => self.output.push_back(codec_step(&command)),
                Action::Fail(failure) => {
                    let Side::Socket(dialect) = &mut self.side else { panic!("nobody is there to say good-bye") };
                    let closing = dialect.close(&End::Failed(failure));
                    self.close(closing);
                }
            }
        }
    }

    /// What has been logged comes first: the code writes it before it says anything.
    fn say(&mut self, messages: &[Message]) {
        self.output.extend(self.log.try_iter().map(|line| json!({ "from": "log", "line": line })));
        self.output.extend(messages.iter().map(server_step));
    }

    fn close(&mut self, Closing { messages, code, reason }: Closing) {
        self.say(&messages);
        self.output.push_back(json!({ "from": "server", "close": code, "reason": reason }));
    }

    /// The answer that `GET /output` waits for, if it is there.
    fn answer(&mut self) {
        let Side::Agent { agent, asked } = &mut self.side else { return };
        if !*asked {
            return;
        }
        let answer = match agent.output() {
            Ok(None) => return,
            Ok(Some(body)) => {
                let text: Value = serde_json::from_str(&body).unwrap();
                json!({ "from": "server", "status": 200, "text": text })
            }
            Err(error) => refused(&error),
        };
        *asked = false;
        self.output.push_back(answer);
    }
}

fn query(step: &Value) -> Vec<(String, String)> {
    let query = step["query"].as_object().unwrap();
    query.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect()
}

fn session(step: &Value) -> SessionInfo {
    let text = |name: &str| step["session"][name].as_str().unwrap().to_owned();
    let seconds = |name: &str| step["session"][name].as_u64().unwrap();
    SessionInfo {
        id: text("id"),
        model: text("model"),
        bundle: text("bundle"),
        source_language: text("source_language"),
        target_language: text("target_language"),
        created_at: seconds("created_at"),
        expires_at: seconds("expires_at"),
    }
}

fn message(step: &Value) -> Message {
    match step["binary_base64"].as_str() {
        Some(bytes) => Message::Binary(BASE64_STANDARD.decode(bytes).unwrap()),
        None => Message::Text(text(step)),
    }
}

fn text(step: &Value) -> String {
    step["raw"].as_str().map_or_else(|| step["text"].to_string(), str::to_owned)
}

fn event(step: &Value) -> Event {
    serde_json::from_value(step["event"].clone()).unwrap()
}

fn taken(done: Result<Input, SimulEvalError>) -> Vec<Value> {
    match done {
        Ok(Input { open, commands }) => {
            let opened = open.map(|options| opened(options.source));
            let steps = opened.into_iter().chain(commands.iter().map(codec_step));
            steps.chain([json!({ "from": "server", "status": 200 })]).collect()
        }
        Err(error) => vec![refused(&error)],
    }
}

fn refused(error: &SimulEvalError) -> Value {
    json!({ "from": "server", "status": 400, "body": error.to_string() })
}

fn opened(source: Source) -> Value {
    let raw = |name: &str, rate_hz: u32| json!({ "from": "codec", "open": name, "rate_hz": rate_hz });
    match source {
        Source::Audio(Encoding::Pcm16 { rate_hz, channels: 1 }) => raw("pcm16", rate_hz),
        Source::Audio(Encoding::F32 { rate_hz, channels: 1 }) => raw("f32", rate_hz),
        other => panic!("no fixture describes {other:?}"),
    }
}

fn codec_step(command: &Command) -> Value {
    match command {
        Command::Audio(bytes) => json!({ "from": "codec", "audio_base64": BASE64_STANDARD.encode(bytes) }),
        Command::Text(text) => json!({ "from": "codec", "text": text }),
        Command::Flush => json!({ "from": "codec", "command": "flush" }),
        Command::Mark(mark) => json!({ "from": "codec", "command": "mark", "mark": mark }),
        Command::Finish => json!({ "from": "codec", "command": "finish" }),
    }
}

fn server_step(message: &Message) -> Value {
    match message {
        Message::Text(text) => {
            json!({ "from": "server", "text": serde_json::from_str::<Value>(text).unwrap() })
        }
        Message::Binary(_) => panic!("no dialect here sends bytes"),
    }
}

fn end(step: &Value) -> End {
    match step.as_str() {
        Some("finished") => End::Finished,
        Some("draining") => End::Draining,
        _ => {
            let kind = match step["failed"].as_str().unwrap() {
                "invalid_message" => FailureKind::InvalidMessage,
                "unsupported_data" => FailureKind::UnsupportedData,
                "undecodable_audio" => FailureKind::UndecodableAudio,
                "too_large" => FailureKind::TooLarge,
                "slow_reader" => FailureKind::SlowReader,
                "idle" => FailureKind::Idle,
                "expired" => FailureKind::Expired,
                "internal" => FailureKind::Internal,
                other => panic!("{other} is no failure"),
            };
            End::Failed(Failure::new(kind, step["message"].as_str().unwrap()))
        }
    }
}
