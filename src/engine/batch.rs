//! Requests that wait, and which of them step together. Pure.
//!
//! Decoder steps, searches and segments take turns, one batch of each kind, oldest first. Searches for a next word, which is
//! what somebody waits for, go to their end; the rest of an utterance is searched in slices beside them, as many tokens at a
//! time as such a word takes, and so holds nobody up. Nobody waits for a batch to fill: batches grow by themselves when
//! requests come faster than steps are made.
//! Invariant: every request is in exactly one batch, in the order of its kind, and a rest in one after another until it ends.

use std::collections::VecDeque;

use crate::session::Request;
use crate::session::translator::{DecodeJob, EncodeJob, Search};

/// Rests of utterances that step together: everybody who waits for a word waits for their rows, too.
const MAX_RESTS: usize = 8;

/// Requests that step together, with the streams they are of.
#[derive(Debug, Clone)]
pub(super) enum Batch<S, P> {
    Decode(Vec<(u64, DecodeJob<S>)>),
    Encode(Vec<(u64, EncodeJob<S>)>),
    Search(Vec<(u64, Search<S, P>)>),
}

impl<S, P> Batch<S, P> {
    /// The streams, in the order of their requests.
    pub(super) fn ids(&self) -> Vec<u64> {
        fn ids<J>(jobs: &[(u64, J)]) -> Vec<u64> {
            jobs.iter().map(|(id, _)| *id).collect()
        }
        match self {
            Self::Decode(jobs) => ids(jobs),
            Self::Encode(jobs) => ids(jobs),
            Self::Search(jobs) => ids(jobs),
        }
    }

    /// Each on its own.
    pub(super) fn split(self) -> Vec<Self> {
        match self {
            Self::Decode(jobs) => jobs.into_iter().map(|job| Self::Decode(vec![job])).collect(),
            Self::Encode(jobs) => jobs.into_iter().map(|job| Self::Encode(vec![job])).collect(),
            Self::Search(jobs) => jobs.into_iter().map(|job| Self::Search(vec![job])).collect(),
        }
    }
}

/// What waits.
#[derive(Debug)]
pub(super) struct Queue<S, P> {
    decode: VecDeque<(u64, DecodeJob<S>)>,
    encode: VecDeque<(u64, EncodeJob<S>)>,
    lookahead: VecDeque<(u64, Search<S, P>)>,
    rest: VecDeque<(u64, Search<S, P>)>,
    max_batch: usize,
    /// The kind whose turn it is.
    turn: usize,
}

impl<S, P> Queue<S, P> {
    pub(super) fn new(max_batch: usize) -> Self {
        let max_batch = max_batch.max(1);
        let (lookahead, rest) = (VecDeque::new(), VecDeque::new());
        Self { decode: VecDeque::new(), encode: VecDeque::new(), lookahead, rest, max_batch, turn: 0 }
    }

    pub(super) fn push(&mut self, id: u64, request: Request<S>) {
        match request {
            Request::Decode(job) => self.decode.push_back((id, job)),
            Request::Encode(job) => self.encode.push_back((id, job)),
            Request::Search(job) if job.is_lookahead => self.lookahead.push_back((id, Search::Begin(job))),
            Request::Search(job) => self.rest.push_back((id, Search::Begin(job))),
        }
    }

    /// A search that has been in a batch and is not over.
    pub(super) fn push_back(&mut self, id: u64, search: P) {
        self.rest.push_back((id, Search::GoOn(search)));
    }

    /// Forgets what a stream waits for.
    pub(super) fn remove(&mut self, id: u64) {
        self.decode.retain(|(other, _)| *other != id);
        self.encode.retain(|(other, _)| *other != id);
        self.lookahead.retain(|(other, _)| *other != id);
        self.rest.retain(|(other, _)| *other != id);
    }

    pub(super) fn len(&self) -> usize {
        self.decode.len() + self.encode.len() + self.lookahead.len() + self.rest.len()
    }

    /// The next batch; `None` if nothing waits.
    pub(super) fn next(&mut self) -> Option<Batch<S, P>> {
        let most = self.max_batch;
        for _ in 0..3 {
            let turn = self.turn;
            self.turn = (turn + 1) % 3;
            match turn {
                0 if !self.decode.is_empty() => return Some(Batch::Decode(take(&mut self.decode, most))),
                1 if !(self.lookahead.is_empty() && self.rest.is_empty()) => {
                    let mut searches = take(&mut self.lookahead, most);
                    searches.extend(take(&mut self.rest, MAX_RESTS.min(most - searches.len()).max(1)));
                    return Some(Batch::Search(searches));
                }
                2 if !self.encode.is_empty() => return Some(Batch::Encode(take(&mut self.encode, most))),
                _ => {}
            }
        }
        None
    }
}

fn take<J>(queue: &mut VecDeque<J>, most: usize) -> Vec<J> {
    queue.drain(..most.min(queue.len())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::translator::{Allowed, SearchJob, SourceInput};

    fn decode(state: u32) -> Request<u32> {
        Request::Decode(DecodeJob { state, token: None, allowed: Allowed::ALL })
    }

    fn encode(state: u32) -> Request<u32> {
        Request::Encode(EncodeJob { state: Some(state), source: SourceInput::Pieces(Vec::new()), reach_steps: None })
    }

    fn search(is_lookahead: bool) -> Request<u32> {
        Request::Search(SearchJob { state: 0, token: None, beam_size: 1, max_tokens: 1, is_lookahead })
    }

    /// Kinds and streams of all batches.
    fn all(queue: &mut Queue<u32, u32>) -> Vec<(char, Vec<u64>)> {
        let batch = |batch| match batch {
            Batch::Decode(jobs) => ('d', jobs.iter().map(|job: &(u64, _)| job.0).collect()),
            Batch::Encode(jobs) => ('e', jobs.iter().map(|job: &(u64, _)| job.0).collect()),
            Batch::Search(jobs) => ('s', jobs.iter().map(|job: &(u64, _)| job.0).collect()),
        };
        std::iter::from_fn(|| queue.next()).map(batch).collect()
    }

    #[test]
    fn kinds_take_turns_and_everybody_steps_once() {
        let mut queue = Queue::new(2);
        (0..3).for_each(|id| queue.push(id, search(false)));
        queue.push(11, search(true));
        (3..8).for_each(|id| queue.push(id, encode(0)));
        (8..11).for_each(|id| queue.push(id, decode(0)));
        assert_eq!(queue.len(), 12);
        let batches = all(&mut queue);
        let expected = [
            ('d', vec![8, 9]),
            ('s', vec![11, 0]),
            ('e', vec![3, 4]),
            ('d', vec![10]),
            ('s', vec![1, 2]),
            ('e', vec![5, 6]),
            ('e', vec![7]),
        ];
        assert_eq!(batches, expected);
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn rests_take_turns_beside_the_words_that_are_waited_for() {
        let mut queue = Queue::new(32);
        let ids = |batch| match batch {
            Some(Batch::Search(jobs)) => jobs.into_iter().map(|job: (u64, Search<u32, u32>)| job.0).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        };
        (0..10).for_each(|id| queue.push(id, search(false)));
        let first = ids(queue.next());
        assert_eq!(first, [0, 1, 2, 3, 4, 5, 6, 7]);
        first.into_iter().for_each(|id| queue.push_back(id, 0));
        queue.push(20, search(true));
        assert_eq!(ids(queue.next()), [20, 8, 9, 0, 1, 2, 3, 4, 5]);
        queue.remove(6);
        assert_eq!(ids(queue.next()), [7]);
    }

    #[test]
    fn who_left_does_not_step() {
        let mut queue = Queue::new(8);
        (0..4).for_each(|id| queue.push(id, decode(0)));
        queue.remove(2);
        assert_eq!(all(&mut queue), [('d', vec![0, 1, 3])]);
    }
}
