//! What a session costs besides its translator: features, voice activity, policy, text. One second of audio each.
//!
//! `cargo bench --no-default-features --bench session`

use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use decalage::session::{
    Session, SessionConfig, drive,
    scripted::{ScriptedTranslator, scripted_assets},
};

fn seconds(c: &mut Criterion) {
    let Ok(assets) = scripted_assets().map(Arc::new) else { return };
    let translator = ScriptedTranslator::new(&assets);
    let buzz = |i: usize| (0.01 * i as f32 + (0.0003 * i as f32).sin()).sin().powi(9) * 0.3;
    for (name, second) in [("silence", vec![0.0; 16_000]), ("speech", (0..16_000).map(buzz).collect())] {
        // With the detector off, the buzz is speech whatever the detector thinks of it.
        let vad_threshold = if name == "silence" { 0.5 } else { 0.0 };
        let config = SessionConfig { vad_threshold, ..SessionConfig::default() };
        let Ok(mut session) = Session::new(config, assets.clone()) else { return };
        c.bench_function(&format!("session second of {name}"), |b| {
            b.iter(|| {
                for chunk in second.chunks(1_600) {
                    let driven = session.accept_waveform(chunk).and_then(|()| drive(&mut session, &translator));
                    assert_eq!(driven, Ok(()));
                    while session.poll_event().is_some() {}
                }
            });
        });
    }
}

criterion_group!(benches, seconds);
criterion_main!(benches);
