//! What a run promises: the same batches for any number of threads, the same weights with and without an interruption.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tch::nn::OptimizerConfig;
use tch::{Device, Kind, Tensor, nn};

use super::adam::{Adam, Parameters, take_gradients};
use super::audio::Clips;
use super::loader::{Loader, Source};
use super::*;
use crate::bundle::{Assets, BundleConfig, format};
use crate::features::FbankConfig;
use crate::model::ModelConfig;
use crate::text::Tokenizer;

const SPEECH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/speech");

/// A folder that goes with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("decalage-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn assets() -> Assets {
    let examples = read_manifest(&Path::new(SPEECH).join("train.tsv")).unwrap();
    let source = Tokenizer::train_source(examples.iter().map(|e| &e.english), 0).unwrap();
    let target = Tokenizer::train_cased(examples.iter().flat_map(|e| &e.german), 100).unwrap();
    let features = FbankConfig::default();
    let cmvn = cmvn(&[Path::new(SPEECH).join("train.tsv")], &features, 4).unwrap();
    // Dropout draws from the one generator that all tests of this process share.
    let model = ModelConfig { dropout: 0.0, ..ModelConfig::tiny(source.vocab_size(), target.vocab_size()) };
    let (source_language, target_language) = ("en".to_owned(), "de".to_owned());
    Assets {
        config: BundleConfig { format: format(), source_language, target_language, features, model },
        source,
        target,
        cmvn,
        language: None,
    }
}

fn options(task: Task, data: PathBuf, out: PathBuf) -> TrainOptions {
    TrainOptions {
        task,
        data: vec![(data, 1.5)],
        dev: None,
        init: Vec::new(),
        out,
        schedule: Schedule { peak: 1e-2, warmup: 2, decay: 0, total: 6 },
        encoder_rate: 1.0,
        decoder_rate: 1.0,
        optimizer: if task == Task::Lm { Optimizer::Muon } else { Optimizer::Adam },
        clip: 1.0,
        batch_size: if task.reads_pairs() { 150.0 } else { 6.0 },
        ctc_weight: 0.5,
        label_smoothing: 0.1,
        offline_share: 0.5,
        min_k: 1,
        max_k: 3,
        augmentation: Augmentation {
            speed: 0.5,
            voice: 0.5,
            noise: 0.5,
            room: 0.0,
            codec: 0.5,
            as_heard: 0.25,
            join: 0.5,
            max_joined: 4,
            specaugment: Some(SpecAugment::default()),
            noise_files: files_in(Path::new(SPEECH)).unwrap(),
            room_files: Vec::new(),
        },
        threads: 1,
        loaders: 1,
        cache_bytes: 1 << 20,
        cuda: false,
        bf16: false,
        eval_every: 100,
        save_minutes: 100.0,
        seed: 5,
    }
}

fn pairs(scratch: &Scratch) -> PathBuf {
    let examples = read_manifest(&Path::new(SPEECH).join("train.tsv")).unwrap();
    let lines: String = examples.iter().map(|e| format!("{}\t{}\n", e.english, e.german[0])).collect();
    scratch.file("pairs.tsv", &lines)
}

#[test]
fn any_number_of_loaders_gives_the_same_batches_from_any_point_on() {
    let manifest = Path::new(SPEECH).join("train.tsv");
    let batches = |loaders, first, count| {
        let assets = Arc::new(assets());
        let options = TrainOptions { loaders, ..options(Task::Joint, manifest.clone(), PathBuf::new()) };
        let sets = vec![(read_manifest(&manifest).unwrap(), 1.5)];
        let clips = Clips::new(Arc::clone(&assets), options.augmentation.clone(), options.cache_bytes);
        let mut loader = Loader::start(&Arc::new(Source { assets, options, sets, clips, reader: None }), first);
        let next = |_| {
            let batch = loader.next().unwrap();
            let items: Vec<_> = batch.items.into_iter().map(|i| (i.frames, i.labels, i.tokens, i.words)).collect();
            (batch.k, batch.seed, items)
        };
        (0..count).map(next).collect::<Vec<_>>()
    };
    let all = batches(1, 0, 14); // more than one epoch
    assert!(batches(3, 0, 14) == all);
    assert!(batches(2, 9, 5) == all[9..]);
    assert!(all.iter().any(|(k, ..)| k.is_some()) && all.iter().any(|(k, ..)| k.is_none()));
}

#[test]
fn an_interrupted_run_ends_with_the_same_weights() {
    let scratch = Scratch::new("resume");
    // First weights are drawn from the process's generator, which other tests draw from meanwhile: both begin with these.
    let first = options(Task::Text, pairs(&scratch), scratch.0.join("first"));
    train(assets(), &TrainOptions { schedule: Schedule { total: 1, ..first.schedule }, ..first.clone() }).unwrap();
    let init = vec![(String::new(), first.out.join("checkpoint.safetensors"))];
    let run = |out: &str, totals: &[u64]| {
        let out = scratch.0.join(out);
        for &total in totals {
            let options = options(Task::Text, pairs(&scratch), out.clone());
            let schedule = Schedule { total, ..options.schedule };
            train(assets(), &TrainOptions { schedule, init: init.clone(), ..options }).unwrap();
        }
        [Which::Average, Which::Last].map(|which| weights_of(&out.join("checkpoint.safetensors"), which).unwrap())
    };
    let (straight, resumed) = (run("straight", &[16]), run("resumed", &[9, 16]));
    assert!(straight[0] != straight[1], "the average is not what was learnt last");
    for (straight, resumed) in straight.iter().zip(&resumed) {
        assert_eq!(straight.len(), resumed.len());
        for ((name, a), (_, b)) in straight.iter().zip(resumed) {
            assert_eq!(a, b, "{name}");
        }
    }
}

#[test]
fn a_language_model_learns_from_the_targets_alone_and_starts_a_decoder() {
    let scratch = Scratch::new("lm");
    let examples = read_manifest(&Path::new(SPEECH).join("train.tsv")).unwrap();
    let lines: String = examples.iter().map(|e| format!("some words\t{}\n", e.german[0])).collect();
    let targets = scratch.file("targets.tsv", &lines);
    let lm = options(Task::Lm, targets.clone(), scratch.0.join("lm"));
    let schedule = Schedule { peak: 1e-2, warmup: 2, decay: 0, total: 40 };
    train(assets(), &TrainOptions { schedule, dev: Some(targets), eval_every: 20, ..lm.clone() }).unwrap();
    let log = std::fs::read_to_string(lm.out.join("log.jsonl")).unwrap();
    let entries = log.lines().map(|line| serde_json::from_str::<Entry>(line).unwrap());
    let losses: Vec<f64> = entries.filter(|e| e.dev).filter_map(|e| e.cross_entropy).collect();
    assert!(losses.len() == 2 && losses[1] < losses[0], "{losses:?}");
    let text = TrainOptions {
        init: vec![("decoder.".to_owned(), lm.out.join("checkpoint.safetensors"))],
        ..options(Task::Text, pairs(&scratch), scratch.0.join("text"))
    };
    train(assets(), &text).unwrap();
}

#[test]
fn a_checkpoint_of_another_task_is_refused_but_may_be_started_from() {
    let scratch = Scratch::new("tasks");
    let out = scratch.0.join("text");
    train(assets(), &options(Task::Text, pairs(&scratch), out.clone())).unwrap();
    let manifest = Path::new(SPEECH).join("train.tsv");
    let joint = TrainOptions {
        init: vec![("decoder.".to_owned(), out.join("checkpoint.safetensors"))],
        schedule: Schedule { peak: 1e-3, warmup: 0, decay: 0, total: 1 },
        ..options(Task::Joint, manifest, scratch.0.join("joint"))
    };
    train(assets(), &joint).unwrap();
    let back = TrainOptions { out: joint.out.clone(), ..options(Task::Text, pairs(&scratch), PathBuf::new()) };
    let error = train(assets(), &back).unwrap_err().to_string();
    assert!(error.contains("is it another task's?"), "{error}");
}

#[test]
fn clips_in_which_nobody_speaks_teach_silence() {
    let scratch = Scratch::new("nothing");
    let row = |name: &str| format!("{name}\t{SPEECH}/{name}.opus\tnobody\t1.8\t\t\t\n");
    let rows = ["000001", "000002", "000005"].map(row).concat();
    let manifest = scratch.file("nothing.tsv", &format!("id\taudio\tspeaker\tseconds\tenglish\tgerman\n{rows}"));
    let joint = TrainOptions {
        schedule: Schedule { peak: 1e-2, warmup: 0, decay: 0, total: 12 },
        eval_every: 12,
        dev: Some(manifest.clone()),
        ..options(Task::Joint, manifest, scratch.0.join("joint"))
    };
    train(assets(), &joint).unwrap();
    let log = fs::read_to_string(joint.out.join("log.jsonl")).unwrap();
    let last: serde_json::Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    // The end of the sentence is all that is left to say, and soon it is said for certain.
    assert!(last["dev"] == true && last["cross_entropy"].as_f64().unwrap() < 1.0, "{last}");
}

#[test]
fn adam_is_libtorchs_adam() {
    let start = Tensor::from_slice(&[0.5f32, -1.0, 2.0]);
    let target = Tensor::from_slice(&[1.0f32, 1.0, -1.0]);
    let store = || {
        let store = nn::VarStore::new(Device::Cpu);
        let variable = store.root().var_copy("x", &start);
        (store, variable)
    };
    let loss = |x: &Tensor| (x - &target).square().sum(Kind::Float);

    let (reference, theirs) = store();
    let adam = nn::Adam { beta1: 0.9, beta2: 0.98, wd: 0.0, eps: 1e-9, amsgrad: false };
    let mut optimizer = adam.build(&reference, 0.05).unwrap();
    let (own, mine) = store();
    let mut parameters = Parameters::gather(&own);
    let mut state = Adam::new(&parameters);
    for update in 1..=20 {
        optimizer.backward_step(&loss(&theirs));
        loss(&mine).backward();
        tch::no_grad(|| {
            state.step(&mut parameters, take_gradients(&own), update, (Optimizer::Adam, 1e9), &[(0..3, 0.05)])
        });
    }
    let difference = (&mine - &theirs).abs().max().double_value(&[]);
    assert!(difference < 1e-5, "off by {difference:e}");
}

#[test]
fn clipping_scales_and_what_is_not_finite_is_skipped() {
    let store = nn::VarStore::new(Device::Cpu);
    let _ = store.root().zeros("x", &[2]);
    let mut parameters = Parameters::gather(&store);
    let mut adam = Adam::new(&parameters);
    let mut step = |gradient: &[f32]| {
        let gradient = Tensor::from_slice(gradient);
        tch::no_grad(|| adam.step(&mut parameters, gradient, 1, (Optimizer::Adam, 1.0), &[(0..2, 0.1)]));
        (parameters.values.copy(), adam.first.copy())
    };
    let (values, first) = step(&[f32::NAN, 1.0]);
    assert_eq!(
        (values, first),
        (Tensor::zeros([2], (Kind::Float, Device::Cpu)), Tensor::zeros([2], (Kind::Float, Device::Cpu)))
    );
    let (_, first) = step(&[30.0, 40.0]);
    assert!((first - Tensor::from_slice(&[0.06f32, 0.08])).abs().max().double_value(&[]) < 1e-6);
}
