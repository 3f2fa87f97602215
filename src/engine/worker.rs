//! A thread that owns a translator and the sessions that it serves.
//!
//! It sleeps on its mailbox; awake, it takes all mail, lets every stream that got some go on until it needs an answer,
//! makes one batched step, hands out the answers, and looks at the mail again. So streams of any age step together
//! without waiting for one another, and no stream's session ever leaves the thread.
//! Invariant: a panic ends only the stream it is in: of a step, those whose jobs panic alone as well.

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::batch::{Batch, Queue};
use super::mail::{Mail, Opening};
use super::seat::{Next, Seat};
use super::stream::StreamError;
use crate::session::event::{Emission, Event};
use crate::session::translator::{Searching, Translator, TranslatorError};
use crate::session::{Reply, SessionAssets};
use crate::telemetry::{Metrics, StepKind};

/// What a worker is made of, and what it tells others.
#[derive(Debug)]
pub(super) struct Worker<T: Translator> {
    pub(super) translator: T,
    pub(super) assets: Arc<SessionAssets>,
    pub(super) mail: mpsc::Receiver<Mail>,
    pub(super) max_batch: usize,
    pub(super) metrics: Metrics,
    /// Panics in a row, over all workers.
    pub(super) panics: Arc<AtomicU32>,
}

impl<T: Translator> Worker<T> {
    /// Works until all streams are over and nobody can open another.
    pub(super) fn run(mut self) {
        let mut seats: HashMap<u64, Seat<T::State>> = HashMap::new();
        let mut queue: WorkerQueue<T> = Queue::new(self.max_batch);
        let mut ready: HashSet<u64> = HashSet::new();
        let mut counted = 0;
        loop {
            if queue.len() == 0 {
                match self.mail.blocking_recv() {
                    Some(mail) => self.take(mail, &mut seats, &mut queue, &mut ready),
                    None => return,
                }
            }
            while let Ok(mail) = self.mail.try_recv() {
                self.take(mail, &mut seats, &mut queue, &mut ready);
            }
            for id in ready.drain() {
                self.advance(id, None, &mut seats, &mut queue);
            }
            self.metrics.jobs_waiting.inc_by(queue.len() as i64 - counted);
            counted = queue.len() as i64;
            if let Some(batch) = queue.next() {
                for (id, outcome) in self.step(batch) {
                    match outcome {
                        Some(Outcome::Reply(reply)) => self.advance(id, Some(reply), &mut seats, &mut queue),
                        Some(Outcome::Underway(search)) => queue.push_back(id, search),
                        None => end(id, &mut seats),
                    }
                }
            }
        }
    }

    fn take(
        &self,
        mail: Mail,
        seats: &mut HashMap<u64, Seat<T::State>>,
        queue: &mut WorkerQueue<T>,
        ready: &mut HashSet<u64>,
    ) {
        match mail {
            Mail::Open(id, opening) => self.open(id, *opening, seats),
            Mail::Input(id, letter) => {
                // A stream that is over takes no input; its credit goes back with the letter.
                if let Some(seat) = seats.get_mut(&id) {
                    seat.accept(letter);
                    ready.insert(id);
                }
            }
            Mail::Wake(id) => drop(ready.insert(id)),
            Mail::Gone(id, slot) => {
                seats.remove(&id);
                queue.remove(id);
                drop(slot);
            }
        }
    }

    fn open(&self, id: u64, opening: Opening, seats: &mut HashMap<u64, Seat<T::State>>) {
        let events = opening.events.clone();
        let error = match catch_unwind(AssertUnwindSafe(|| Seat::new(opening, &self.assets))) {
            Ok(Ok(seat)) => return drop(seats.insert(id, seat)),
            Ok(Err(error)) => error.into(),
            Err(_) => {
                self.panicked("a session panicked at its beginning");
                StreamError::panicked()
            }
        };
        // The channel is new, so there is room.
        let _ = events.try_send(Err(error));
    }

    /// Lets a stream go on, with the answer that it waits for if it does.
    fn advance(
        &self,
        id: u64,
        reply: Option<Reply<T::State>>,
        seats: &mut HashMap<u64, Seat<T::State>>,
        queue: &mut WorkerQueue<T>,
    ) {
        let Some(seat) = seats.get_mut(&id) else { return };
        let mut heed = |emission: &Emission| {
            if let Event::Committed(_) = emission.event {
                self.metrics.committed(Duration::from_millis(emission.lag_ms));
            }
        };
        let advanced = catch_unwind(AssertUnwindSafe(|| {
            if let Some(reply) = reply {
                seat.answer(reply);
            }
            seat.advance(&mut heed)
        }));
        match advanced {
            Ok(Next::Request(request)) => queue.push(id, request),
            Ok(Next::Wait) => {}
            Ok(Next::Over) => drop(seats.remove(&id)),
            Err(_) => {
                self.panicked("a session panicked and its stream is ended");
                end(id, seats);
            }
        }
    }

    /// What has come of a batch; none for a job that panicked.
    fn step(&self, batch: WorkerBatch<T>) -> Vec<(u64, Option<Outcome<T>>)> {
        let kind = match &batch {
            Batch::Decode(_) => StepKind::Decode,
            Batch::Encode(_) => StepKind::Encode,
            Batch::Search(_) => StepKind::Search,
        };
        let ids = batch.ids();
        let began = Instant::now();
        let served = catch_unwind(AssertUnwindSafe(|| self.serve(batch.clone())));
        self.metrics.step(kind, ids.len(), began.elapsed());
        let outcomes = match served {
            Ok(outcomes) if outcomes.len() == ids.len() => {
                self.panics.store(0, Ordering::Release);
                outcomes.into_iter().map(Some).collect()
            }
            Ok(outcomes) => {
                let message = format!("a batch of {} has {} answers", ids.len(), outcomes.len());
                let failed = || Reply::Failed(TranslatorError::Backend(message.clone()));
                ids.iter().map(|_| Some(Outcome::Reply(failed()))).collect()
            }
            // Whose job was it? Each steps alone, and who panics again is out.
            Err(_) => batch.split().into_iter().map(|one| self.alone(one)).collect::<Vec<_>>(),
        };
        ids.into_iter().zip(outcomes).collect()
    }

    fn alone(&self, one: WorkerBatch<T>) -> Option<Outcome<T>> {
        let outcome = catch_unwind(AssertUnwindSafe(|| self.serve(one))).ok();
        match outcome {
            Some(_) => self.panics.store(0, Ordering::Release),
            None => self.panicked("a step panicked and its stream is ended"),
        }
        outcome?.pop()
    }

    fn panicked(&self, what: &str) {
        let panics = self.panics.fetch_add(1, Ordering::AcqRel) + 1;
        tracing::error!(panics, "{what}");
    }

    fn serve(&self, batch: WorkerBatch<T>) -> Vec<Outcome<T>> {
        fn jobs<J>(numbered: Vec<(u64, J)>) -> Vec<J> {
            numbered.into_iter().map(|(_, job)| job).collect()
        }
        fn outcomes<T: Translator, A>(
            answers: Vec<Result<A, TranslatorError>>,
            outcome: impl Fn(A) -> Outcome<T>,
        ) -> Vec<Outcome<T>> {
            let failed = |error| Outcome::Reply(Reply::Failed(error));
            answers.into_iter().map(|answer| answer.map_or_else(failed, &outcome)).collect()
        }
        match batch {
            Batch::Decode(batch) => {
                outcomes(self.translator.decode(jobs(batch)), |decoded| Outcome::Reply(Reply::Decoded(decoded)))
            }
            Batch::Encode(batch) => {
                outcomes(self.translator.encode(jobs(batch)), |encoded| Outcome::Reply(Reply::Encoded(encoded)))
            }
            Batch::Search(batch) => outcomes(self.translator.search(jobs(batch)), |searching| match searching {
                Searching::Ended(searched) => Outcome::Reply(Reply::Searched(searched)),
                Searching::Underway(search) => Outcome::Underway(search),
            }),
        }
    }
}

type WorkerQueue<T> = Queue<<T as Translator>::State, <T as Translator>::Search>;
type WorkerBatch<T> = Batch<<T as Translator>::State, <T as Translator>::Search>;

/// What has come of a job.
#[derive(Debug)]
enum Outcome<T: Translator> {
    /// Its answer.
    Reply(Reply<T::State>),
    /// A search that goes on.
    Underway(T::Search),
}

/// Of a stream that panicked.
fn end<S: Clone>(id: u64, seats: &mut HashMap<u64, Seat<S>>) {
    if let Some(seat) = seats.remove(&id) {
        seat.panicked();
    }
}
