//! How many milliseconds of audio one core resamples, or decodes to 16 kHz mono, in a second: 1 Kelem/s is real time.
#![allow(clippy::unwrap_used)]

use std::hint::black_box;
use std::io::Cursor;
use std::path::Path;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use decalage::audio::resample::Resampler;
use decalage::audio::{AudioReader, Limits};

/// Length of a piece from a live stream, and of a clip in the fixtures.
const PIECE_MS: u64 = 100;
const CLIP_MS: u64 = 1_910;

fn resample(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("resample");
    group.throughput(Throughput::Elements(PIECE_MS));
    for rate_hz in [8_000, 22_050, 44_100, 48_000] {
        let piece: Vec<f32> = (0..rate_hz * PIECE_MS as u32 / 1000).map(|i| (i as f32 * 0.05).sin()).collect();
        let mut resampler = Resampler::new(rate_hz).unwrap();
        let mut out = Vec::new();
        group.bench_function(BenchmarkId::from_parameter(rate_hz), |bencher| {
            bencher.iter(|| {
                out.clear();
                resampler.push(black_box(&piece), &mut out).unwrap();
                black_box(out.len())
            });
        });
    }
    let piece: Vec<f32> = (0..16_000 * PIECE_MS / 1000).map(|i| (i as f32 * 0.05).sin()).collect();
    let mut faster = Resampler::with_ratio(1.0 / 1.1).unwrap();
    let mut out = Vec::new();
    group.bench_function("speed 1.1", |bencher| {
        bencher.iter(|| {
            out.clear();
            faster.push(black_box(&piece), &mut out).unwrap();
            black_box(out.len())
        });
    });
    group.finish();
    // Computing the filter's table: what a new stream or a new speed costs before its first sample.
    for rate_hz in [8_000, 48_000] {
        criterion.bench_function(&format!("resampler for {rate_hz} Hz"), |bencher| {
            bencher.iter(|| black_box(Resampler::new(rate_hz).unwrap()));
        });
    }
}

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(CLIP_MS));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/audio");
    for name in [
        "reference.wav",
        "mono-44k1.flac",
        "mono-16k.mp3",
        "stereo-44k1.mp3",
        "vorbis-44k1.ogg",
        "opus-16k.ogg",
        "opus-stereo-48k.webm",
        "index-first.m4a",
    ] {
        let bytes = std::fs::read(folder.join(name)).unwrap();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let reader = AudioReader::open(Cursor::new(bytes.clone()), &Limits::default()).unwrap();
                black_box(reader.read_all().unwrap().len())
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = resample, decode
}
criterion_main!(benches);
