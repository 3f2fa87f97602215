//! The engine with the scripted translator: what streams are promised, alone and among others.

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::timeout;

use super::*;
use crate::features::fbank;
use crate::policy::PolicyKind;
use crate::session::event::{Emission, Event};
use crate::session::scripted::{ScriptedSearch, ScriptedState, ScriptedTranslator};
use crate::session::tests::{assets, audio, dialogue};
use crate::session::translator::*;
use crate::session::{Session, SessionConfig, SessionError, drive};
use crate::telemetry::Metrics;

const LONG: Duration = Duration::from_secs(60);

/// The scripted translator, but panicking on loud segments: in the step, or later in the session, by a state that
/// cannot be cloned.
#[derive(Debug, Clone)]
struct Fragile {
    inner: ScriptedTranslator,
    loudest: f32,
    in_step: bool,
}

#[derive(Debug)]
struct FragileState {
    inner: ScriptedState,
    is_deadly: bool,
}

impl Clone for FragileState {
    fn clone(&self) -> Self {
        assert!(!self.is_deadly, "too loud");
        Self { inner: self.inner.clone(), is_deadly: false }
    }
}

fn sound(inner: ScriptedState) -> FragileState {
    FragileState { inner, is_deadly: false }
}

impl Fragile {
    fn is_loud(&self, frames: &[f32]) -> bool {
        frames.iter().any(|&value| value > self.loudest)
    }
}

impl Translator for Fragile {
    type State = FragileState;
    type Search = ScriptedSearch;

    fn spec(&self) -> &TranslatorSpec {
        self.inner.spec()
    }

    fn encode(&self, jobs: Vec<EncodeJob<FragileState>>) -> Vec<Result<Encoded<FragileState>, TranslatorError>> {
        let encode = |EncodeJob { state, source, reach_steps }: EncodeJob<FragileState>| {
            let is_deadly = self.is_loud(source.frames());
            assert!(!(self.in_step && is_deadly), "too loud");
            let job = EncodeJob { state: state.map(|state| state.inner), source, reach_steps };
            let Encoded { state: inner, log_probs } = self.inner.encode(vec![job]).remove(0)?;
            Ok(Encoded { state: FragileState { inner, is_deadly }, log_probs })
        };
        jobs.into_iter().map(encode).collect()
    }

    fn decode(&self, jobs: Vec<DecodeJob<FragileState>>) -> Vec<Result<Decoded<FragileState>, TranslatorError>> {
        let decode = |DecodeJob { state, token, allowed }: DecodeJob<FragileState>| {
            let job = DecodeJob { state: state.inner, token, allowed };
            let Decoded { state, token, log_prob } = self.inner.decode(vec![job]).remove(0)?;
            Ok(Decoded { state: sound(state), token, log_prob })
        };
        jobs.into_iter().map(decode).collect()
    }

    fn search(
        &self,
        searches: Vec<Search<FragileState, ScriptedSearch>>,
    ) -> Vec<Result<Searching<FragileState, ScriptedSearch>, TranslatorError>> {
        let search = |search: Search<FragileState, ScriptedSearch>| {
            let search = match search {
                Search::Begin(SearchJob { state, token, beam_size, max_tokens, is_lookahead }) => {
                    Search::Begin(SearchJob { state: state.inner, token, beam_size, max_tokens, is_lookahead })
                }
                Search::GoOn(search) => Search::GoOn(search),
            };
            Ok(match self.inner.search(vec![search]).remove(0)? {
                Searching::Ended(Searched { tokens, score, states }) => {
                    Searching::Ended(Searched { tokens, score, states: states.into_iter().map(sound).collect() })
                }
                Searching::Underway(search) => Searching::Underway(search),
            })
        };
        searches.into_iter().map(search).collect()
    }

    fn state_to_bytes(&self, state: &FragileState) -> Result<Vec<u8>, TranslatorError> {
        self.inner.state_to_bytes(&state.inner)
    }

    fn state_from_bytes(&self, bytes: &[u8]) -> Result<FragileState, TranslatorError> {
        self.inner.state_from_bytes(bytes).map(sound)
    }
}

fn engine_of(max_sessions: usize, loudest: f32, in_step: bool) -> Engine {
    let config = EngineConfig { workers: 2, max_batch: 16, max_sessions, max_recordings: 2 };
    let make = move || Ok::<_, Infallible>(Fragile { inner: ScriptedTranslator::new(&assets()), loudest, in_step });
    Engine::start(&config, assets(), &Metrics::default(), make).unwrap()
}

fn engine(max_sessions: usize) -> Engine {
    engine_of(max_sessions, f32::INFINITY, true)
}

fn config(k: usize) -> SessionConfig {
    SessionConfig { policy: PolicyKind::WaitK { k }, ..SessionConfig::default() }
}

/// What a session says that is driven in place.
fn alone(k: usize, samples: &[f32]) -> Vec<Event> {
    let mut session = Session::new(config(k), assets()).unwrap();
    session.accept_waveform(samples).unwrap();
    session.input_finished();
    drive(&mut session, &ScriptedTranslator::new(&assets())).unwrap();
    std::iter::from_fn(|| session.poll_event()).collect()
}

async fn rest(events: &mut StreamEvents) -> Vec<Result<Emission, StreamError>> {
    let mut all = Vec::new();
    while let Some(event) = timeout(LONG, events.next()).await.unwrap() {
        all.push(event);
    }
    all
}

fn said(all: Vec<Result<Emission, StreamError>>) -> Vec<Event> {
    all.into_iter().map(|emission| emission.unwrap().event).collect()
}

/// Places come back when the worker has heard that a stream is over.
async fn until_active(engine: &Engine, count: usize) {
    let reached = async {
        while engine.active() != count {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, reached).await.unwrap();
}

async fn speak(mut input: StreamInput, samples: &[f32], chunk: usize) {
    for chunk in samples.chunks(chunk) {
        input.send(Input::Samples(chunk.to_vec())).await.unwrap();
    }
    input.send(Input::Finish).await.unwrap();
}

#[tokio::test]
async fn a_stream_says_the_same_among_64_others() {
    let engine = engine(65);
    let streams = (0..65).map(|number| {
        let (input, mut events) = engine.open(config(1 + number % 4), Pace::Live).unwrap();
        tokio::spawn(async move {
            let speaker = tokio::spawn(async move { speak(input, dialogue(), 500 + 211 * number).await });
            let said = said(rest(&mut events).await);
            speaker.await.unwrap();
            (1 + number % 4, said)
        })
    });
    let streams: Vec<_> = streams.collect();
    let expected: Vec<_> = (1..5).map(|k| alone(k, dialogue())).collect();
    for stream in streams {
        let (k, said) = stream.await.unwrap();
        assert_eq!(said, expected[k - 1]);
    }
    until_active(&engine, 0).await;
}

#[tokio::test]
async fn whoever_finds_no_place_is_told_and_places_come_back() {
    let engine = engine(3);
    let mut open: Vec<_> = (0..3).map(|_| engine.open(config(3), Pace::Live).unwrap()).collect();
    assert_eq!(engine.open(config(3), Pace::Live).unwrap_err(), OpenError::Full(3));
    assert!(engine.open(config(3), Pace::Recording).is_ok(), "recordings have places of their own");
    assert!(matches!(engine.open(config(0), Pace::Live), Err(OpenError::Session(_))));
    open.pop();
    until_active(&engine, 2).await;
    assert!(engine.open(config(3), Pace::Live).is_ok());
    engine.stop_admitting();
    assert_eq!(engine.open(config(3), Pace::Live).unwrap_err(), OpenError::Stopping);
}

#[tokio::test]
async fn a_panic_in_a_step_ends_the_stream_that_caused_it() {
    one_of_nine_panics(true).await;
}

#[tokio::test]
async fn a_panic_in_a_session_ends_that_stream() {
    one_of_nine_panics(false).await;
}

async fn one_of_nine_panics(in_step: bool) {
    let loud: Vec<f32> = dialogue().iter().map(|s| (s * 20.0).clamp(-1.0, 1.0)).collect();
    let loudness = |samples: &[f32]| {
        let assets = assets();
        let (config, cmvn) = assets.speech().unwrap();
        let mut frames = fbank(config, samples).unwrap();
        cmvn.apply(&mut frames);
        frames.into_iter().fold(f32::MIN, f32::max)
    };
    let engine = engine_of(9, loudness(dialogue()).midpoint(loudness(&loud)), in_step);
    let streams = (0..9).map(|number| {
        let (input, mut events) = engine.open(config(3), Pace::Live).unwrap();
        let samples = if number == 4 { loud.clone() } else { dialogue().to_vec() };
        tokio::spawn(async move {
            // The one that panics takes no more input.
            let speaker = tokio::spawn(async move { speak(input, &samples, 1600).await });
            let all = rest(&mut events).await;
            speaker.abort();
            all
        })
    });
    let streams: Vec<_> = streams.collect();
    for (number, stream) in streams.into_iter().enumerate() {
        let all = stream.await.unwrap();
        if number == 4 {
            assert_eq!(all.last(), Some(&Err(StreamError::panicked())));
        } else {
            assert_eq!(said(all), alone(3, dialogue()));
        }
    }
    assert!(engine.is_healthy(), "steps succeed again");
    assert!(engine.join(LONG));
}

#[tokio::test]
async fn who_does_not_read_stands_still_and_loses_nothing() {
    let engine = engine(2);
    let long: Vec<f32> = dialogue().iter().cycle().take(dialogue().len() * 12).copied().collect();
    let (mut input, mut events) = engine.open(config(1), Pace::Live).unwrap();
    long.chunks(1600).for_each(|chunk| input.push(Input::Samples(chunk.to_vec())));
    input.push(Input::Finish);
    let stuck = timeout(Duration::from_millis(500), input.advance()).await;
    assert!(stuck.is_err() && !input.is_clear(), "nobody reads, so nobody may write");
    let writer = tokio::spawn(async move { input.advance().await });
    assert_eq!(said(rest(&mut events).await), alone(1, &long));
    writer.await.unwrap().unwrap();
}

#[tokio::test]
async fn marks_and_flushes_are_answered_in_order() {
    let engine = engine(1);
    let (mut input, mut events) = engine.open(config(3), Pace::Live).unwrap();
    for part in [
        Input::Mark(1),
        Input::Samples(dialogue()[..16_000].to_vec()),
        Input::Mark(2),
        Input::Flush,
        Input::Mark(3),
        Input::Finish,
    ] {
        input.send(part).await.unwrap();
    }
    let said = said(rest(&mut events).await);
    let position = |wanted: &Event| said.iter().position(|event| event == wanted).unwrap();
    let end = said.iter().position(|event| matches!(event, Event::UtteranceEnd { .. })).unwrap();
    let order = [
        position(&Event::Marked { mark: 1 }),
        position(&Event::Marked { mark: 2 }),
        end,
        position(&Event::Flushed),
        position(&Event::Marked { mark: 3 }),
    ];
    assert!(order.is_sorted() && order[0] == 0, "{order:?}");
    assert_eq!(said.last(), Some(&Event::Finished));
}

#[tokio::test]
async fn input_after_the_end_is_refused() {
    let engine = engine(1);
    let (mut input, mut events) = engine.open(config(3), Pace::Live).unwrap();
    input.push(Input::Samples(audio(&[(true, 400)])));
    input.push(Input::Finish);
    input.push(Input::Samples(vec![0.0]));
    input.advance().await.unwrap();
    let all = rest(&mut events).await;
    let refused = Err(StreamError::Session(SessionError::InputFinished));
    // Whichever the worker came to first: both are said, neither is silent.
    assert!(all.last() == Some(&refused) || matches!(all.last(), Some(Ok(e)) if e.event == Event::Finished), "{all:?}");
}

#[tokio::test]
async fn a_reader_that_leaves_in_the_middle_frees_its_worker() {
    let engine = engine(64);
    for round in 0..200 {
        let (mut input, mut events) = engine.open(config(1), Pace::Live).unwrap();
        let speaker = tokio::spawn(async move {
            // Ends with an error as soon as nobody listens.
            let _ = input.send(Input::Samples(dialogue().to_vec())).await;
        });
        for _ in 0..round % 7 {
            timeout(LONG, events.next()).await.unwrap();
        }
        drop(events);
        timeout(LONG, speaker).await.unwrap().unwrap();
    }
    until_active(&engine, 0).await;
    assert!(engine.join(LONG));
}

#[tokio::test]
async fn ten_thousand_streams_leave_nothing() {
    let engine = engine(4);
    let word = audio(&[(true, 300)]);
    for number in 0..10_000 {
        let (mut input, mut events) = loop {
            match engine.open(config(1), Pace::Live) {
                Ok(stream) => break stream,
                Err(OpenError::Full(_)) => tokio::task::yield_now().await,
                Err(other) => panic!("{other}"),
            }
        };
        if number % 100 == 0 {
            input.send(Input::Samples(word.clone())).await.unwrap();
            input.send(Input::Finish).await.unwrap();
            assert!(!rest(&mut events).await.is_empty());
        }
    }
    assert!(engine.join(LONG), "workers end when nobody can send them mail");
}
