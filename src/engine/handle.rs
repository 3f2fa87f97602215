//! The engine: worker threads, places for streams, and who gets one.
//!
//! Live streams go to the worker with the most places left. Recordings that come as fast as the network brings them go to
//! a worker of their own, whose searches would otherwise make live words late.
//! Invariant: a stream that is opened is served; when there is no place, that is said before anything is promised.

use std::cmp::Reverse;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::mail::{Mail, Opening, ROOM};
use super::stream::{CREDITS, MAX_EVENTS, StreamEvents, StreamInput};
use super::worker::Worker;
use crate::session::translator::Translator;
use crate::session::{SessionAssets, SessionConfig, SessionError};
use crate::telemetry::Metrics;

/// Panics in a row after which the engine calls itself ill.
const MAX_PANICS: u32 = 3;

/// How an engine is laid out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineConfig {
    /// Threads for live streams; each has a translator of its own.
    pub workers: usize,
    /// Most streams that step together.
    pub max_batch: usize,
    /// Live streams at once.
    pub max_sessions: usize,
    /// Recordings at once.
    pub max_recordings: usize,
}

/// How fast the audio of a stream comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// As somebody speaks.
    Live,
    /// As fast as it is taken.
    Recording,
}

/// Why a stream was not opened.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum OpenError {
    /// All places are taken.
    #[error("all {0} places are taken")]
    Full(usize),
    /// The engine is being stopped.
    #[error("the server is stopping")]
    Stopping,
    /// The session would not start.
    #[error(transparent)]
    Session(#[from] SessionError),
}

/// Why an engine did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The system gave no thread.
    #[error("no thread for a worker")]
    Thread(#[from] std::io::Error),
    /// A worker has no translator.
    #[error("a worker could not make its translator: {0}")]
    Translator(String),
}

/// A handle; all clones speak of the same engine. It stops when the last clone and the last stream are gone.
#[derive(Debug, Clone)]
pub struct Engine(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    assets: Arc<SessionAssets>,
    live: Vec<Lane>,
    recordings: Lane,
    next_id: AtomicU64,
    stopping: AtomicBool,
    panics: Arc<AtomicU32>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// A worker's mailbox and its places.
#[derive(Debug)]
struct Lane {
    mail: mpsc::Sender<Mail>,
    places: Arc<Semaphore>,
    num_places: usize,
}

impl Lane {
    /// Its worker has not come to an end, which nothing but a panic in the worker itself brings about.
    fn is_alive(&self) -> bool {
        !self.mail.is_closed()
    }
}

impl Engine {
    /// Starts the workers. `make` is called on each worker's own thread, which keeps what it returns.
    ///
    /// # Errors
    /// If a thread or a translator cannot be had; the other workers stop.
    pub fn start<T, E>(
        config: &EngineConfig,
        assets: Arc<SessionAssets>,
        metrics: &Metrics,
        make: impl Fn() -> Result<T, E> + Clone + Send + 'static,
    ) -> Result<Self, StartError>
    where
        T: Translator + 'static,
        E: std::fmt::Display,
    {
        let panics = Arc::new(AtomicU32::new(0));
        let mut threads = Vec::new();
        let mut started = Vec::new();
        let mut lane = |name: String, num_places: usize| {
            let (mail, inbox) = mpsc::channel(num_places.max(1) * ROOM);
            let (assets, metrics, panics) = (Arc::clone(&assets), metrics.clone(), Arc::clone(&panics));
            let (make, max_batch) = (make.clone(), config.max_batch);
            let (said, ready) = sync_channel(1);
            let thread = Builder::new().name(name).spawn(move || match make() {
                Ok(translator) => {
                    // Fails only when nobody waits for the engine any more; the mailbox is closed then.
                    let _ = said.send(Ok(()));
                    Worker { translator, assets, mail: inbox, max_batch, metrics, panics }.run();
                }
                Err(error) => drop(said.send(Err(error.to_string()))),
            })?;
            threads.push(thread);
            started.push(ready);
            Ok::<_, StartError>(Lane { mail, places: Arc::new(Semaphore::new(num_places)), num_places })
        };
        let workers = config.workers;
        // Places are dealt out evenly; the first workers take what is over.
        let share = |worker| config.max_sessions / workers + usize::from(worker < config.max_sessions % workers);
        let live = (0..workers).map(|worker| lane(format!("worker-{worker}"), share(worker)));
        let live = live.collect::<Result<Vec<_>, _>>()?;
        let recordings = lane("worker-recordings".to_owned(), config.max_recordings)?;
        for ready in started {
            let made = ready.recv().unwrap_or_else(|_| Err("its thread ended".to_owned()));
            made.map_err(StartError::Translator)?;
        }
        Ok(Self(Arc::new(Shared {
            assets,
            live,
            recordings,
            next_id: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            panics,
            threads: Mutex::new(threads),
        })))
    }

    /// Opens a stream, or says at once why not.
    ///
    /// # Errors
    /// If there is no place, the engine is stopping, or `config` makes no session.
    pub fn open(&self, config: SessionConfig, pace: Pace) -> Result<(StreamInput, StreamEvents), OpenError> {
        let shared = &self.0;
        if shared.stopping.load(Ordering::Acquire) {
            return Err(OpenError::Stopping);
        }
        shared.assets.validate(&config)?;
        let (lane, slot) = self.place(pace)?;
        let slot = Arc::new(slot);
        let id = shared.next_id.fetch_add(1, Ordering::Relaxed);
        let (sender, events) = mpsc::channel(MAX_EVENTS);
        let stalled = Arc::new(AtomicBool::new(false));
        let opening = Opening {
            config,
            events: sender,
            stalled: Arc::clone(&stalled),
            slot: Arc::clone(&slot),
            opened: Instant::now(),
        };
        lane.mail.try_send(Mail::Open(id, Box::new(opening))).map_err(|_| OpenError::Stopping)?;
        let credits = Arc::new(Semaphore::new(CREDITS));
        let input =
            StreamInput { id, mail: lane.mail.clone(), credits: Arc::clone(&credits), waiting: Default::default() };
        let events = StreamEvents { id, mail: lane.mail.clone(), events, stalled, slot: Some(slot), credits };
        Ok((input, events))
    }

    /// Whether a stream would find a place now.
    ///
    /// # Errors
    /// As [`Engine::open`].
    pub fn room(&self, pace: Pace) -> Result<(), OpenError> {
        if !self.is_admitting() {
            return Err(OpenError::Stopping);
        }
        let lanes = self.lanes(pace);
        match lanes.iter().any(|lane| lane.places.available_permits() > 0) {
            true => Ok(()),
            false => Err(full(&lanes)),
        }
    }

    /// Those whose worker lives.
    fn lanes(&self, pace: Pace) -> Vec<&Lane> {
        let lanes = match pace {
            Pace::Live => &self.0.live[..],
            Pace::Recording => std::slice::from_ref(&self.0.recordings),
        };
        lanes.iter().filter(|lane| lane.is_alive()).collect()
    }

    fn place(&self, pace: Pace) -> Result<(&Lane, OwnedSemaphorePermit), OpenError> {
        let mut lanes = self.lanes(pace);
        lanes.sort_by_cached_key(|lane| Reverse(lane.places.available_permits()));
        // Others open streams meanwhile, so the first may be full by now.
        let mut places = lanes.iter().map(|lane| (*lane, Arc::clone(&lane.places).try_acquire_owned()));
        places.find_map(|(lane, slot)| Some((lane, slot.ok()?))).ok_or_else(|| full(&lanes))
    }

    /// Live streams now.
    pub fn active(&self) -> usize {
        self.0.live.iter().map(|lane| lane.num_places - lane.places.available_permits()).sum()
    }

    /// Whether steps succeed, and all workers are there.
    pub fn is_healthy(&self) -> bool {
        let mut lanes = self.0.live.iter().chain([&self.0.recordings]);
        self.0.panics.load(Ordering::Acquire) < MAX_PANICS && lanes.all(Lane::is_alive)
    }

    /// Whether streams can be opened.
    pub fn is_admitting(&self) -> bool {
        !self.0.stopping.load(Ordering::Acquire)
    }

    /// Opens no more streams; those that run go on.
    pub fn stop_admitting(&self) {
        self.0.stopping.store(true, Ordering::Release);
    }

    /// Gives this handle back and, if it is the last, waits for the workers, but no longer than `deadline`. Whether
    /// they have ended.
    pub fn join(self, deadline: Duration) -> bool {
        let threads = std::mem::take(&mut *self.0.threads.lock().unwrap_or_else(PoisonError::into_inner));
        drop(self);
        let began = Instant::now();
        while began.elapsed() < deadline && !threads.iter().all(JoinHandle::is_finished) {
            std::thread::sleep(Duration::from_millis(5));
        }
        threads.iter().all(JoinHandle::is_finished)
    }
}

fn full(lanes: &[&Lane]) -> OpenError {
    OpenError::Full(lanes.iter().map(|lane| lane.num_places).sum())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::session::scripted::ScriptedTranslator;
    use crate::session::tests::assets;

    fn engine(max_sessions: usize) -> Engine {
        let config = EngineConfig { workers: 2, max_batch: 4, max_sessions, max_recordings: 1 };
        let make = || Ok::<_, Infallible>(ScriptedTranslator::new(&assets()));
        Engine::start(&config, assets(), &Metrics::default(), make).unwrap()
    }

    #[test]
    fn a_worker_that_is_gone_is_noticed_and_gets_no_streams() {
        let mut engine = engine(5);
        assert!(engine.is_healthy());
        Arc::get_mut(&mut engine.0).unwrap().live[0].mail = mpsc::channel(1).0;
        assert!(!engine.is_healthy());
        let open = || engine.open(SessionConfig::default(), Pace::Live);
        let _streams = [open().unwrap(), open().unwrap()];
        assert_eq!(open().unwrap_err(), OpenError::Full(2));
        assert_eq!(engine.room(Pace::Live), Err(OpenError::Full(2)));
        assert_eq!(engine.room(Pace::Recording), Ok(()));
    }

    /// In turns of two, so that both see the same room.
    #[test]
    fn as_many_find_a_place_at_once_as_there_are() {
        for _ in 0..300 {
            let engine = engine(2);
            let start = std::sync::Barrier::new(2);
            let open = || {
                start.wait();
                engine.open(SessionConfig::default(), Pace::Live)
            };
            std::thread::scope(|scope| {
                let others = scope.spawn(open);
                let mine = open();
                assert!(mine.is_ok() && others.join().unwrap().is_ok());
            });
        }
    }
}
