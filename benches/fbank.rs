//! Cost of the filterbank: 10 s in one piece, and the 100 ms chunk that a session computes on its own task.
#![allow(missing_docs)] // criterion's macros write an undocumented function

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use decalage::features::{FbankConfig, OnlineFbank, fbank};

fn noise(num_samples: u32) -> Vec<f32> {
    (0..num_samples).map(|i| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 23) as f32 - 1.0).collect()
}

fn bench(c: &mut Criterion) {
    let config = FbankConfig::default();
    let recording = noise(160_000);
    c.bench_function("fbank, 10 s offline", |b| b.iter(|| fbank(&config, black_box(&recording))));

    let chunk = &recording[..1600];
    let mut online = OnlineFbank::new(config.clone()).expect("the default shape is valid");
    c.bench_function("fbank, push of 100 ms", |b| {
        b.iter(|| {
            online.accept_waveform(black_box(chunk));
            online.take_ready()
        });
    });
}

criterion_group!(benches, bench);
criterion_main!(benches);
