//! One stream inside a worker: its session, its input, its way out.
//!
//! Invariant: input is taken one piece at a time, when everything before it is worked off and every event of it is on
//! its way, so that marks and flushes mean what they say.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::mail::{Letter, Opening};
use super::stream::{Input, StreamError};
use crate::session::event::{Emission, Event};
use crate::session::{Reply, Request, Session, SessionAssets, SessionError};

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Seat<S> {
    session: Session<S>,
    inbox: VecDeque<Letter>,
    /// The piece of input that is being worked off.
    current: Option<Letter>,
    /// A request is being answered.
    busy: bool,
    /// Up to which audio what came when, oldest first: at most one a millisecond, and none that no word can ask for.
    arrivals: VecDeque<(u64, Instant)>,
    /// An answered mark that has not left, and when it came.
    held: Option<(Event, Instant)>,
    events: mpsc::Sender<Result<Emission, StreamError>>,
    stalled: Arc<AtomicBool>,
    opened: Instant,
    _slot: Arc<OwnedSemaphorePermit>,
}

/// What a seat needs next.
pub(super) enum Next<S> {
    /// An answer.
    Request(Request<S>),
    /// Input, or somebody who takes the events.
    Wait,
    /// Nothing ever: it is over.
    Over,
}

impl<S: Clone> Seat<S> {
    pub(super) fn new(opening: Opening, assets: &Arc<SessionAssets>) -> Result<Self, SessionError> {
        let Opening { config, events, stalled, slot, opened } = opening;
        Ok(Self {
            session: Session::new(config, Arc::clone(assets))?,
            inbox: VecDeque::new(),
            current: None,
            busy: false,
            arrivals: VecDeque::new(),
            held: None,
            events,
            stalled,
            opened,
            _slot: slot,
        })
    }

    pub(super) fn accept(&mut self, letter: Letter) {
        self.inbox.push_back(letter);
    }

    /// Takes the answer to the last request.
    pub(super) fn answer(&mut self, reply: Reply<S>) {
        self.busy = false;
        // The error comes back, and out, with the next request.
        let _ = self.session.answer(reply);
    }

    /// A step or the session itself panicked, and what it knew went with it.
    pub(super) fn panicked(self) {
        self.fail(StreamError::panicked());
    }

    /// Works until an answer, input or room is needed. `heed` is told of every event that leaves.
    pub(super) fn advance(&mut self, heed: &mut impl FnMut(&Emission)) -> Next<S> {
        if self.busy {
            return Next::Wait;
        }
        loop {
            if self.events.is_closed() {
                return Next::Over;
            }
            // Asked for before the events are taken, so that a failed session says all it had to say.
            let request = self.session.next_request();
            if !self.emit(heed) {
                if let Ok(Some(request)) = request {
                    // Room is needed for what comes of it, but the state is on its way already.
                    self.busy = true;
                    return Next::Request(request);
                }
                return Next::Wait;
            }
            match request {
                Ok(Some(request)) => {
                    self.busy = true;
                    return Next::Request(request);
                }
                Ok(None) if self.session.is_finished() => return Next::Over,
                Ok(None) => {}
                Err(error) => {
                    self.fail(error.into());
                    return Next::Over;
                }
            }
            // Idle: the current piece is done, the next may come.
            if let Some(Letter { input: Input::Mark(mark), received, .. }) = self.current.take() {
                self.held = Some((Event::Marked { mark }, received));
                continue;
            }
            let Some(letter) = self.inbox.pop_front() else { return Next::Wait };
            let accepted = match &letter.input {
                Input::Samples(samples) => Some(self.session.accept_waveform(samples)),
                Input::Text(text) => Some(self.session.accept_text(text)),
                Input::Flush => {
                    // Fails only if the session has failed, which the next round finds.
                    drop(self.session.flush());
                    None
                }
                Input::Mark(_) => None,
                Input::Finish => {
                    self.session.input_finished();
                    None
                }
            };
            match accepted {
                Some(Ok(())) => self.arrived(letter.received),
                Some(Err(error)) => {
                    self.fail(error.into());
                    return Next::Over;
                }
                None => {}
            }
            self.current = Some(letter);
        }
    }

    /// Sends events while there is room; whether all are gone.
    fn emit(&mut self, heed: &mut impl FnMut(&Emission)) -> bool {
        loop {
            let permit = match self.events.try_reserve() {
                Ok(permit) => permit,
                Err(TrySendError::Closed(())) => return false,
                Err(TrySendError::Full(())) => {
                    self.stalled.store(true, Ordering::Release);
                    // Room may have been made before the flag was up, and then nobody will wake us.
                    if self.events.capacity() == 0 {
                        return false;
                    }
                    self.stalled.store(false, Ordering::Release);
                    continue;
                }
            };
            let event = self.session.poll_event().map(|event| (event, None));
            let held = || self.held.take().map(|(event, received)| (event, Some(received)));
            let Some((event, received)) = event.or_else(held) else { return true };
            let lag_ms = match &event {
                Event::Committed(word) => lag_ms(&mut self.arrivals, word.source_ms),
                Event::Marked { .. } | Event::Flushed | Event::Finished => {
                    let received = received.or(self.current.as_ref().map(|letter| letter.received));
                    received.map_or(0, |received| received.elapsed().as_millis() as u64)
                }
                _ => 0,
            };
            let emitted_ms = self.opened.elapsed().as_millis() as u64;
            let emission = Emission { event, emitted_ms, lag_ms };
            heed(&emission);
            permit.send(Ok(emission));
        }
    }

    /// Notes when the audio accepted so far was complete, and forgets what nobody will ask for: all before it is worked
    /// off.
    fn arrived(&mut self, received: Instant) {
        forget(&mut self.arrivals, self.session.consumed_ms());
        let until_ms = self.session.accepted_ms();
        if self.arrivals.back().is_none_or(|&(last_ms, _)| last_ms < until_ms) {
            self.arrivals.push_back((until_ms, received));
        }
    }

    fn fail(&self, error: StreamError) {
        // Without room the reader is told by the end of the channel.
        let _ = self.events.try_send(Err(error));
    }
}

/// How long ago the audio up to `source_ms` was complete.
fn lag_ms(arrivals: &mut VecDeque<(u64, Instant)>, source_ms: u64) -> u64 {
    forget(arrivals, source_ms);
    arrivals.front().map_or(0, |(_, received)| received.elapsed().as_millis() as u64)
}

/// Drops what came before the audio up to `source_ms` was complete, but never the last.
fn forget(arrivals: &mut VecDeque<(u64, Instant)>, source_ms: u64) {
    while arrivals.len() > 1 && arrivals.front().is_some_and(|&(until_ms, _)| until_ms < source_ms) {
        arrivals.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Semaphore;

    use super::*;
    use crate::session::scripted::ScriptedState;
    use crate::session::tests::assets;

    #[test]
    fn silence_in_tiny_pieces_leaves_nothing_behind() {
        let permit = || Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let (events, _reader) = mpsc::channel(8);
        let (stalled, slot) = (Arc::default(), Arc::new(permit()));
        let opening = Opening { config: Default::default(), events, stalled, slot, opened: Instant::now() };
        let mut seat: Seat<ScriptedState> = Seat::new(opening, &assets()).unwrap();
        let mut most = 0;
        for _ in 0..60_000 {
            let input = Input::Samples(vec![0.0; 8]);
            seat.accept(Letter { input, _credit: permit(), received: Instant::now() });
            assert!(matches!(seat.advance(&mut |_| ()), Next::Wait));
            most = most.max(seat.arrivals.len());
        }
        assert_eq!(seat.session.accepted_ms(), 30_000);
        assert!(most < 100, "{most} arrivals are kept");
    }
}
