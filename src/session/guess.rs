//! Ahead of the policy: how the translation may go on with what has been heard, decided on a copy of the state.
//!
//! Invariant: a guess changes nothing of what is committed; one is made for each segment, so that it does not depend on
//! the chunks of the audio.

use super::{
    InFlight, Session, SessionError,
    drive::Request,
    event::{Event, Tentative},
    translator::{Allowed, DecodeJob, Decoded},
};

/// A guess that is being made.
#[derive(Debug)]
pub(super) struct Guess<S> {
    /// The state to go on from, unless a request has taken it along.
    state: Option<S>,
    tokens: Vec<u32>,
}

impl<S: Clone> Session<S> {
    /// The next step of guessing, if the utterance has heard something new since the last guess.
    pub(super) fn guess(&mut self) -> Option<Request<S>> {
        let utterance = self.core.utterance.as_ref()?;
        let stale = utterance.guessed_steps < utterance.num_steps && !utterance.source_ended;
        if self.core.config.tentative_tokens == 0 || !stale {
            self.guess = None;
            return None;
        }
        let (pending, state) = (utterance.pending(), self.state.as_ref());
        let guess = match &mut self.guess {
            Some(guess) => guess,
            none => none.insert(Guess { state: Some(state?.clone()), tokens: Vec::new() }),
        };
        let first = guess.tokens.is_empty();
        let token = if first { pending } else { guess.tokens.last().copied() };
        // What is committed are whole words.
        let allowed = Allowed { continuation: !first, ..Allowed::ALL };
        let state = guess.state.take()?;
        self.in_flight = Some(InFlight::Guess);
        Some(Request::Decode(DecodeJob { state, token, allowed }))
    }

    pub(super) fn accept_guessed(&mut self, decoded: Decoded<S>) -> Result<(), SessionError> {
        let (Some(guess), Some(utterance)) = (&mut self.guess, &mut self.core.utterance) else {
            return Ok(());
        };
        guess.state = Some(decoded.state);
        guess.tokens.extend(decoded.token);
        if decoded.token.is_none() || guess.tokens.len() >= self.core.config.tentative_tokens {
            utterance.guessed_steps = utterance.num_steps;
            let text = self.assets.target_tokenizer.decode(&guess.tokens);
            let utterance = utterance.number;
            self.guess = None;
            self.emit(Event::Tentative(Tentative { utterance, text }));
        }
        Ok(())
    }
}
