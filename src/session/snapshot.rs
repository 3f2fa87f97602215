//! A session to versioned bytes and back, in order to go on after a reconnect or on another machine.
//!
//! Layout: `"DCSN"`, format version (1 byte), SHA-256 of the rest (32), the rest as postcard: the translator's spec,
//! counters, the source's tail (samples, undecided frames, the detector's audio, or words), and the utterance's state as the
//! translator writes it. The digest finds damage, not malice: whoever stores snapshots authenticates them.
//! Invariant: a restored session and the one that was never interrupted say the same from there on.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::{
    Core, Session, SessionAssets, SessionError,
    cascade::{Reader, Words},
    source::SourceState,
    translator::{Translator, TranslatorError, TranslatorSpec},
};

const MAGIC: &[u8; 4] = b"DCSN";
/// Counts up whenever a field of anything inside changes.
const VERSION: u8 = 9;
const DIGEST_BYTES: usize = 32;
const HEADER_BYTES: usize = MAGIC.len() + 1 + DIGEST_BYTES;
/// Larger than any session, smaller than what could hurt.
const MAX_BYTES: usize = 64 << 20;

/// Why a session cannot be saved or restored.
#[derive(Debug, Clone, Error, PartialEq)]
pub enum SnapshotError {
    /// The state is away with a request: take the answer first.
    #[error("a request is being answered, take its answer before a snapshot")]
    InFlight,
    /// Events would be delivered twice or not at all.
    #[error("{0} events have not been polled, poll them before a snapshot")]
    EventsPending(usize),
    /// The session has failed, or what was saved makes no session with these assets.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The translator cannot write its state, or refuses to read it.
    #[error(transparent)]
    Translator(#[from] TranslatorError),
    /// Not a snapshot, or a damaged one.
    #[error("not a snapshot: {0}")]
    Damaged(String),
    /// A snapshot of another program version.
    #[error("snapshot has format version {0}, allowed is {VERSION}")]
    Version(u8),
    /// A snapshot made with another model.
    #[error("snapshot was made with another translator: {0:?}")]
    OtherTranslator(Box<TranslatorSpec>),
}

#[derive(Serialize, Deserialize)]
struct Snapshot {
    spec: TranslatorSpec,
    hears: Half,
    reads: Option<(Half, Words)>,
}

/// A session, or one of two that are one.
#[derive(Serialize, Deserialize)]
struct Half {
    core: Core,
    source: SourceState,
    state: Option<Vec<u8>>,
}

impl<S: Clone + Send + 'static> Session<S> {
    /// The session as bytes. It may go on afterwards.
    ///
    /// # Errors
    /// If a request is in flight, events wait to be polled, the session has failed, or the translator cannot write.
    pub fn to_bytes<T: Translator<State = S>>(&self, translator: &T) -> Result<Vec<u8>, SnapshotError> {
        self.check()?;
        let is_reading = self.reader.as_ref().is_some_and(|reader| reader.is_asked);
        if self.in_flight.is_some() || is_reading {
            return Err(SnapshotError::InFlight);
        }
        if !self.events.is_empty() {
            return Err(SnapshotError::EventsPending(self.events.len()));
        }
        let (spec, hears) = (self.assets.spec.clone(), self.half(translator)?);
        let reads = self.reader.as_ref().map(|reader| Ok((reader.session.half(translator)?, reader.words.clone())));
        let snapshot = Snapshot { spec, hears, reads: reads.transpose().map_err(SnapshotError::Translator)? };
        let damaged = |error: postcard::Error| SnapshotError::Damaged(error.to_string());
        let body = postcard::to_allocvec(&snapshot).map_err(damaged)?;
        Ok([MAGIC.as_slice(), &[VERSION], &Sha256::digest(&body), &body].concat())
    }

    /// Goes on from bytes, with the assets and the translator of the same bundle.
    ///
    /// # Errors
    /// If the bytes are too many, of another version, damaged, or of another translator.
    pub fn from_bytes<T: Translator<State = S>>(
        bytes: &[u8],
        assets: Arc<SessionAssets>,
        translator: &T,
    ) -> Result<Self, SnapshotError> {
        let body = checked_body(bytes)?;
        let damaged = |error: postcard::Error| SnapshotError::Damaged(error.to_string());
        let (snapshot, rest): (Snapshot, &[u8]) = postcard::take_from_bytes(body).map_err(damaged)?;
        if !rest.is_empty() {
            return Err(SnapshotError::Damaged(format!("{} bytes too many", rest.len())));
        }
        let Snapshot { spec, hears, reads } = snapshot;
        if spec != assets.spec {
            return Err(SnapshotError::OtherTranslator(Box::new(spec)));
        }
        let contradicts = || SnapshotError::Damaged("its parts contradict each other".into());
        let reader = match (reads, &assets.reads) {
            (Some((half, words)), Some(reads)) => {
                let session = half.resume(Arc::clone(reads), translator)?.ok_or_else(contradicts)?;
                Some(Box::new(Reader::resumed(session, words)))
            }
            (None, _) => None,
            (Some(_), None) => return Err(contradicts()),
        };
        let session = hears.resume(assets, translator)?.ok_or_else(contradicts)?;
        Ok(Self { reader, ..session })
    }

    fn half<T: Translator<State = S>>(&self, translator: &T) -> Result<Half, TranslatorError> {
        let state = self.state.as_ref().map(|state| translator.state_to_bytes(state)).transpose()?;
        Ok(Half { core: self.core.clone(), source: self.source.state(), state })
    }
}

impl Half {
    /// `None` if its counters contradict each other, or a word is half said.
    fn resume<T: Translator>(
        self,
        assets: Arc<SessionAssets>,
        translator: &T,
    ) -> Result<Option<Session<T::State>>, SnapshotError> {
        let spec = assets.spec.clone();
        let mut session = Session::alone(self.core.config.clone(), assets)?;
        if !self.core.translation.pending().is_empty() || !session.source.restore(self.source, &spec) {
            return Ok(None);
        }
        session.core = self.core;
        session.state = self.state.map(|bytes| translator.state_from_bytes(&bytes)).transpose()?;
        Ok(Some(session))
    }
}

fn checked_body(bytes: &[u8]) -> Result<&[u8], SnapshotError> {
    if !(HEADER_BYTES..=MAX_BYTES).contains(&bytes.len()) {
        let length = bytes.len();
        return Err(SnapshotError::Damaged(format!("{length} bytes, allowed are {HEADER_BYTES} to {MAX_BYTES}")));
    }
    let (magic, rest) = bytes.split_at(MAGIC.len());
    if magic != MAGIC {
        return Err(SnapshotError::Damaged(format!("it begins with {magic:?}")));
    }
    let (version, rest) = rest.split_at(1);
    if version != [VERSION] {
        return Err(SnapshotError::Version(version[0]));
    }
    let (digest, body) = rest.split_at(DIGEST_BYTES);
    if digest != Sha256::digest(body).as_slice() {
        return Err(SnapshotError::Damaged("its digest is another".into()));
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use proptest::prelude::*;

    use super::*;
    use crate::session::tests::*;
    use crate::session::{drive, scripted::scripted_assets};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        #[test]
        fn resuming_is_like_never_stopping(policy in policies(), chunk in 160_usize..30_000) {
            let whole = run(session(policy), dialogue(), &[dialogue().len()]);
            let (translator, mut resumed, mut said) = (translator(), session(policy), Vec::new());
            for chunk in dialogue().chunks(chunk) {
                resumed.accept_waveform(chunk).unwrap();
                drive(&mut resumed, &translator).unwrap();
                said.extend(events(&mut resumed));
                let bytes = resumed.to_bytes(&translator).unwrap();
                resumed = Session::from_bytes(&bytes, assets(), &translator).unwrap();
            }
            resumed.input_finished();
            drive(&mut resumed, &translator).unwrap();
            said.extend(events(&mut resumed));
            prop_assert_eq!(said, whole);
        }

        #[test]
        fn garbage_is_no_snapshot(bytes in prop::collection::vec(any::<u8>(), 0..200), known in any::<bool>()) {
            let header = [MAGIC.as_slice(), &[VERSION]].concat();
            let bytes = [if known { header.as_slice() } else { b"" }, &bytes].concat();
            prop_assert!(Session::from_bytes(&bytes, assets(), &translator()).is_err());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// The digest keeps damage out; this is about what the parts behind it do with nonsense.
        #[test]
        fn forged_snapshots_never_panic(edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
            static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
            let bytes = BYTES.get_or_init(|| {
                let mut session = wait_k(1);
                session.accept_waveform(&dialogue()[8_000..40_000]).unwrap();
                drive(&mut session, &translator()).unwrap();
                events(&mut session);
                session.to_bytes(&translator()).unwrap()
            });
            let mut bytes = bytes.clone();
            for (index, value) in edits {
                // Counters are in front and at the end, frames and samples between.
                let from_start = index.index(1400);
                let position = if from_start < 700 { 37 + from_start } else { bytes.len() - 1 - (from_start - 700) };
                bytes[position] = value;
            }
            let digest = Sha256::digest(&bytes[37..]);
            bytes[5..37].copy_from_slice(&digest);
            if let Ok(mut session) = Session::from_bytes(&bytes, assets(), &translator()) {
                let _ = session.accept_waveform(&dialogue()[40_000..48_000]);
                session.input_finished();
                let _ = drive(&mut session, &translator());
            }
        }
    }

    #[test]
    fn damaged_and_foreign_snapshots_are_refused() {
        let (translator, mut session) = (translator(), wait_k(2));
        session.accept_waveform(&dialogue()[..40_000]).unwrap();
        drive(&mut session, &translator).unwrap();
        let waiting = session.to_bytes(&translator);
        assert!(matches!(waiting, Err(SnapshotError::EventsPending(1..))), "{waiting:?}");
        events(&mut session);
        let bytes = session.to_bytes(&translator).unwrap();
        let read = |bytes: &[u8]| Session::from_bytes(bytes, assets(), &translator).err();
        assert_eq!(read(&bytes), None);
        for length in [0, 4, 36, 37, 1000, bytes.len() - 1] {
            assert!(matches!(read(&bytes[..length]), Some(SnapshotError::Damaged(_))), "{length} bytes");
        }
        for position in (0..bytes.len()).step_by(997) {
            let mut flipped = bytes.clone();
            flipped[position] ^= 4;
            assert!(
                matches!(read(&flipped), Some(SnapshotError::Damaged(_) | SnapshotError::Version(_))),
                "{position}"
            );
        }
        let mut newer = bytes.clone();
        newer[4] = VERSION + 1;
        assert_eq!(read(&newer), Some(SnapshotError::Version(VERSION + 1)));
        let mut other = scripted_assets().unwrap();
        other.spec.steps_per_segment = 4;
        let foreign = Session::from_bytes(&bytes, Arc::new(other), &translator).err();
        assert!(matches!(foreign, Some(SnapshotError::OtherTranslator(_))), "{foreign:?}");
        let tokens = session.assets.target_tokenizer.encode("half").unwrap();
        tokens.iter().for_each(|&token| {
            session.core.translation.push(&session.assets.target_tokenizer, token);
        });
        let half_said = read(&session.to_bytes(&translator).unwrap());
        assert!(matches!(half_said, Some(SnapshotError::Damaged(_))), "{half_said:?}");
    }
}
