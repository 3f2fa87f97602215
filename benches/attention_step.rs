//! One encoder segment and one decoder step for each attention kind, at batch 1, 8 and 32, on one thread.
//!
//! The network is `small` with random weights and one kind in every block; each session has heard ten segments (3.2 s).
//! `cargo bench --bench attention_step`
#![allow(missing_docs)] // criterion's macros write an undocumented function

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use decalage::model::{AttentionKind, ModelConfig, SpeechTranslator, State};
use tch::{Device, Kind, Tensor, nn};

const HEARD_SEGMENTS: usize = 10;
const TOKEN: i64 = 5;

fn steps(c: &mut Criterion) {
    tch::set_num_threads(1);
    tch::manual_seed(1);
    let _no_grad = tch::no_grad_guard();
    for kind in AttentionKind::ALL {
        let config =
            ModelConfig { encoder_self: kind, decoder_self: kind, decoder_cross: kind, ..ModelConfig::small(32, 4000) };
        let store = nn::VarStore::new(Device::Cpu);
        let model = SpeechTranslator::new(&store.root(), &config, Kind::Float);
        for batch in [1, 8, 32] {
            let num_frames = config.steps_per_segment * config.frames_per_step;
            let shape = [batch, num_frames, config.num_mel_bins].map(|n| n as i64);
            let frames = Tensor::randn(shape, (Kind::Float, Device::Cpu));
            let (full, whole) = (vec![num_frames; batch], vec![None; batch]);
            let mut states: Vec<State> = (0..batch).map(|_| model.init()).collect();
            for _ in 0..HEARD_SEGMENTS {
                states = model.encode_step(&states.iter().collect::<Vec<_>>(), &frames, &full, &whole).0;
            }
            let states: Vec<&State> = states.iter().collect();
            let tokens = vec![TOKEN; batch];

            let mut group = c.benchmark_group(format!("{kind:?}"));
            group.throughput(Throughput::Elements(batch as u64));
            group.bench_function(format!("encoder segment, batch {batch}"), |b| {
                b.iter(|| model.encode_step(&states, &frames, &full, &whole));
            });
            group.bench_function(format!("decoder step, batch {batch}"), |b| {
                b.iter(|| model.decode_step(&states, &tokens));
            });
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = steps
}
criterion_main!(benches);
