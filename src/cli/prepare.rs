//! `decalage prepare`: tokenizers, filterbank statistics and config of a new model.

use std::{fs::read_to_string, path::PathBuf};

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use decalage::bundle::{Assets, BundleConfig, format};
use decalage::features::FbankConfig;
use decalage::model::ModelConfig;
use decalage::text::{Language, Tokenizer, normalize_source};
use decalage::train::{cmvn, read_pairs};

/// Train tokenizers, measure the filterbank's statistics and write the config of a new model from English speech
#[derive(Debug, Args)]
pub(crate) struct Prepare {
    /// Sentence pairs: source, tab, target
    #[arg(long, value_name = "TSV")]
    text: PathBuf,
    /// English sentences, one a line, that are counted for what the language says of a transcript, beside those of the pairs, which
    /// then count twice
    #[arg(long, value_name = "TXT")]
    english: Option<PathBuf>,
    /// Manifests of clips, for the statistics
    #[arg(long, value_name = "TSV", required = true)]
    manifest: Vec<PathBuf>,
    /// Clips to measure, spread over all manifests
    #[arg(long, default_value_t = 2000)]
    clips: usize,
    /// Target pieces
    #[arg(long, default_value_t = 4000)]
    target_vocab: usize,
    /// Source labels; 0 for single characters
    #[arg(long, default_value_t = 0)]
    source_vocab: usize,
    /// Shape of the network
    #[arg(long, value_enum, default_value_t = Size::Small)]
    size: Size,
    /// Language of the translations, ISO 639-1 (the source is English, as which transcripts are normalised)
    #[arg(long, value_name = "CODE", default_value = "de", value_parser = language)]
    target_language: String,
    /// Folder to write
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Size {
    Tiny,
    Small,
    Base,
}

impl Prepare {
    pub(crate) fn run(self) -> Result<()> {
        let pairs = read_pairs(&self.text)?;
        ensure!(!pairs.is_empty(), "{}: no sentence pairs", self.text.display());
        let source = Tokenizer::train_source(pairs.iter().map(|pair| &pair.english), self.source_vocab)?;
        let target = Tokenizer::train_cased(pairs.iter().flat_map(|pair| &pair.german), self.target_vocab)?;
        let more =
            self.english.map(|path| read_to_string(&path).with_context(|| path.display().to_string())).transpose()?;
        // What is said to be translated is more like the pairs, which so count twice.
        let spoken = || pairs.iter().map(|pair| pair.english.as_str());
        let more = more.iter().flat_map(|text| spoken().chain(text.lines()));
        let english = spoken().chain(more);
        let language = Some(Language::train(english.map(normalize_source)));
        let features = FbankConfig::default();
        let cmvn = cmvn(&self.manifest, &features, self.clips).context("filterbank statistics")?;
        let (source_vocab, target_vocab) = (source.vocab_size(), target.vocab_size());
        let model = match self.size {
            Size::Tiny => ModelConfig::tiny(source_vocab, target_vocab),
            Size::Small => ModelConfig::small(source_vocab, target_vocab),
            Size::Base => ModelConfig::base(source_vocab, target_vocab),
        };
        let config = BundleConfig {
            format: format(),
            source_language: "en".to_owned(),
            target_language: self.target_language,
            features,
            model,
        };
        Assets { config, source, target, cmvn, language }.save(&self.out)?;
        eprintln!("{}: {source_vocab} source labels, {target_vocab} target pieces", self.out.display());
        Ok(())
    }
}

/// Clients name languages by these codes.
fn language(code: &str) -> Result<String, String> {
    let is_code = code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_lowercase());
    if is_code { Ok(code.to_owned()) } else { Err("allowed: two letters, such as de".to_owned()) }
}
