//! The training loop, read from top to bottom: model, data, optimiser, then measure, save, step, log.

use std::collections::HashMap;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use tch::Device;

use super::adam::{Adam, Parameters};
use super::audio::Clips;
use super::batch::Batch;
use super::loader::{Loader, Source};
use super::log::{Entry, Log, plot};
use super::manifest::{Example, read_manifest, read_pairs};
use super::options::{Task, TrainOptions};
use super::replica::{Losses, Network, Replica};
use super::{TrainError, checkpoint};
use crate::bundle::Assets;
use crate::model::ModelConfig;
use crate::text::{Tokenizer, normalize_source};

/// Updates that one line of the log sums up.
const LOG_EVERY: u64 = 20;
/// Examples of one batch when measuring.
const DEV_BATCH: usize = 16;

/// Trains until the schedule ends. Resumes `out/checkpoint.safetensors` if it is there.
pub fn train(assets: Assets, options: &TrainOptions) -> Result<(), TrainError> {
    fs::create_dir_all(&options.out).map_err(TrainError::file(&options.out))?;
    tch::set_num_threads(if options.cuda { 1 } else { options.threads as i32 });
    let device = if options.cuda { Device::Cuda(0) } else { Device::Cpu };

    let assets = Arc::new(assets);
    let config = assets.config.model.clone();
    let sets = options.data.iter().map(|(path, weight)| Ok((read(options.task, path)?, *weight)));
    let sets = sets.collect::<Result<Vec<_>, TrainError>>()?;
    let reader = if options.task == Task::Text { Some(reader(&sets, &config, options)?) } else { None };
    let reader_vocab = reader.as_ref().map(Tokenizer::vocab_size);
    let network = || Network::new(options.task, &config, reader_vocab, device, options.bf16);
    // Right before the weights are drawn: the generator is the process's.
    tch::manual_seed(options.seed as i64);
    let measured = network();
    let mut parameters = Parameters::gather(&measured.store);
    let mut adam = Adam::new(&parameters);

    let path = options.out.join("checkpoint.safetensors");
    let mut progress = Progress::default();
    if path.exists() {
        let metadata = checkpoint::resume(&path, &mut parameters, &mut adam)?;
        progress = Progress::from_metadata(&metadata)
            .map_err(|message| TrainError::Checkpoint { path: path.clone(), message })?;
        tracing::info!(update = progress.update, "resuming {}", path.display());
    } else {
        for (part, path) in &options.init {
            let loaded = checkpoint::init(path, part, &mut parameters)?;
            tracing::info!("{loaded} of {} parameters from {}", parameters.entries.len(), path.display());
        }
        adam = Adam::new(&parameters);
    }

    let clips = Clips::new(Arc::clone(&assets), options.augmentation.clone(), options.cache_bytes);
    let source = Arc::new(Source { assets, options: options.clone(), sets, clips, reader });
    let dev = match &options.dev {
        Some(path) => dev_batches(&source, &read(options.task, path)?)?,
        None => Vec::new(),
    };
    let (too_long, limit) = source.too_long();
    if too_long > 0 {
        tracing::warn!(too_long, limit, "left out examples longer than an utterance may be");
    }
    let mut loader = Loader::start(&source, progress.batches);
    let replicas: Vec<Replica> =
        (0..options.threads.max(1)).map(|_| Replica::start(&parameters, network(), options)).collect();
    let rates = [("decoder.", options.decoder_rate), ("encoder.", options.encoder_rate), ("text_encoder.", 1.0)]
        .map(|(part, factor)| (parameters.range(part), factor));

    let mut log = Log::open(options.out.join("log.jsonl"), progress.update)?;
    let bar = bar(options.schedule.total, progress.update);
    let (started, mut saved) = (Instant::now(), Instant::now());
    let (before, heard) = (progress.hours, progress.audio_hours);
    let mut losses = Losses::default();
    while progress.update < options.schedule.total {
        // Not earlier: the replicas share the weights, and for a while the held-out data sees others in their place.
        for replica in &replicas {
            replica.send(loader.next()?)?;
        }
        progress.update += 1;
        let mut gradient = None;
        for replica in &replicas {
            let (one, batch) = replica.receive()?;
            losses.add(&batch);
            progress.audio_hours += batch.seconds / 3600.0;
            gradient = Some(match gradient {
                None => one,
                Some(sum) => sum + one,
            });
        }
        progress.batches += replicas.len() as u64;
        let Some(gradient) = gradient else { break };
        let rate = options.schedule.rate(progress.update);
        let rates = rates.clone().map(|(range, factor)| (range, factor * rate));
        let gradient = gradient / replicas.len() as f64;
        let how = (options.optimizer, options.clip);
        let norm = tch::no_grad(|| adam.step(&mut parameters, gradient, progress.update, how, &rates));
        if !norm.is_finite() {
            tracing::warn!(update = progress.update, "skipped an update: the gradient is not finite");
        }
        progress.hours = before + started.elapsed().as_secs_f64() / 3600.0;
        if progress.update.is_multiple_of(LOG_EVERY) {
            let entry = progress.entry(&losses, rate, norm, false);
            let hours = (progress.hours - before).max(1e-9);
            bar.set_message(message(&entry, (progress.audio_hours - heard) / hours));
            log.write(&entry)?;
            losses = Losses::default();
        }
        bar.set_position(progress.update);
        let last = progress.update == options.schedule.total;
        if !dev.is_empty() && (last || progress.update.is_multiple_of(options.eval_every)) {
            // The averaged weights are what gets exported, so they are what is measured.
            let trained = parameters.values.copy();
            parameters.values.copy_(&adam.average);
            let losses = tch::no_grad(|| measure(&measured, &dev, options));
            parameters.values.copy_(&trained);
            let entry = progress.entry(&losses, rate, norm, true);
            bar.suspend(|| {
                tracing::info!("held out, after {} updates: {}", entry.update, message(&entry, 0.0));
            });
            log.write(&entry)?;
        }
        if last || saved.elapsed() > Duration::from_secs_f64(options.save_minutes * 60.0) {
            checkpoint::save(&path, &parameters, &adam, progress.metadata())?;
            saved = Instant::now();
        }
    }
    bar.finish();
    plot(&options.out.join("log.jsonl"))?;
    Ok(())
}

/// Where a run is.
#[derive(Debug, Clone, Default, PartialEq)]
struct Progress {
    update: u64,
    batches: u64,
    audio_hours: f64,
    hours: f64,
}

impl Progress {
    fn metadata(&self) -> HashMap<String, String> {
        [
            ("update", self.update.to_string()),
            ("batches", self.batches.to_string()),
            ("audio_hours", self.audio_hours.to_string()),
            ("hours", self.hours.to_string()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
    }

    fn from_metadata(metadata: &HashMap<String, String>) -> Result<Self, String> {
        let number = |key: &str| {
            let value = metadata.get(key).ok_or_else(|| format!("it does not say its {key}"))?;
            value.parse::<f64>().map_err(|_| format!("its {key} is {value:?}, allowed: a number"))
        };
        Ok(Self {
            update: number("update")? as u64,
            batches: number("batches")? as u64,
            audio_hours: number("audio_hours")?,
            hours: number("hours")?,
        })
    }

    fn entry(&self, losses: &Losses, rate: f64, norm: f64, dev: bool) -> Entry {
        let mean = |sum: f64, count: f64| (count > 0.0).then(|| sum / count);
        Entry {
            update: self.update,
            dev,
            cross_entropy: mean(losses.cross_entropy, losses.tokens),
            ctc: mean(losses.ctc, losses.labels),
            rate,
            norm,
            audio_hours: self.audio_hours,
            hours: self.hours,
        }
    }
}

fn read(task: Task, path: &std::path::Path) -> Result<Vec<Example>, TrainError> {
    if task.reads_pairs() { read_pairs(path) } else { read_manifest(path) }
}

/// Learns the source pieces of the text stage, as written and as heard, as many as the target has, or reads those that the run began with.
fn reader(sets: &[(Vec<Example>, f64)], config: &ModelConfig, options: &TrainOptions) -> Result<Tokenizer, TrainError> {
    let path = options.out.join("tokenizer-text.json");
    if path.exists() {
        return Ok(Tokenizer::from_file(&path)?);
    }
    let sentences = sets.iter().flat_map(|(examples, _)| examples.iter().map(|example| &example.english));
    let read = sentences.flat_map(|sentence| [sentence.clone(), normalize_source(sentence)]);
    let tokenizer = Tokenizer::train_cased(read, config.target_vocab)?;
    fs::write(&path, tokenizer.to_bytes()?).map_err(TrainError::file(&path))?;
    Ok(tokenizer)
}

/// Held-out batches: unvaried, the whole source in sight.
fn dev_batches(source: &Source, examples: &[Example]) -> Result<Vec<Batch>, TrainError> {
    let batch = |examples: &[Example]| {
        let items = examples.iter().map(|example| source.item(&[example], None));
        Ok(Batch { items: items.collect::<Result<_, TrainError>>()?, k: None, seed: 0 })
    };
    examples.chunks(DEV_BATCH).map(batch).collect()
}

fn measure(network: &Network, dev: &[Batch], options: &TrainOptions) -> Losses {
    let mut sum = Losses::default();
    for batch in dev {
        sum.add(&network.loss(batch, options, false).1);
    }
    sum
}

/// The losses that the stage has, what the first means for a choice of tokens, and the throughput where there is audio.
fn message(entry: &Entry, audio_hours_per_hour: f64) -> String {
    let loss = |name: &str, value: Option<f64>| value.map(|value| format!("{name} {value:.3}"));
    let speed = (audio_hours_per_hour > 0.0).then(|| format!("{audio_hours_per_hour:.0} h of audio an hour"));
    let perplexity = entry.cross_entropy.map(f64::exp);
    let parts =
        [loss("cross-entropy", entry.cross_entropy), loss("perplexity", perplexity), loss("ctc", entry.ctc), speed];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn bar(total: u64, done: u64) -> ProgressBar {
    let bar = ProgressBar::new(total).with_position(done);
    let template = "{bar:30} {pos}/{len} updates: {msg}; {elapsed} elapsed, {eta} left";
    bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.reset_eta();
    bar
}
