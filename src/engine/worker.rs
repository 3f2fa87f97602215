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
use crate::session::translator::{Translator, TranslatorError};
use crate::session::{Reply, Request, SessionAssets};
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
        let mut queue = Queue::new(self.max_batch);
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
                for (id, reply) in self.step(batch) {
                    match reply {
                        Some(reply) => self.advance(id, Some(reply), &mut seats, &mut queue),
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
        queue: &mut Queue<T::State>,
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
        queue: &mut Queue<T::State>,
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

    /// The answers of a batch; none for a job that panicked.
    fn step(&self, batch: Batch<T::State>) -> Vec<(u64, Option<Reply<T::State>>)> {
        let kind = match &batch {
            Batch::Decode(_) => StepKind::Decode,
            Batch::Encode(_) => StepKind::Encode,
            Batch::Search(_) => StepKind::Search,
        };
        let ids = batch.ids();
        let began = Instant::now();
        let served = catch_unwind(AssertUnwindSafe(|| self.serve(batch.clone())));
        self.metrics.step(kind, ids.len(), began.elapsed());
        let replies = match served {
            Ok(replies) if replies.len() == ids.len() => {
                self.panics.store(0, Ordering::Release);
                replies.into_iter().map(Some).collect()
            }
            Ok(replies) => {
                let message = format!("a batch of {} has {} answers", ids.len(), replies.len());
                ids.iter().map(|_| Some(Reply::Failed(TranslatorError::Backend(message.clone())))).collect()
            }
            // Whose job was it? Each steps alone, and who panics again is out.
            Err(_) => batch.into_requests().into_iter().map(|request| self.alone(request)).collect::<Vec<_>>(),
        };
        ids.into_iter().zip(replies).collect()
    }

    fn alone(&self, request: Request<T::State>) -> Option<Reply<T::State>> {
        let reply = catch_unwind(AssertUnwindSafe(|| request.serve(&self.translator))).ok();
        match reply {
            Some(_) => self.panics.store(0, Ordering::Release),
            None => self.panicked("a step panicked and its stream is ended"),
        }
        reply
    }

    fn panicked(&self, what: &str) {
        let panics = self.panics.fetch_add(1, Ordering::AcqRel) + 1;
        tracing::error!(panics, "{what}");
    }

    fn serve(&self, batch: Batch<T::State>) -> Vec<Reply<T::State>> {
        let failed = |error| Reply::Failed(error);
        match batch {
            Batch::Decode(jobs) => {
                let answers = self.translator.decode(jobs.into_iter().map(|(_, job)| job).collect());
                answers.into_iter().map(|answer| answer.map_or_else(failed, Reply::Decoded)).collect()
            }
            Batch::Encode(jobs) => {
                let answers = self.translator.encode(jobs.into_iter().map(|(_, job)| job).collect());
                answers.into_iter().map(|answer| answer.map_or_else(failed, Reply::Encoded)).collect()
            }
            Batch::Search(jobs) => {
                let answers = self.translator.search(jobs.into_iter().map(|(_, job)| job).collect());
                answers.into_iter().map(|answer| answer.map_or_else(failed, Reply::Searched)).collect()
            }
        }
    }
}

/// Of a stream that panicked.
fn end<S: Clone>(id: u64, seats: &mut HashMap<u64, Seat<S>>) {
    if let Some(seat) = seats.remove(&id) {
        seat.panicked();
    }
}
