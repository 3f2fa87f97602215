//! Turns examples into batches on threads of its own, in an order that depends on nothing but seed and epoch.
//!
//! Batch i is made by thread i mod n and taken in order, so that any number of threads gives the same run. Channels are
//! bounded: a thread is at most two batches ahead.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng, rngs::SmallRng};

use super::TrainError;
use super::audio::Clips;
use super::batch::{Batch, Item};
use super::manifest::Example;
use super::options::{Augmentation, Task, TrainOptions};
use crate::bundle::Assets;
use crate::text::{Tokenizer, normalize_source};

/// Examples sorted together by length before they are cut into batches.
const POOL: usize = 4096;

/// Everything that a loader thread needs.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) assets: Arc<Assets>,
    pub(crate) options: TrainOptions,
    /// Each set of examples and how often it is heard in an epoch.
    pub(crate) sets: Vec<(Vec<Example>, f64)>,
    pub(crate) clips: Clips,
    /// The source pieces of [`Task::Text`].
    pub(crate) reader: Option<Tokenizer>,
}

/// Batches of an endless sequence of epochs, from `first_batch` on.
#[derive(Debug)]
pub(crate) struct Loader {
    receivers: Vec<Receiver<Result<Batch, TrainError>>>,
    next: usize,
}

impl Loader {
    pub(crate) fn start(source: &Arc<Source>, first_batch: u64) -> Self {
        let threads = source.options.loaders.max(1);
        let receivers = (0..threads).map(|thread| {
            let (sender, receiver) = sync_channel(2);
            let source = Arc::clone(source);
            thread::spawn(move || produce(&source, first_batch, thread, threads, &sender));
            receiver
        });
        Self { receivers: receivers.collect(), next: 0 }
    }

    pub(crate) fn next(&mut self) -> Result<Batch, TrainError> {
        let receiver = &self.receivers[self.next];
        self.next = (self.next + 1) % self.receivers.len();
        receiver.recv().map_err(|_| TrainError::Worker("a loader thread ended".to_owned()))?
    }
}

/// Makes every `threads`-th batch until nobody listens.
fn produce(
    source: &Source,
    first_batch: u64,
    thread: usize,
    threads: usize,
    sender: &SyncSender<Result<Batch, TrainError>>,
) {
    let mut number = 0u64;
    for epoch in 0u64.. {
        let plan = source.plan(epoch);
        if plan.is_empty() {
            let _ = sender.send(Err(TrainError::NoExamples("every example is too long or empty".to_owned())));
            return;
        }
        for groups in plan {
            let mine = number >= first_batch && (number - first_batch) % threads as u64 == thread as u64;
            if mine {
                let mut rng = SmallRng::seed_from_u64(mix(source.options.seed, number));
                if sender.send(source.batch(&groups, &mut rng)).is_err() {
                    return;
                }
            }
            number += 1;
        }
    }
}

/// One number from two, well mixed (the finaliser of SplitMix64, Steele et al. 2014).
fn mix(a: u64, b: u64) -> u64 {
    let mut z = a.wrapping_add(b.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Examples that are joined to one item, by set and index.
type Group = Vec<(usize, usize)>;

impl Source {
    /// The batches of an epoch.
    fn plan(&self, epoch: u64) -> Vec<Vec<Group>> {
        let mut rng = SmallRng::seed_from_u64(mix(self.options.seed ^ 0x5eed, epoch));
        let mut order = Vec::new();
        for (set, (examples, weight)) in self.sets.iter().enumerate() {
            for index in 0..examples.len() {
                let copies = weight.floor() as usize + usize::from(rng.random_bool(weight.fract()));
                order.extend(std::iter::repeat_n((set, index), copies));
            }
        }
        order.shuffle(&mut rng);
        let mut groups = self.join(&order, &mut rng);
        let mut batches = Vec::new();
        for pool in groups.chunks_mut(POOL) {
            pool.sort_by(|a, b| self.cost(a).total_cmp(&self.cost(b)));
            let mut batch: Vec<Group> = Vec::new();
            for group in pool.iter_mut() {
                // Sorted, so the newest is the longest: what the batch costs with padding.
                let cost = self.cost(group) * (batch.len() + 1) as f64;
                if cost > self.options.batch_size && !batch.is_empty() {
                    batches.push(std::mem::take(&mut batch));
                }
                batch.push(std::mem::take(group));
            }
            if !batch.is_empty() {
                batches.push(batch);
            }
        }
        batches.shuffle(&mut rng);
        batches
    }

    /// Groups neighbours of the shuffled order; leaves out what is longer than an utterance may be.
    fn join(&self, order: &[(usize, usize)], rng: &mut SmallRng) -> Vec<Group> {
        let limit = self.limit();
        let mut groups = Vec::new();
        let mut rest = order;
        while !rest.is_empty() {
            let Augmentation { join, max_joined, .. } = self.options.augmentation;
            let wanted = if rng.random_bool(join) { rng.random_range(2..=max_joined.max(2)) } else { 1 };
            let mut group: Group = Vec::new();
            while let Some((first, others)) = rest.split_first() {
                let mut longer = group.clone();
                longer.push(*first);
                if self.cost(&longer) > limit && !group.is_empty() {
                    break;
                }
                group = longer;
                rest = others;
                if group.len() == wanted {
                    break;
                }
            }
            if self.cost(&group) <= limit {
                groups.push(group);
            }
        }
        groups
    }

    /// How many examples are longer than an utterance may be, and how long that is.
    pub(crate) fn too_long(&self) -> (usize, f64) {
        let all =
            self.sets.iter().enumerate().flat_map(|(set, (examples, _))| (0..examples.len()).map(move |i| (set, i)));
        (all.filter(|&one| self.cost(&[one]) > self.limit()).count(), self.limit())
    }

    /// Longest item: seconds, or characters in the text stage. Leaves room for slower speed and longer pauses.
    fn limit(&self) -> f64 {
        let model = &self.assets.config.model;
        let steps = model.max_utterance_steps() as f64;
        match self.options.task {
            Task::Lm | Task::Text => steps,
            Task::Ctc | Task::Joint => steps * model.frames_per_step as f64 / 100.0 * 0.85,
        }
    }

    /// Seconds of audio, or characters of text.
    fn cost(&self, group: &[(usize, usize)]) -> f64 {
        let one = |&(set, index): &(usize, usize)| {
            let example = &self.sets[set].0[index];
            match self.options.task {
                Task::Lm => example.german.first().map_or(0, |german| german.chars().count()) as f64 + 1.0,
                Task::Text => example.english.chars().count() as f64 + 1.0,
                Task::Ctc | Task::Joint => example.seconds + 0.3,
            }
        };
        group.iter().map(one).sum()
    }

    fn batch(&self, groups: &[Group], rng: &mut SmallRng) -> Result<Batch, TrainError> {
        let items = groups.iter().map(|group| {
            let examples: Vec<&Example> = group.iter().map(|&(set, index)| &self.sets[set].0[index]).collect();
            self.item(&examples, Some(&mut *rng))
        });
        let items = items.collect::<Result<Vec<Item>, TrainError>>()?;
        let offline = self.options.task == Task::Ctc || rng.random_bool(self.options.offline_share);
        let k = (!offline).then(|| rng.random_range(self.options.min_k.min(self.options.max_k)..=self.options.max_k));
        Ok(Batch { items, k, seed: rng.random() })
    }

    /// One item of one or more examples. Without `rng` nothing is varied and the first translation is taken.
    pub(crate) fn item(&self, examples: &[&Example], mut rng: Option<&mut SmallRng>) -> Result<Item, TrainError> {
        let mut item = Item::default();
        let mut english = Vec::new();
        let mut german = Vec::new();
        for example in examples {
            // Nothing is said where there is only noise; the separator is no label there either.
            let heard = self.reader.is_none()
                || rng.as_mut().is_some_and(|rng| rng.random_bool(self.options.augmentation.as_heard));
            let text = if heard { normalize_source(&example.english) } else { example.english.clone() };
            english.extend(Some(text).filter(|text| !text.is_empty()));
            let choice = rng.as_mut().map_or(0, |rng| rng.random_range(0..example.german.len().max(1)));
            german.extend(example.german.get(choice).map(String::as_str));
        }
        item.tokens = self.assets.target.encode(&german.join(" "))?;
        item.tokens.truncate(self.assets.config.model.max_target_tokens - 1);
        item.words = numbers(&item.tokens, &self.assets.target);
        if self.options.task == Task::Lm {
            return Ok(item);
        }
        let source = self.reader.as_ref().unwrap_or(&self.assets.source);
        item.labels = source.encode(&english.join(" "))?;
        if !self.options.task.reads_pairs() {
            item.frames = self.clips.frames(examples, rng)?;
            return Ok(item);
        }
        if item.labels.is_empty() {
            item.labels.push(0); // a sentence without a letter still needs one encoder step
        }
        let words = numbers(&item.labels, source);
        item.source_ends = words
            .chunk_by(|a, b| a == b)
            .scan(0, |end, word| {
                *end += word.len();
                Some(*end)
            })
            .collect();
        Ok(item)
    }
}

/// The number, from 1, of the word that each piece belongs to.
fn numbers(pieces: &[u32], tokenizer: &Tokenizer) -> Vec<usize> {
    let count = |word: &mut usize, &piece: &u32| {
        *word += usize::from(tokenizer.begins_word(piece));
        Some((*word).max(1))
    };
    pieces.iter().scan(0, count).collect()
}
