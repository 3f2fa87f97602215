//! A whole server with the scripted translator on a port of its own, and clients that are as good or as bad as wanted.

use std::convert::Infallible;
use std::f32::consts::TAU;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, LazyLock, Mutex};
use std::time::{Duration, Instant};

use decalage::audio::{AudioReader, Limits};
use decalage::config::Config;
use decalage::engine::{Engine, EngineConfig};
use decalage::features::fbank;
use decalage::policy::PolicyKind;
use decalage::server::admin::Admin;
use decalage::server::listen::{Options, serve};
use decalage::server::shutdown::Shutdown;
use decalage::server::{App, ModelInfo, router};
use decalage::session::event::Event;
use decalage::session::scripted::{ScriptedSearch, ScriptedState, ScriptedTranslator, scripted_assets};
use decalage::session::translator::*;
use decalage::session::{Session, SessionAssets, SessionConfig, SourceAssets, drive};
use decalage::telemetry::Metrics;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// Long beside what anything here takes, short beside what a person waits.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const RATE_HZ: usize = 16_000;
/// 100 ms of 16-bit samples.
pub(crate) const CHUNK_BYTES: usize = RATE_HZ / 10 * 2;
pub(crate) const MODEL: &str = "en-de-scripted";

static ASSETS: LazyLock<Arc<SessionAssets>> = LazyLock::new(|| Arc::new(scripted_assets().unwrap()));
/// Of a translator that reads.
static TEXT_ASSETS: LazyLock<Arc<SessionAssets>> =
    LazyLock::new(|| Arc::new(SessionAssets { source: SourceAssets::Text, ..scripted_assets().unwrap() }));

/// A server and what can be seen of it from inside.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) metrics: Metrics,
    pub(crate) shutdown: Shutdown,
    pub(crate) engine: Engine,
    pub(crate) gate: Arc<Gate>,
}

/// While it is shut, searches wait, and with them the ends of all utterances.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    shut: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    pub(crate) fn shut(&self) {
        *self.shut.lock().unwrap() = true;
    }

    pub(crate) fn open(&self) {
        *self.shut.lock().unwrap() = false;
        self.opened.notify_all();
    }

    fn pass(&self) {
        drop(self.opened.wait_while(self.shut.lock().unwrap(), |shut| *shut).unwrap());
    }
}

/// Deadlines that a test can wait for.
pub(crate) fn config() -> Config {
    let mut config = Config::default();
    config.server.max_message_bytes = 64 << 10;
    config.model.max_sessions = 40;
    config.model.max_recordings = 40;
    config
}

/// Wired as `decalage serve` does it.
pub(crate) async fn start(config: Config) -> Server {
    let (metrics, shutdown, gate) = (Metrics::new(), Shutdown::new(), Arc::<Gate>::default());
    let layout = EngineConfig {
        workers: 2,
        max_batch: config.model.max_batch,
        max_sessions: config.model.max_sessions,
        max_recordings: config.model.max_recordings,
    };
    static LOUDEST: LazyLock<f32> = LazyLock::new(|| loudness(dialogue()).midpoint(loudness(&deadly())));
    let fragile = Fragile { inner: ScriptedTranslator::new(&ASSETS), loudest: *LOUDEST, gate: Arc::clone(&gate) };
    let make = move || Ok::<_, Infallible>(fragile.clone());
    let engine = Engine::start(&layout, Arc::clone(&ASSETS), &metrics, make).unwrap();
    let reading = EngineConfig { workers: 1, ..layout };
    let read = || Ok::<_, Infallible>(ScriptedTranslator::new(&TEXT_ASSETS));
    let text = Engine::start(&reading, Arc::clone(&TEXT_ASSETS), &metrics, read).unwrap();
    let model = ModelInfo {
        name: MODEL.to_owned(),
        bundle: "0".repeat(16),
        source_language: "en".to_owned(),
        target_language: "de".to_owned(),
        loaded_at: 0,
    };
    let healthy = watch::channel(true).1;
    let admin = Admin { metrics: metrics.clone(), healthy, shutdown: shutdown.clone() };
    let options = Options {
        max_connections: config.server.max_connections,
        max_connections_per_ip: config.server.max_connections_per_ip,
        header_timeout: Duration::from_millis(config.server.header_timeout_ms),
        write_timeout: Duration::from_millis(config.server.write_timeout_ms),
        tls: None,
    };
    // Its connections inherit the buffer, so that a client that does not read is noticed after little.
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_send_buffer_size(16 << 10).unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let listener = socket.listen(1024).unwrap();
    let address = listener.local_addr().unwrap();
    let app = App::new(engine.clone(), Some(text), model, config, metrics.clone(), shutdown.clone());
    tokio::spawn(serve(listener, router(app, admin), options, metrics.clone(), shutdown.clone()));
    Server { address, metrics, shutdown, engine, gate }
}

impl Server {
    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Writes `request` and reads until the server closes: status, head, body.
    pub(crate) async fn http(&self, request: &[u8]) -> Answer {
        let (mut reader, mut writer) = self.connect().await.into_split();
        let (_, answer) = tokio::join!(writer.write_all(request), answer(&mut reader));
        answer
    }

    /// Waits until a line of the metrics is as expected.
    pub(crate) async fn metric(&self, line: &str) {
        let begin = Instant::now();
        while !self.metrics.encode().unwrap().lines().any(|l| l == line) {
            assert!(begin.elapsed() < PATIENCE, "{line} is not in\n{}", self.metrics.encode().unwrap());
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until nobody holds anything any more.
    pub(crate) async fn empty(&self) {
        self.metric("decalage_sessions 0").await;
        self.metric("decalage_streams 0").await;
        self.metric("decalage_connections 0").await;
        let begin = Instant::now();
        while self.engine.active() > 0 {
            assert!(begin.elapsed() < PATIENCE, "{} places are taken", self.engine.active());
            sleep(Duration::from_millis(5)).await;
        }
        self.metric("decalage_jobs_waiting 0").await;
    }
}

/// An HTTP answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// In lower case.
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Everything until the server closes.
pub(crate) async fn answer(reader: &mut (impl AsyncReadExt + Unpin)) -> Answer {
    let mut bytes = Vec::new();
    // A reset behind a whole answer is the client's affair.
    let _ = timeout(PATIENCE, reader.read_to_end(&mut bytes)).await.expect("not closed");
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no whole answer: {text:?}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
    Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
}

/// The sum of what a test says, in order: `(voiced, milliseconds)`, as 16-bit samples. The voice is a buzz that glides
/// like a voice does.
pub(crate) fn pcm(parts: &[(bool, usize)]) -> Vec<u8> {
    let (mut bytes, mut phase) = (Vec::new(), 0.0_f32);
    for &(voiced, ms) in parts {
        for i in 0..ms * RATE_HZ / 1000 {
            let t = i as f32 / RATE_HZ as f32;
            phase = (phase + TAU * (140.0 + 40.0 * (TAU * 0.7 * t).sin()) / RATE_HZ as f32) % TAU;
            let buzz: f32 = (1..20).map(|h| (phase * h as f32).sin() / (1.0 + (h as f32 - 5.0).abs())).sum();
            let sample = if voiced { 0.05 * buzz * (1.2 + (TAU * 4.0 * t).sin()) } else { 0.0 };
            bytes.extend_from_slice(&((sample * 32767.0) as i16).to_le_bytes());
        }
    }
    bytes
}

/// Two utterances in 4.4 s.
pub(crate) fn dialogue() -> &'static [u8] {
    static DIALOGUE: LazyLock<Vec<u8>> =
        LazyLock::new(|| pcm(&[(false, 300), (true, 1500), (false, 1000), (true, 1300), (false, 300)]));
    &DIALOGUE
}

/// The beginning of [`dialogue`], with one utterance that has not ended.
pub(crate) fn utterance() -> &'static [u8] {
    &dialogue()[..18 * CHUNK_BYTES]
}

/// A wav file: `bits` and `channels` say what the data is.
pub(crate) fn wav(bits: u16, data: &[u8]) -> Vec<u8> {
    let (rate, align) = (RATE_HZ as u32, bits / 8);
    let mut bytes = b"RIFF".to_vec();
    bytes.extend((36 + data.len() as u32).to_le_bytes());
    bytes.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    bytes.extend([rate, rate * u32::from(align)].map(u32::to_le_bytes).as_flattened());
    bytes.extend([align, bits].map(u16::to_le_bytes).as_flattened());
    bytes.extend(b"data");
    bytes.extend((data.len() as u32).to_le_bytes());
    bytes.extend(data);
    bytes
}

/// What a session says that is driven in place, about a whole file.
pub(crate) fn alone(policy: PolicyKind, file: Vec<u8>) -> Vec<Event> {
    let reader = AudioReader::open(std::io::Cursor::new(file), &Limits::default()).unwrap();
    let samples = reader.read_all().unwrap();
    let mut session = Session::new(SessionConfig { policy, ..SessionConfig::default() }, Arc::clone(&ASSETS)).unwrap();
    session.accept_waveform(&samples).unwrap();
    session.input_finished();
    drive(&mut session, &ScriptedTranslator::new(&ASSETS)).unwrap();
    std::iter::from_fn(|| session.poll_event()).collect()
}

/// The translation that events hold.
pub(crate) fn text(events: &[Event]) -> String {
    let word = |event: &Event| if let Event::Committed(word) = event { word.text.clone() } else { String::new() };
    events.iter().map(word).collect()
}

/// What a live session says about 16-bit samples.
pub(crate) fn said(k: usize, pcm: &[u8]) -> String {
    text(&alone(PolicyKind::WaitK { k }, wav(16, pcm)))
}

/// [`dialogue`], so loud that [`Fragile`] panics.
pub(crate) fn deadly() -> Vec<u8> {
    let louder = |sample: &[u8; 2]| i16::from_le_bytes(*sample).saturating_mul(20).to_le_bytes();
    dialogue().as_chunks().0.iter().flat_map(louder).collect()
}

/// The greatest normalised value of the filterbank.
fn loudness(pcm: &[u8]) -> f32 {
    let samples: Vec<f32> = pcm.as_chunks().0.iter().map(|s| f32::from(i16::from_le_bytes(*s)) / 32768.0).collect();
    let (config, cmvn) = ASSETS.speech().unwrap();
    let mut frames = fbank(config, &samples).unwrap();
    cmvn.apply(&mut frames);
    frames.into_iter().fold(f32::MIN, f32::max)
}

/// The scripted translator, but it panics on loud segments, and its searches wait at a gate.
#[derive(Debug, Clone)]
struct Fragile {
    inner: ScriptedTranslator,
    loudest: f32,
    gate: Arc<Gate>,
}

impl Translator for Fragile {
    type State = ScriptedState;
    type Search = ScriptedSearch;

    fn spec(&self) -> &TranslatorSpec {
        self.inner.spec()
    }

    fn encode(&self, jobs: Vec<EncodeJob<ScriptedState>>) -> Vec<Result<Encoded<ScriptedState>, TranslatorError>> {
        let loudest = jobs.iter().flat_map(|job| job.source.frames()).copied().fold(f32::MIN, f32::max);
        assert!(loudest <= self.loudest, "too loud");
        self.inner.encode(jobs)
    }

    fn decode(&self, jobs: Vec<DecodeJob<ScriptedState>>) -> Vec<Result<Decoded<ScriptedState>, TranslatorError>> {
        self.inner.decode(jobs)
    }

    fn search(
        &self,
        searches: Vec<Search<ScriptedState, ScriptedSearch>>,
    ) -> Vec<Result<Searching<ScriptedState, ScriptedSearch>, TranslatorError>> {
        if searches.iter().any(|search| matches!(search, Search::Begin(job) if !job.is_lookahead)) {
            self.gate.pass();
        }
        self.inner.search(searches)
    }

    fn state_to_bytes(&self, state: &ScriptedState) -> Result<Vec<u8>, TranslatorError> {
        self.inner.state_to_bytes(state)
    }

    fn state_from_bytes(&self, bytes: &[u8]) -> Result<ScriptedState, TranslatorError> {
        self.inner.state_from_bytes(bytes)
    }
}
