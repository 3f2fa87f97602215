//! `decalage export`: a checkpoint and its assets to a bundle that can be served.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;
use decalage::bundle::{Assets, Bundle, WEIGHTS};
use decalage::model::{SpeechTranslator, save_weights};
use decalage::train::average_weights;
use tch::Device;

/// Parts of a checkpoint that serve; the text stage's encoder and the optimiser stay behind.
const SERVED: [&str; 2] = ["encoder.", "decoder."];

/// Write a bundle from a checkpoint's averaged weights
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// Checkpoint of the `joint` stage
    #[arg(long, value_name = "FILE")]
    checkpoint: PathBuf,
    /// Folder written by `prepare`
    #[arg(long, value_name = "DIR")]
    assets: PathBuf,
    /// Folder to write; files of the bundle that are there are replaced
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Store weights as f32 instead of f16 (both are served in f32)
    #[arg(long)]
    f32: bool,
}

impl Export {
    pub(crate) fn run(self) -> Result<()> {
        let assets = Assets::open(&self.assets)?;
        let mut weights = average_weights(&self.checkpoint)?;
        weights.retain(|(name, _)| SERVED.iter().any(|part| name.starts_with(part)));
        let not_finite = weights.iter().find(|(_, tensor)| tensor.isfinite().all().int64_value(&[]) == 0);
        ensure!(not_finite.is_none(), "{:?} is not finite", not_finite.map(|(name, _)| name));
        fs::create_dir_all(&self.out).with_context(|| self.out.display().to_string())?;
        // A bundle that is there stays whole until the new weights have proved to fit.
        let (path, partial) = (self.out.join(WEIGHTS), self.out.join("model.tmp"));
        save_weights(&partial, &weights, !self.f32)?;
        if let Err(error) = SpeechTranslator::load(&partial, &assets.config.model, Device::Cpu) {
            let _ = fs::remove_file(&partial);
            return Err(error).context("the checkpoint does not fit these assets");
        }
        fs::rename(&partial, &path).with_context(|| path.display().to_string())?;
        assets.save(&self.out)?;
        Bundle::seal(&self.out)?;
        let bundle = Bundle::open(&self.out)?;
        let count: usize = weights.iter().map(|(_, tensor)| tensor.numel()).sum();
        eprintln!("{}: bundle {}, {count} parameters", self.out.display(), bundle.id);
        Ok(())
    }
}
