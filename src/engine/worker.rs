//! A thread that owns a translator and the sessions that it serves.
//!
//! It sleeps on its mailbox; awake, it takes all mail, lets every stream that got some go on until it needs an answer,
//! makes one batched step, hands out the answers, and looks at the mail again. So streams of any age step together
//! without waiting for one another, and no stream's session ever leaves the thread.
//! Invariant: a step that panics ends only the streams whose jobs panic alone as well.

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
                self.advance(id, &mut seats, &mut queue);
            }
            self.metrics.jobs_waiting.inc_by(queue.len() as i64 - counted);
            counted = queue.len() as i64;
            if let Some(batch) = queue.next() {
                for (id, reply) in self.step(batch) {
                    if let Some(seat) = seats.get_mut(&id) {
                        match reply {
                            Some(reply) => seat.answer(reply),
                            None => {
                                seat.panicked();
                                seats.remove(&id);
                            }
                        }
                    }
                    self.advance(id, &mut seats, &mut queue);
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
        match Seat::new(opening, &self.assets) {
            Ok(seat) => drop(seats.insert(id, seat)),
            // The channel is new, so there is room.
            Err(error) => drop(events.try_send(Err(StreamError::from(error)))),
        }
    }

    fn advance(&self, id: u64, seats: &mut HashMap<u64, Seat<T::State>>, queue: &mut Queue<T::State>) {
        let Some(seat) = seats.get_mut(&id) else { return };
        let mut heed = |emission: &Emission| {
            if let Event::Committed(_) = emission.event {
                self.metrics.committed(Duration::from_millis(emission.lag_ms));
            }
        };
        match seat.advance(&mut heed) {
            Next::Request(request) => queue.push(id, request),
            Next::Wait => {}
            Next::Over => drop(seats.remove(&id)),
        }
    }

    /// The answers of a batch; none for a job that panicked.
    fn step(&self, batch: Batch<T::State>) -> Vec<(u64, Option<Reply<T::State>>)> {
        let (kind, ids, requests): (StepKind, Vec<u64>, Vec<Request<T::State>>) = match &batch {
            Batch::Decode(jobs) => {
                (StepKind::Decode, ids(jobs), jobs.iter().map(|(_, job)| Request::Decode(job.clone())).collect())
            }
            Batch::Encode(jobs) => {
                (StepKind::Encode, ids(jobs), jobs.iter().map(|(_, job)| Request::Encode(job.clone())).collect())
            }
            Batch::Search(jobs) => {
                (StepKind::Search, ids(jobs), jobs.iter().map(|(_, job)| Request::Search(job.clone())).collect())
            }
        };
        let began = Instant::now();
        let served = catch_unwind(AssertUnwindSafe(|| self.serve(batch)));
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
            Err(_) => requests.into_iter().map(|request| self.alone(request)).collect::<Vec<_>>(),
        };
        ids.into_iter().zip(replies).collect()
    }

    fn alone(&self, request: Request<T::State>) -> Option<Reply<T::State>> {
        let reply = catch_unwind(AssertUnwindSafe(|| request.serve(&self.translator))).ok();
        match reply {
            Some(_) => self.panics.store(0, Ordering::Release),
            None => {
                let panics = self.panics.fetch_add(1, Ordering::AcqRel) + 1;
                tracing::error!(panics, "a step panicked and its stream is ended");
            }
        }
        reply
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

fn ids<J>(jobs: &[(u64, J)]) -> Vec<u64> {
    jobs.iter().map(|(id, _)| *id).collect()
}
