//! How much audio a second the engine translates: worker threads and libtorch's own threads, batched and not.
//!
//! Every layout gets the same streams, all at once and as fast as they are taken; the texts must be those of a stream
//! alone. The table's last column compares within one run, because machines differ from minute to minute.
//!
//! usage: cargo bench --bench engine [-- BUNDLE CLIP]
#![allow(clippy::print_stdout)] // a program that prints a table

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use decalage::audio::{AudioReader, Limits, SAMPLE_RATE_HZ};
use decalage::bundle::Bundle;
use decalage::engine::{Cascade, Engine, EngineConfig, Input, Pace, session_assets};
use decalage::session::SessionConfig;
use decalage::session::event::Event;
use decalage::telemetry::Metrics;

/// (workers, libtorch's threads in each, largest batch, streams)
const LAYOUTS: [(usize, i32, usize, usize); 6] =
    [(1, 1, 1, 1), (1, 1, 1, 32), (1, 1, 32, 32), (1, 2, 32, 32), (2, 1, 32, 32), (2, 1, 32, 128)];
/// What one push delivers.
const CHUNK: usize = SAMPLE_RATE_HZ as usize / 10;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let argument = |index: usize, default: &str| PathBuf::from(arguments.get(index).map_or(default, String::as_str));
    let bundle = Arc::new(Bundle::open(&argument(0, "models/en-de-small"))?);
    let clip = File::open(argument(1, "models/en-de-small/sample.opus"))?;
    let samples: Arc<[f32]> = AudioReader::open(clip, &Limits::default())?.read_all()?.into();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().build()?;
    println!("workers x threads   max batch   streams   s of audio a second   against the first");
    let mut first = None;
    let mut alone = None;
    for (workers, threads, max_batch, streams) in LAYOUTS {
        let engine =
            start(&bundle, EngineConfig { workers, max_batch, max_sessions: 128, max_recordings: 1 }, threads)?;
        let began = Instant::now();
        let texts = runtime.block_on(async {
            let running: Vec<_> =
                (0..streams).map(|_| runtime.spawn(translate(engine.clone(), samples.clone()))).collect();
            let mut texts = Vec::new();
            for stream in running {
                texts.push(stream.await??);
            }
            Ok::<_, Failure>(texts)
        })?;
        let speed = streams as f64 * samples.len() as f64 / f64::from(SAMPLE_RATE_HZ) / began.elapsed().as_secs_f64();
        let alone = alone.get_or_insert_with(|| texts[0].clone());
        if texts.iter().any(|text| text != alone) {
            return Err("a stream says something else among others".into());
        }
        let ratio = speed / *first.get_or_insert(speed);
        println!("{workers:7} x {threads} {max_batch:17} {streams:9} {speed:21.0} {ratio:19.2}");
        engine.join(Duration::from_secs(10));
    }
    Ok(())
}

fn start(bundle: &Arc<Bundle>, config: EngineConfig, threads: i32) -> Result<Engine, Failure> {
    let assets = Arc::new(session_assets(bundle));
    let bundle = Arc::clone(bundle);
    let make = move || {
        tch::set_num_threads(threads);
        Cascade::load(&bundle, tch::Device::Cpu)
    };
    Ok(Engine::start(&config, assets, &Metrics::new(), make)?)
}

/// The text of one stream.
async fn translate(engine: Engine, samples: Arc<[f32]>) -> Result<String, Failure> {
    let (mut input, mut events) = engine.open(SessionConfig::default(), Pace::Live)?;
    let speaker = tokio::spawn(async move {
        for chunk in samples.chunks(CHUNK) {
            input.send(Input::Samples(chunk.to_vec())).await?;
        }
        input.send(Input::Finish).await
    });
    let mut text = String::new();
    while let Some(emission) = events.next().await {
        if let Event::Committed(word) = emission?.event {
            text.push_str(&word.text);
        }
    }
    speaker.await??;
    Ok(text)
}
