//! Requests of a session, and how one is served.
//!
//! Invariant: a request is served exactly once and answered in kind. `engine::Recording` and the server's workers do what
//! [`drive`] does, the one between events and the other for many sessions at once.

use super::{
    Session, SessionError,
    translator::{
        DecodeJob, Decoded, EncodeJob, Encoded, Search, SearchJob, Searched, Translator, TranslatorError, only,
    },
};

/// What a session needs done before it can go on; the utterance's state travels with it.
#[derive(Debug, Clone)]
pub enum Request<S> {
    /// Encode a segment.
    Encode(EncodeJob<S>),
    /// Make a decoder step.
    Decode(DecodeJob<S>),
    /// Search how the translation goes on.
    Search(SearchJob<S>),
}

/// The answer to a [`Request`], of the same kind unless it failed.
#[derive(Debug, Clone)]
pub enum Reply<S> {
    /// The segment is encoded.
    Encoded(Encoded<S>),
    /// The step is made.
    Decoded(Decoded<S>),
    /// The best way to go on is found.
    Searched(Searched<S>),
    /// The job failed, and the state is gone.
    Failed(TranslatorError),
}

impl<S: Clone + Send + 'static> Request<S> {
    /// Serves this one request.
    pub fn serve<T: Translator<State = S>>(self, translator: &T) -> Reply<S> {
        let result = match self {
            Self::Encode(job) => only(translator.encode(vec![job])).map(Reply::Encoded),
            Self::Decode(job) => only(translator.decode(vec![job])).map(Reply::Decoded),
            Self::Search(job) => translator.search_whole(Search::Begin(job)).map(Reply::Searched),
        };
        result.unwrap_or_else(Reply::Failed)
    }
}

/// Serves the session's requests until it needs more input. Call it after each [`Session::accept_waveform`] and after
/// [`Session::input_finished`], then take the events.
///
/// # Errors
/// The session's, if it had to end.
pub fn drive<T: Translator>(session: &mut Session<T::State>, translator: &T) -> Result<(), SessionError> {
    while let Some(request) = session.next_request()? {
        session.answer(request.serve(translator))?;
    }
    Ok(())
}
