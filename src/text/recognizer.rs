//! Label probabilities to words: a prefix beam search of connectionist temporal classification (CTC) that also asks how
//! letters follow one another in the language.
//!
//! Hannun et al. 2014 ("First-pass large vocabulary continuous speech recognition using bi-directional recurrent DNNs", arXiv
//! 1408.2873, algorithm 1), whose language model counts words; here it also counts letters, so that every word can be written. The
//! CTC head hears `caris nd arepair` where `car is under repair` was said: half of its words are wrong, but a fifth of its letters.
//! Invariants: words leave once, whole, and are final; a search whose words have left knows nothing of them but the last ones.

use std::collections::HashMap;
use std::f32::consts::LN_2;

use serde::{Deserialize, Serialize};

use super::{Language, Tokenizer, language::Reader, letters::Symbol, tokenizer::WORD_START};

/// Less probable labels are not looked at.
const MIN_LOG_PROB: f32 = -7.0;

/// What a transcript is searched by.
#[derive(Debug, Clone, Copy)]
pub struct Search<'a> {
    /// Labels are its.
    pub tokenizer: &'a Tokenizer,
    /// Without one nothing tells hypotheses apart, and the best label of each step is taken.
    pub language: Option<&'a Language>,
    /// How far.
    pub effort: Effort,
}

/// How far a transcript is searched.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Effort {
    /// Hypotheses kept.
    beam_size: usize,
    /// Those that are so many nats behind the best are given up.
    margin: f32,
    /// What a nat of the language counts against a nat of what was heard,
    language_weight: f32,
    /// and what a letter is given for it, in nats: without, short texts would win.
    letter_bonus: f32,
    /// A word is final that all hypotheses have which are no more nats than this behind the best one,
    agreement: f32,
    /// or one with so many words behind it, whatever else it might have been: what follows it tells most of it.
    held_words: usize,
}

impl Effort {
    /// While somebody waits for each word.
    pub const LIVE: Self =
        Self { beam_size: 96, margin: 15.0, language_weight: 1.0, letter_bonus: 1.8, agreement: 5.0, held_words: 2 };
    /// Where the whole utterance is waited for.
    pub const WHOLE: Self =
        Self { beam_size: 300, margin: 20.0, agreement: f32::INFINITY, held_words: 3, ..Self::LIVE };
}

/// A word of the transcript.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// Its labels.
    pub labels: Vec<u32>,
    /// Encoder step that its first letter was heard in,
    pub start_step: usize,
    /// and the one behind its last letter.
    pub end_step: usize,
}

/// The search through one utterance after another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recognizer {
    blank: u32,
    num_steps: u32,
    /// The best one first; never empty.
    paths: Vec<Path>,
}

/// A text that may have been said, without the words that are final.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Path {
    labels: Vec<u32>,
    /// Where each was heard first.
    steps: Vec<u32>,
    read: Reader,
    /// Natural log-probability of all ways to hear it that end with a blank,
    blank: f32,
    /// and of those that end with its last label.
    label: f32,
    /// What the language says of it, in nats.
    prior: f32,
    /// What it says of one more label; a path stays for some steps, and the tables are large.
    #[serde(skip)]
    told: Told,
}

/// A label, the prior with it, and the text read so far. Equal to any other, as it can be told again.
#[derive(Debug, Clone, Default)]
struct Told(Vec<(u32, f32, Reader)>);

impl PartialEq for Told {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// A path with one more label, of which only what it is judged by is known.
#[derive(Debug, Clone, Copy)]
struct Longer {
    /// Number of the path.
    path: usize,
    /// Number of what it is told of the label.
    told: usize,
    log_prob: f32,
    score: f32,
}

impl Path {
    fn log_prob(&self) -> f32 {
        log_add(self.blank, self.label)
    }

    fn score(&self) -> f32 {
        self.log_prob() + self.prior
    }

    /// Number of what it is told of one more label.
    fn ask(&mut self, label: u32, piece: &str, by: &Search<'_>) -> usize {
        let known = self.told.0.iter().position(|&(known, ..)| known == label);
        known.unwrap_or_else(|| {
            let mut longer = Self { read: self.read.clone(), prior: self.prior, ..Self::default() };
            let symbols =
                piece.chars().filter_map(|c| if c == WORD_START { Some(Symbol::SPACE) } else { Symbol::of(c) });
            symbols.for_each(|symbol| longer.spell(symbol, by));
            self.told.0.push((label, longer.prior, longer.read));
            self.told.0.len() - 1
        })
    }

    /// The text with one more label, heard first at `step`.
    fn extended(&self, longer: &Longer, step: u32) -> Self {
        let (label, prior, ref read) = self.told.0[longer.told];
        Self {
            labels: [self.labels.as_slice(), &[label]].concat(),
            steps: [self.steps.as_slice(), &[step]].concat(),
            read: read.clone(),
            blank: f32::NEG_INFINITY,
            label: longer.log_prob,
            prior,
            told: Told::default(),
        }
    }

    fn spell(&mut self, symbol: Symbol, by: &Search<'_>) {
        if let Some(bits) = by.language.and_then(|language| self.read.push(language, symbol)) {
            self.prior += by.effort.letter_bonus - by.effort.language_weight * bits * LN_2;
        }
    }

    /// Nothing more is said.
    fn end(&mut self, by: &Search<'_>) {
        self.spell(Symbol::SPACE, by);
        let bits = by.language.map_or(0.0, |language| self.read.end_bits(language));
        self.prior -= by.effort.language_weight * bits * LN_2;
    }
}

impl Recognizer {
    /// A recogniser that has heard nothing.
    pub fn new(blank: u32) -> Self {
        let path = Path { label: f32::NEG_INFINITY, ..Path::default() };
        Self { blank, num_steps: 0, paths: vec![path] }
    }

    /// Hears more of the utterance: natural log-probabilities, row-major `(steps, labels of the tokenizer)`. The words that have
    /// become final; none for no steps.
    pub fn push(&mut self, by: &Search<'_>, log_probs: &[f32]) -> Vec<Heard> {
        let tokenizer = by.tokenizer;
        for step in log_probs.chunks_exact(tokenizer.vocab_size()) {
            self.step(by, step);
        }
        let Some((best, others)) = self.paths.split_first() else { return Vec::new() };
        let starts: Vec<usize> = word_starts(tokenizer, &best.labels).collect();
        let shared = |path: &Path| best.labels.iter().zip(&path.labels).take_while(|(a, b)| a == b).count();
        let floor = best.score() - by.effort.agreement;
        let near = others.iter().take_while(|path| path.score() >= floor);
        let shared = near.map(shared).min().unwrap_or(usize::MAX);
        let agreed = starts.iter().rfind(|&&start| start < shared);
        let held = starts.iter().rev().nth(by.effort.held_words);
        let cut = agreed.max(held).copied().unwrap_or(0);
        if cut == 0 {
            return Vec::new();
        }
        let words = heard(tokenizer, best, cut);
        // What the next word begins with is said, too.
        let said = best.labels[..=cut].to_vec();
        self.paths.retain(|path| path.labels.starts_with(&said));
        for path in &mut self.paths {
            path.labels.drain(..cut);
            path.steps.drain(..cut);
        }
        words
    }

    /// The utterance is over: its last words. What comes next is another one.
    pub fn finish(&mut self, by: &Search<'_>) -> Vec<Heard> {
        self.paths.iter_mut().for_each(|path| path.end(by));
        let best = self.paths.iter().reduce(|best, path| if path.score() > best.score() { path } else { best });
        let words = best.map(|path| heard(by.tokenizer, path, path.labels.len())).unwrap_or_default();
        *self = Self::new(self.blank);
        words
    }

    fn step(&mut self, by: &Search<'_>, log_probs: &[f32]) {
        let Search { tokenizer, language, effort } = *by;
        let log_prob = |label: u32| log_probs.get(label as usize).copied().unwrap_or(f32::NEG_INFINITY);
        let piece = |label: u32| Some((label, tokenizer.piece(label).filter(|_| !tokenizer.is_special(label))?));
        let likely = (0..log_probs.len() as u32).filter(|&label| log_prob(label) > MIN_LOG_PROB);
        let likely: Vec<(u32, &str)> = likely.filter_map(piece).collect();
        // What the best one has with nothing added; the most that a letter adds is its bonus, or a word that is more probable than its
        // letters, which the margin leaves room for.
        let staying = |path: &Path| path.score() + log_prob(self.blank);
        let floor = self.paths.iter().map(staying).fold(f32::NEG_INFINITY, f32::max) - effort.margin;
        // Which path is another one with one more label.
        let numbers: HashMap<&[u32], usize> =
            self.paths.iter().enumerate().map(|(at, path)| (path.labels.as_slice(), at)).collect();
        let extends = |(at, path): (usize, &Path)| {
            let (&label, before) = path.labels.split_last()?;
            Some(((*numbers.get(before)?, label), at))
        };
        let known: HashMap<(usize, u32), usize> = self.paths.iter().enumerate().filter_map(extends).collect();
        // By path: what it has with nothing added, ending with a blank and with its last label.
        let mut stay: Vec<(f32, f32)> =
            self.paths.iter().map(|path| (path.log_prob() + log_prob(self.blank), f32::NEG_INFINITY)).collect();
        let mut longer: Vec<Longer> = Vec::new();
        for (at, path) in self.paths.iter_mut().enumerate() {
            for &(label, piece) in &likely {
                let repeats = path.labels.last() == Some(&label);
                if repeats {
                    stay[at].1 = log_add(stay[at].1, path.label + log_prob(label));
                }
                // A label counts twice only with a blank between.
                let log_prob = if repeats { path.blank } else { path.log_prob() } + log_prob(label);
                if log_prob + path.prior + effort.letter_bonus <= floor {
                    continue;
                }
                if let Some(&same) = known.get(&(at, label)) {
                    stay[same].1 = log_add(stay[same].1, log_prob);
                } else {
                    let told = path.ask(label, piece, by);
                    longer.push(Longer { path: at, told, log_prob, score: log_prob + path.told.0[told].1 });
                }
            }
        }
        let beam_size = if language.is_some() { effort.beam_size } else { 1 };
        longer.sort_by(|a, b| b.score.total_cmp(&a.score));
        longer.truncate(beam_size);
        let longer: Vec<Path> =
            longer.iter().map(|longer| self.paths[longer.path].extended(longer, self.num_steps)).collect();
        self.paths.iter_mut().zip(stay).for_each(|(path, (blank, label))| (path.blank, path.label) = (blank, label));
        self.paths.extend(longer);
        self.num_steps += 1;
        self.paths.sort_by(|a, b| b.score().total_cmp(&a.score()));
        let floor = self.paths.first().map_or(0.0, Path::score) - effort.margin;
        self.paths.retain(|path| path.score() >= floor);
        self.paths.truncate(beam_size);
    }
}

fn word_starts<'a>(tokenizer: &'a Tokenizer, labels: &'a [u32]) -> impl Iterator<Item = usize> + 'a {
    (0..labels.len()).filter(|&at| tokenizer.begins_word(labels[at]))
}

/// A path's first labels as words.
fn heard(tokenizer: &Tokenizer, path: &Path, num_labels: usize) -> Vec<Heard> {
    let labels = &path.labels[..num_labels];
    // Before the first mark there may be letters, too.
    let inner = word_starts(tokenizer, labels).filter(|&start| start > 0);
    let borders: Vec<usize> = [0].into_iter().chain(inner).chain([num_labels]).collect();
    let words = borders.windows(2).map(|border| (&labels[border[0]..border[1]], &path.steps[border[0]..border[1]]));
    let word = |(labels, steps): (&[u32], &[u32])| {
        // A mark is heard somewhere in the pause before its word.
        let lone = tokenizer.decode(&labels[..1]).is_empty() && labels.len() > 1;
        let (start, end) = (steps[usize::from(lone)], steps[steps.len() - 1] + 1);
        Heard { labels: labels.to_vec(), start_step: start as usize, end_step: end as usize }
    };
    words.filter(|(labels, _)| !tokenizer.decode(labels).is_empty()).map(word).collect()
}

/// `ln(e^a + e^b)`.
fn log_add(a: f32, b: f32) -> f32 {
    let (high, low) = if a > b { (a, b) } else { (b, a) };
    if low == f32::NEG_INFINITY { high } else { high + (low - high).exp().ln_1p() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{BLANK, CtcCollapse, letters::tests::ENGLISH};
    use super::*;

    fn characters() -> Tokenizer {
        Tokenizer::train_source(ENGLISH.repeat(9), 0).unwrap()
    }

    /// Log-probabilities of steps that each name some labels, with weights.
    fn steps(tokenizer: &Tokenizer, steps: &[&[(&str, f32)]]) -> Vec<f32> {
        let id = |piece: &str| match piece {
            "" => BLANK as usize,
            piece => (0..tokenizer.vocab_size()).find(|&id| tokenizer.piece(id as u32) == Some(piece)).unwrap(),
        };
        let row = |weights: &&[(&str, f32)]| {
            let mut row = vec![1e-6; tokenizer.vocab_size()];
            weights.iter().for_each(|&(piece, weight)| row[id(piece)] = weight);
            row
        };
        steps.iter().flat_map(row).map(f32::ln).collect()
    }

    fn text(tokenizer: &Tokenizer, words: &[Heard]) -> String {
        words.iter().map(|word| tokenizer.decode(&word.labels)).collect::<Vec<_>>().join(" ")
    }

    /// What is heard, letter by letter, with a blank behind each; `?` for an `a` that may well be an `e`.
    fn spelled(tokenizer: &Tokenizer, text: &str) -> Vec<f32> {
        let step = |c: char| match c {
            ' ' => steps(tokenizer, &[&[("▁", 0.9), ("", 0.1)], &[("", 1.0)]]),
            '?' => steps(tokenizer, &[&[("a", 0.55), ("e", 0.4)], &[("", 1.0)]]),
            c => steps(tokenizer, &[&[(&c.to_string(), 0.9), ("", 0.1)], &[("", 1.0)]]),
        };
        text.chars().flat_map(step).collect()
    }

    #[test]
    fn all_ways_to_hear_a_text_count() {
        // By steps "" is best (0.6 × 0.6); "a" has 0.4 × 0.4 + 2 × 0.4 × 0.6.
        let tokenizer = characters();
        let mut recognizer = Recognizer::new(BLANK);
        let unsure: &[(&str, f32)] = &[("a", 0.4), ("", 0.6)];
        let language = Language::train(["a"; 50]);
        let by = Search { tokenizer: &tokenizer, language: Some(&language), effort: Effort::LIVE };
        recognizer.push(&by, &steps(&tokenizer, &[unsure, unsure]));
        let path = recognizer.paths.iter().find(|path| path.labels.len() == 1).unwrap();
        assert!((path.log_prob().exp() - 0.64).abs() < 1e-4, "{path:?}");
    }

    #[test]
    fn the_language_decides_between_what_sounds_alike() {
        let (tokenizer, language) = (characters(), Language::train(ENGLISH.iter().cycle().take(60)));
        let heard = |language: Option<&Language>| {
            let mut recognizer = Recognizer::new(BLANK);
            let log_probs = spelled(&tokenizer, " th?r? is nothing l?ft to ?at");
            let by = Search { tokenizer: &tokenizer, language, effort: Effort::LIVE };
            let words = [recognizer.push(&by, &log_probs), recognizer.finish(&by)];
            text(&tokenizer, &words.concat())
        };
        assert_eq!(heard(None), "thara is nothing laft to aat");
        assert_eq!(heard(Some(&language)), "there is nothing left to eat");
    }

    #[test]
    fn a_word_is_final_behind_the_next_and_has_its_time() {
        let (tokenizer, language) = (characters(), Language::train(ENGLISH.iter().cycle().take(60)));
        let mut recognizer = Recognizer::new(BLANK);
        let by = Search { tokenizer: &tokenizer, language: Some(&language), effort: Effort::LIVE };
        let mut hear = |text: &str| recognizer.push(&by, &spelled(&tokenizer, text));
        assert_eq!(hear(" th"), []);
        assert_eq!(hear("e"), []);
        let words: Vec<Heard> =
            " children are playing in the garden".split_inclusive(' ').flat_map(&mut hear).collect();
        assert_eq!(text(&tokenizer, &words[..1]), "the");
        // The mark has two steps, each letter has two.
        assert_eq!((words[0].start_step, words[0].end_step), (2, 7));
        let rest = recognizer.finish(&by);
        assert_eq!(text(&tokenizer, &[words, rest].concat()), "the children are playing in the garden");
        assert_eq!(recognizer, Recognizer::new(BLANK));
        // Where nobody waits, three words may still change what is before them.
        let by = Search { effort: Effort::WHOLE, ..by };
        let words = recognizer.push(&by, &spelled(&tokenizer, " th?r? is nothing l?ft to ?at"));
        assert!(words.len() <= 3, "{}", text(&tokenizer, &words));
        let words = [words, recognizer.finish(&by)].concat();
        assert_eq!(text(&tokenizer, &words), "there is nothing left to eat");
    }

    #[test]
    fn a_word_that_may_be_another_waits_for_two_more() {
        let (tokenizer, sentences) = (characters(), ["there is a house", "thara is a house"]);
        let language = Language::train(sentences.into_iter().cycle().take(60));
        let by = Search {
            tokenizer: &tokenizer,
            language: Some(&language),
            effort: Effort { agreement: 1.0, ..Effort::LIVE },
        };
        let finals = |first: &str| {
            let mut recognizer = Recognizer::new(BLANK);
            [first, " is", " a", " house"]
                .map(|more| text(&tokenizer, &recognizer.push(&by, &spelled(&tokenizer, more))))
        };
        assert_eq!(finals(" there"), ["", "there", "is", "a"]);
        assert_eq!(finals(" th?r?"), ["", "", "", "thara"]);
    }

    proptest! {
        #[test]
        fn without_a_language_it_hears_what_is_best_at_each_step(
            labels in prop::collection::vec(prop_oneof![Just(BLANK), 4_u32..12], 0..60), cut in 0_usize..60,
        ) {
            let tokenizer = characters();
            let vocab = tokenizer.vocab_size();
            let row = |&best: &u32| (0..vocab).map(move |id| if id as u32 == best { 0.0 } else { f32::NEG_INFINITY });
            let log_probs: Vec<f32> = labels.iter().flat_map(row).collect();
            let mut recognizer = Recognizer::new(BLANK);
            let (left, right) = log_probs.split_at((cut * vocab).min(log_probs.len()));
            let by = Search { tokenizer: &tokenizer, language: None, effort: Effort::LIVE };
            let mut words = [recognizer.push(&by, left), recognizer.push(&by, right)].concat();
            words.extend(recognizer.finish(&by));
            prop_assert!(words.iter().all(|word| word.start_step < word.end_step && word.end_step <= labels.len()));
            prop_assert!(words.is_sorted_by_key(|word| word.start_step));
            let expected = tokenizer.decode(&CtcCollapse::new(BLANK).push(&labels));
            prop_assert_eq!(text(&tokenizer, &words), expected);
        }
    }
}
