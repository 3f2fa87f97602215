//! `decalage train`: one stage of training.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::builder::RangedU64ValueParser;
use clap::{Args, ValueEnum, value_parser};
use decalage::bundle::Assets;
use decalage::policy::MAX_K;
use decalage::train::{Augmentation, Optimizer, Schedule, SpecAugment, Task, TrainOptions, files_in, train};

/// Train one stage: `text` (decoder), `ctc` (encoder), then `joint`; or a language model, `lm`. Resumes what it finds in --out
#[derive(Debug, Args)]
pub(crate) struct Train {
    /// What to learn
    #[arg(long, value_enum)]
    task: Stage,
    /// Folder written by `prepare`
    #[arg(long, value_name = "DIR")]
    assets: PathBuf,
    /// Manifests (for `text` and `lm`: files of pairs); `FILE=2.5` is heard two and a half times an epoch
    #[arg(long, value_name = "TSV[=WEIGHT]", required = true, value_parser = weighted)]
    data: Vec<(PathBuf, f64)>,
    /// Manifest or pairs to measure on
    #[arg(long, value_name = "TSV")]
    dev: Option<PathBuf>,
    /// Checkpoints or weights to start from; PART is `encoder` or `decoder`, all that fits if left out; later ones win
    #[arg(long, value_name = "[PART=]FILE", value_parser = part)]
    init: Vec<(String, PathBuf)>,
    /// Folder for checkpoint, log and plot
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Updates in all
    #[arg(long)]
    updates: u64,
    /// Learning rate after the warm-up
    #[arg(long, default_value_t = 1.5e-3)]
    rate: f64,
    /// Updates of warm-up
    #[arg(long, default_value_t = 300)]
    warmup: u64,
    /// Updates of the decay to zero at the end
    #[arg(long, default_value_t = 0)]
    decay: u64,
    /// Factor on the speech encoder's rate
    #[arg(long, default_value_t = 1.0)]
    encoder_rate: f64,
    /// Factor on the decoder's rate
    #[arg(long, default_value_t = 1.0)]
    decoder_rate: f64,
    /// Norm that gradients are clipped to
    #[arg(long, default_value_t = 5.0)]
    clip: f64,
    /// Seconds of audio (`text`, `lm`: characters) in a batch of one thread
    #[arg(long, default_value_t = 40.0)]
    batch: f64,
    /// Weight of the CTC loss in `joint`
    #[arg(long, default_value_t = 0.5)]
    ctc_weight: f64,
    /// How weights move: Adam, or Muon for the matrices and Adam for the rest
    #[arg(long, value_enum, default_value_t = Algorithm::Adam)]
    optimizer: Algorithm,
    /// Label smoothing
    #[arg(long, default_value_t = 0.1)]
    label_smoothing: f64,
    /// Share of `joint` batches that see the whole source
    #[arg(long, default_value_t = 0.5, value_parser = share)]
    offline_share: f64,
    /// Smallest lag of the wait-k masks; one lag for all is wait-k without multipath
    #[arg(long, default_value_t = 1, value_parser = value_parser!(u64).range(1..=MAX_K as u64))]
    min_k: u64,
    /// Largest lag of the wait-k masks
    #[arg(long, default_value_t = 7, value_parser = value_parser!(u64).range(1..=MAX_K as u64))]
    max_k: u64,
    /// Probability of joining clips
    #[arg(long, default_value_t = 0.2, value_parser = share)]
    join: f64,
    /// Clips that are joined at most
    #[arg(long, default_value_t = 4, value_parser = RangedU64ValueParser::<usize>::new().range(2..=64))]
    max_joined: usize,
    /// Probability of a changed speed
    #[arg(long, default_value_t = 0.5, value_parser = share)]
    speed: f64,
    /// Probability of another length of the vocal tract and another microphone
    #[arg(long, default_value_t = 0.3, value_parser = share)]
    voice: f64,
    /// Probability of added noise
    #[arg(long, default_value_t = 0.3, value_parser = share)]
    noise: f64,
    /// Probability of a room's echo
    #[arg(long, default_value_t = 0.2, value_parser = share)]
    room: f64,
    /// Probability of a telephone, or of Opus at a low rate
    #[arg(long, default_value_t = 0.1, value_parser = share)]
    codec: f64,
    /// Probability of a source without case, punctuation and digits, as a transcript is, in `text`
    #[arg(long, default_value_t = 0.25, value_parser = share)]
    as_heard: f64,
    /// Folder of noise clips
    #[arg(long, value_name = "DIR")]
    noise_dir: Option<PathBuf>,
    /// Folder of room responses
    #[arg(long, value_name = "DIR")]
    room_dir: Option<PathBuf>,
    /// Leave out SpecAugment
    #[arg(long)]
    no_specaugment: bool,
    /// Model replicas, one thread each: 2 on a CPU and 1 on a GPU unless you say otherwise
    #[arg(long)]
    threads: Option<usize>,
    /// Threads that prepare batches
    #[arg(long, default_value_t = 1)]
    loaders: usize,
    /// Memory for decoded clips, in GiB (60 hours are 6.5); the others are decoded each time they are heard
    #[arg(long, default_value_t = 8.0, value_parser = gibibytes)]
    cache: f64,
    /// Train on the first CUDA device
    #[arg(long)]
    cuda: bool,
    /// Kind of the matrix products: bf16 on a GPU and f32 on a CPU unless you say otherwise
    #[arg(long, value_enum)]
    products: Option<Products>,
    /// Updates between measurements
    #[arg(long, default_value_t = 500)]
    eval_every: u64,
    /// Minutes between checkpoints
    #[arg(long, default_value_t = 5.0)]
    save_minutes: f64,
    /// Seed of everything random
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Products {
    F32,
    Bf16,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Algorithm {
    Adam,
    Muon,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Stage {
    Lm,
    Text,
    Ctc,
    Joint,
}

impl Train {
    pub(crate) fn run(self) -> Result<()> {
        ensure!(!self.cuda || tch::Cuda::is_available(), "no CUDA device in sight of this libtorch");
        ensure!(self.min_k <= self.max_k, "--min-k is {}, allowed: 1 to --max-k ({})", self.min_k, self.max_k);
        let assets = Assets::open(&self.assets)?;
        let folder = |dir: &Option<PathBuf>| dir.as_deref().map_or(Ok(Vec::new()), files_in);
        let options = TrainOptions {
            task: match self.task {
                Stage::Lm => Task::Lm,
                Stage::Text => Task::Text,
                Stage::Ctc => Task::Ctc,
                Stage::Joint => Task::Joint,
            },
            augmentation: Augmentation {
                speed: self.speed,
                voice: self.voice,
                noise: self.noise,
                room: self.room,
                codec: self.codec,
                as_heard: self.as_heard,
                join: self.join,
                max_joined: self.max_joined,
                specaugment: (!self.no_specaugment).then(SpecAugment::default),
                noise_files: folder(&self.noise_dir)?,
                room_files: folder(&self.room_dir)?,
            },
            schedule: Schedule { peak: self.rate, warmup: self.warmup, decay: self.decay, total: self.updates },
            data: self.data,
            dev: self.dev,
            init: self.init,
            out: self.out,
            encoder_rate: self.encoder_rate,
            decoder_rate: self.decoder_rate,
            optimizer: match self.optimizer {
                Algorithm::Adam => Optimizer::Adam,
                Algorithm::Muon => Optimizer::Muon,
            },
            clip: self.clip,
            batch_size: self.batch,
            ctc_weight: self.ctc_weight,
            label_smoothing: self.label_smoothing,
            offline_share: self.offline_share,
            min_k: self.min_k,
            max_k: self.max_k,
            threads: self.threads.unwrap_or(if self.cuda { 1 } else { 2 }),
            loaders: self.loaders,
            cache_bytes: (self.cache * f64::from(1 << 30)) as usize,
            cuda: self.cuda,
            bf16: self.products.map_or(self.cuda, |products| products == Products::Bf16),
            eval_every: self.eval_every,
            save_minutes: self.save_minutes,
            seed: self.seed,
        };
        Ok(train(assets, &options)?)
    }
}

fn share(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|share| (0.0..=1.0).contains(share)).ok_or("allowed: 0 to 1".to_owned())
}

fn gibibytes(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|size| (0.0..=1e6).contains(size)).ok_or("allowed: 0 to 1000000".to_owned())
}

fn part(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        None => Ok((String::new(), text.into())),
        Some((part @ ("encoder" | "decoder"), path)) => Ok((format!("{part}."), path.into())),
        Some((part, _)) => Err(format!("part is {part:?}, allowed: encoder, decoder")),
    }
}

fn weighted(text: &str) -> Result<(PathBuf, f64), String> {
    match text.rsplit_once('=') {
        None => Ok((text.into(), 1.0)),
        Some((path, weight)) => match weight.parse() {
            Ok(weight) if (0.0..=1000.0).contains(&weight) => Ok((path.into(), weight)),
            _ => Err(format!("weight is {weight:?}, allowed: 0 to 1000")),
        },
    }
}
