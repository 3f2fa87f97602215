//! [`Translator`] for a cascade: one network that hears and, where there is one, another that reads, each asked for its own.
//!
//! Invariant: a state goes back to the half that it came from.

use crate::session::translator::{
    DecodeJob, Decoded, EncodeJob, Encoded, Search, SearchJob, Searched, Searching, SourceInput, Translator,
    TranslatorError, TranslatorSpec,
};

/// A network that hears and, in a bundle that reads, another that translates what was heard.
#[derive(Debug)]
pub struct Cascade<T> {
    /// Hears, and translates what it hears.
    pub hears: T,
    /// Reads what was heard, and translates that.
    pub reads: Option<T>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Hears,
    Reads,
}

/// What one half has accumulated.
#[derive(Debug, Clone)]
pub struct Half<A> {
    side: Side,
    of: A,
}

type Answer<A> = Result<A, TranslatorError>;

impl<T: Translator> Cascade<T> {
    /// Asks each half for its own jobs, and answers in the order of all.
    fn ask<J, A>(
        &self,
        jobs: impl Iterator<Item = (Side, J)>,
        ask: impl Fn(&T, Vec<J>) -> Vec<Answer<A>>,
    ) -> Vec<(Side, Answer<A>)> {
        let (sides, jobs): (Vec<Side>, Vec<(Side, J)>) = jobs.map(|(side, job)| (side, (side, job))).unzip();
        let (hears, reads): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|(side, _)| *side == Side::Hears);
        let jobs = |jobs: Vec<(Side, J)>| jobs.into_iter().map(|(_, job)| job).collect();
        let mut heard = ask(&self.hears, jobs(hears)).into_iter();
        let mut read = self.reads.as_ref().map(|half| ask(half, jobs(reads))).unwrap_or_default().into_iter();
        let missing =
            || Err(TranslatorError::InvalidJob("nothing answers it, allowed: what this bundle does".to_owned()));
        let answer = |side| match side {
            Side::Hears => heard.next(),
            Side::Reads => read.next(),
        };
        sides
            .iter()
            .copied()
            .zip(sides.iter().copied().map(answer).map(|answer| answer.unwrap_or_else(missing)))
            .collect()
    }

    fn half(&self, side: Side) -> Answer<&T> {
        let nothing = || TranslatorError::InvalidState("it is of a half that this bundle lacks".to_owned());
        if side == Side::Hears { Ok(&self.hears) } else { self.reads.as_ref().ok_or_else(nothing) }
    }
}

impl<T: Translator> Translator for Cascade<T> {
    type State = Half<T::State>;
    type Search = Half<T::Search>;

    fn spec(&self) -> &TranslatorSpec {
        self.hears.spec()
    }

    fn encode(&self, jobs: Vec<EncodeJob<Self::State>>) -> Vec<Answer<Encoded<Self::State>>> {
        let jobs = jobs.into_iter().map(|EncodeJob { state, source, reach_steps }| {
            let side = match (&state, &source) {
                (Some(state), _) => state.side,
                (None, SourceInput::Frames(_)) => Side::Hears,
                (None, SourceInput::Pieces(_)) => Side::Reads,
            };
            (side, EncodeJob { state: state.map(|state| state.of), source, reach_steps })
        });
        let answers = self.ask(jobs, T::encode).into_iter();
        let whole = |side, Encoded { state: of, log_probs }| Encoded { state: Half { side, of }, log_probs };
        answers.map(|(side, answer)| answer.map(|encoded| whole(side, encoded))).collect()
    }

    fn decode(&self, jobs: Vec<DecodeJob<Self::State>>) -> Vec<Answer<Decoded<Self::State>>> {
        let job = |DecodeJob { state, token, allowed }: DecodeJob<Self::State>| {
            (state.side, DecodeJob { state: state.of, token, allowed })
        };
        let answers = self.ask(jobs.into_iter().map(job), T::decode).into_iter();
        let whole =
            |side, Decoded { state: of, token, log_prob }| Decoded { state: Half { side, of }, token, log_prob };
        answers.map(|(side, answer)| answer.map(|decoded| whole(side, decoded))).collect()
    }

    fn search(
        &self,
        searches: Vec<Search<Self::State, Self::Search>>,
    ) -> Vec<Answer<Searching<Self::State, Self::Search>>> {
        let job = |search: Search<Self::State, Self::Search>| match search {
            Search::Begin(SearchJob { state, token, beam_size, max_tokens, is_lookahead }) => {
                (state.side, Search::Begin(SearchJob { state: state.of, token, beam_size, max_tokens, is_lookahead }))
            }
            Search::GoOn(search) => (search.side, Search::GoOn(search.of)),
        };
        let answers = self.ask(searches.into_iter().map(job), T::search).into_iter();
        let whole = |side, searching| match searching {
            Searching::Underway(of) => Searching::Underway(Half { side, of }),
            Searching::Ended(Searched { tokens, score, states }) => {
                let states = states.into_iter().map(|of| Half { side, of }).collect();
                Searching::Ended(Searched { tokens, score, states })
            }
        };
        answers.map(|(side, answer)| answer.map(|searching| whole(side, searching))).collect()
    }

    fn state_to_bytes(&self, state: &Self::State) -> Answer<Vec<u8>> {
        let bytes = self.half(state.side)?.state_to_bytes(&state.of)?;
        Ok([&[u8::from(state.side == Side::Reads)], bytes.as_slice()].concat())
    }

    fn state_from_bytes(&self, bytes: &[u8]) -> Answer<Self::State> {
        let (side, bytes) = match bytes {
            [0, bytes @ ..] => (Side::Hears, bytes),
            [1, bytes @ ..] => (Side::Reads, bytes),
            _ => return Err(TranslatorError::InvalidState("it does not say which half it is of".to_owned())),
        };
        Ok(Half { side, of: self.half(side)?.state_from_bytes(bytes)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::scripted::{ScriptedTranslator, scripted_assets};
    use crate::session::translator::Allowed;

    fn cascade(reads: bool) -> Cascade<ScriptedTranslator> {
        let translator = || ScriptedTranslator::new(&scripted_assets().unwrap());
        Cascade { hears: translator(), reads: reads.then(translator) }
    }

    fn job(source: SourceInput) -> EncodeJob<Half<crate::session::scripted::ScriptedState>> {
        EncodeJob { state: None, source, reach_steps: None }
    }

    fn sources() -> Vec<SourceInput> {
        let frames = |value| SourceInput::Frames(vec![value; 32 * 80]);
        vec![frames(1.0), SourceInput::Pieces(vec![5]), SourceInput::Pieces(vec![6]), frames(2.0)]
    }

    #[test]
    fn each_half_answers_its_own_in_the_order_of_all() {
        let cascade = cascade(true);
        let together: Vec<_> = cascade.encode(sources().into_iter().map(job).collect());
        for (source, answer) in sources().into_iter().zip(&together) {
            let alone = cascade.encode(vec![job(source)]).remove(0).unwrap();
            let answer = answer.as_ref().unwrap();
            assert_eq!((&alone.state.of, alone.state.side), (&answer.state.of, answer.state.side));
        }
        let decode = |state| DecodeJob { state, token: None, allowed: Allowed::ALL };
        let states = together.into_iter().map(|answer| answer.unwrap().state);
        let sides: Vec<Side> = cascade
            .decode(states.map(decode).collect())
            .into_iter()
            .map(|decoded| {
                let state = decoded.unwrap().state;
                let bytes = cascade.state_to_bytes(&state).unwrap();
                let again = cascade.state_from_bytes(&bytes).unwrap();
                assert_eq!((again.side, &again.of), (state.side, &state.of));
                state.side
            })
            .collect();
        assert_eq!(sides, [Side::Hears, Side::Reads, Side::Reads, Side::Hears]);
        assert!(cascade.state_from_bytes(&[]).is_err() && cascade.state_from_bytes(&[7, 7]).is_err());
    }

    #[test]
    fn a_half_that_is_not_there_answers_nothing() {
        let answers = cascade(false).encode(sources().into_iter().map(job).collect());
        let answered: Vec<bool> = answers.iter().map(Result::is_ok).collect();
        assert_eq!(answered, [true, false, false, true]);
    }
}
