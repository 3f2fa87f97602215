//! `decalage export`: checkpoints and their assets to a bundle that can be served.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use decalage::bundle::{Assets, Bundle, TEXT_SOURCE, TEXT_WEIGHTS, WEIGHTS};
use decalage::model::{SpeechTranslator, TextTranslator, WeightsError, save_weights};
use decalage::text::Tokenizer;
use decalage::train::{Which, weights_of};
use tch::Device;

/// Write a bundle from checkpoints' weights
#[derive(Debug, Args)]
#[group(id = "parts", required = true, multiple = true)]
pub(crate) struct Export {
    /// Checkpoint of the `joint` stage, or of `ctc`
    #[arg(long, value_name = "FILE", group = "parts", requires = "assets")]
    checkpoint: Option<PathBuf>,
    /// Checkpoint of the `text` stage: the bundle can read, too. Its tokenizer lies beside it
    #[arg(long, value_name = "FILE", group = "parts")]
    text: Option<PathBuf>,
    /// Folder written by `prepare`
    #[arg(long, value_name = "DIR")]
    assets: Option<PathBuf>,
    /// Folder to write; files of the bundle that are there are replaced
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Take the weights of the last update instead of their average: for runs whose rate has fallen to zero
    #[arg(long)]
    last: bool,
    /// Store weights as f32 instead of f16 (both are served in f32)
    #[arg(long)]
    f32: bool,
}

impl Export {
    pub(crate) fn run(self) -> Result<()> {
        fs::create_dir_all(&self.out).with_context(|| self.out.display().to_string())?;
        let assets = Assets::open(self.assets.as_deref().unwrap_or(&self.out))?;
        let model = &assets.config.model;
        if let Some(checkpoint) = &self.checkpoint {
            self.write(checkpoint, ["encoder.", "decoder."], WEIGHTS, |path| {
                SpeechTranslator::load(path, model, Device::Cpu).map(drop)
            })?;
            assets.save(&self.out)?;
        }
        if let Some(checkpoint) = &self.text {
            let source = Tokenizer::from_file(checkpoint.with_file_name(TEXT_SOURCE))?;
            self.write(checkpoint, ["text_encoder.", "decoder."], TEXT_WEIGHTS, |path| {
                TextTranslator::load(path, source.vocab_size(), model, Device::Cpu).map(drop)
            })?;
            let path = self.out.join(TEXT_SOURCE);
            fs::write(&path, source.to_bytes()?).with_context(|| path.display().to_string())?;
        }
        Bundle::seal(&self.out)?;
        eprintln!("{}: bundle {}", self.out.display(), Bundle::open(&self.out)?.id);
        Ok(())
    }

    /// Writes those `parts` of a checkpoint that serve; the optimiser stays behind.
    fn write(
        &self,
        checkpoint: &Path,
        parts: [&str; 2],
        name: &str,
        load: impl FnOnce(&Path) -> Result<(), WeightsError>,
    ) -> Result<()> {
        let which = if self.last { Which::Last } else { Which::Average };
        let mut weights = weights_of(checkpoint, which)?;
        weights.retain(|(name, _)| parts.iter().any(|part| name.starts_with(part)));
        let not_finite = weights.iter().find(|(_, tensor)| tensor.isfinite().all().int64_value(&[]) == 0);
        ensure!(not_finite.is_none(), "{:?} is not finite", not_finite.map(|(name, _)| name));
        // A bundle that is there stays whole until the new weights have proved to fit.
        let (path, partial) = (self.out.join(name), self.out.join("model.tmp"));
        save_weights(&partial, &weights, !self.f32)?;
        if let Err(error) = load(&partial) {
            let _ = fs::remove_file(&partial);
            return Err(error).context("the checkpoint does not fit these assets");
        }
        fs::rename(&partial, &path).with_context(|| path.display().to_string())?;
        let count: usize = weights.iter().map(|(_, tensor)| tensor.numel()).sum();
        eprintln!("{}: {count} parameters", path.display());
        Ok(())
    }
}
