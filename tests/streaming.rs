//! The bundled model on the bundled sample, as a user meets it: whole, and in every kind of pieces.
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used)] // a test may fail where it stands

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use decalage::audio::{AudioReader, Limits};
use decalage::bundle::Bundle;
use decalage::engine::{Cascade, TorchTranslator, session_assets};
use decalage::policy::PolicyKind;
use decalage::session::event::Event;
use decalage::session::{Session, SessionAssets, SessionConfig, drive};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/en-de-small")
}

fn load() -> (Cascade<TorchTranslator>, Arc<SessionAssets>, Vec<f32>) {
    tch::set_num_threads(1);
    let bundle = Bundle::open(&folder()).unwrap();
    let translator = Cascade::load(&bundle, tch::Device::Cpu).unwrap();
    let clip = AudioReader::open(File::open(folder().join("sample.opus")).unwrap(), &Limits::default()).unwrap();
    (translator, Arc::new(session_assets(&bundle)), clip.read_all().unwrap())
}

fn events(
    translator: &Cascade<TorchTranslator>,
    assets: &Arc<SessionAssets>,
    config: SessionConfig,
    pieces: impl Iterator<Item = Vec<f32>>,
) -> Vec<Event> {
    let mut session = Session::new(config, Arc::clone(assets)).unwrap();
    for piece in pieces {
        session.accept_waveform(&piece).unwrap();
        drive(&mut session, translator).unwrap();
    }
    session.input_finished();
    drive(&mut session, translator).unwrap();
    assert!(session.is_finished());
    std::iter::from_fn(|| session.poll_event()).collect()
}

fn words(events: &[Event]) -> Vec<String> {
    let word = |event: &Event| match event {
        Event::Committed(word) => Some(word.text.trim().to_owned()),
        _ => None,
    };
    events.iter().filter_map(word).collect()
}

#[test]
fn pieces_from_1_ms_to_5_s_say_the_same_at_the_same_time() {
    let (translator, assets, samples) = load();
    let cut = |size: usize| samples.chunks(size).map(<[f32]>::to_vec);
    for cascade in [true, false] {
        let config = || SessionConfig { policy: PolicyKind::WaitK { k: 3 }, cascade, ..SessionConfig::default() };
        let whole = events(&translator, &assets, config(), std::iter::once(samples.clone()));
        assert!(words(&whole).len() >= 5, "five sentences were spoken: {:?}", words(&whole));
        for size in [16, 1_600, 5_007, 80_000] {
            assert_eq!(events(&translator, &assets, config(), cut(size)), whole, "pieces of {size} samples");
        }
    }
}

#[test]
fn every_policy_ends_and_words_keep_their_order() {
    let (translator, assets, samples) = load();
    for policy in [PolicyKind::WaitK { k: 1 }, PolicyKind::WaitK { k: 7 }, PolicyKind::Offline { beam_size: 4 }] {
        let config = SessionConfig { policy, ..SessionConfig::default() };
        let events = events(&translator, &assets, config, samples.chunks(8_000).map(<[f32]>::to_vec));
        assert_eq!(events.last(), Some(&Event::Finished), "{policy:?}");
        let (mut seq, mut start_ms) = (0, 0);
        for event in &events {
            if let Event::Committed(word) = event {
                assert_eq!(word.seq, seq, "{policy:?}");
                assert!(start_ms <= word.start_ms && word.start_ms <= word.end_ms, "{policy:?}: {word:?}");
                (seq, start_ms) = (seq + 1, word.start_ms);
            }
        }
    }
}

#[test]
fn a_snapshot_in_mid_sentence_changes_nothing() {
    let (translator, assets, samples) = load();
    let config = SessionConfig { policy: PolicyKind::WaitK { k: 2 }, ..SessionConfig::default() };
    let run = |resume: bool| {
        let mut session = Session::new(config.clone(), Arc::clone(&assets)).unwrap();
        let mut events = Vec::new();
        for piece in samples.chunks(12_345) {
            session.accept_waveform(piece).unwrap();
            drive(&mut session, &translator).unwrap();
            events.extend(std::iter::from_fn(|| session.poll_event()));
            if resume {
                let bytes = session.to_bytes(&translator).unwrap();
                assert!(bytes.len() < 2 << 20, "{} bytes", bytes.len());
                session = Session::from_bytes(&bytes, Arc::clone(&assets), &translator).unwrap();
            }
        }
        session.input_finished();
        drive(&mut session, &translator).unwrap();
        events.extend(std::iter::from_fn(|| session.poll_event()));
        events
    };
    assert_eq!(run(true), run(false));
}
