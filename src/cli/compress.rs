//! `decalage compress`: a bundle to one that is smaller and says nearly the same.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use decalage::bundle::{Bundle, DEFLATED, MANIFEST, TEXT_SOURCE, TEXT_WEIGHTS, WEIGHTS};
use decalage::model::{deflate, part_of, prune, quantize, read_weights};
use tch::{Kind, Tensor};

/// Write a smaller bundle: deflated f16 weights, or int8 ones, of which the smallest may be left out
#[derive(Debug, Args)]
pub(crate) struct Compress {
    /// Folder of the model
    #[arg(value_name = "BUNDLE")]
    bundle: PathBuf,
    /// Folder to write
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Store matrices as int8, with a scale for each output channel
    #[arg(long)]
    int8: bool,
    /// Information that a weight may hold, in bits: 4.3 make a file of a seventh of f32 [default: what int8 has room for]
    #[arg(long, value_name = "BITS", requires = "int8", value_parser = bits)]
    bits: Option<f64>,
    /// Share of each matrix's weights, the smallest, that become zero
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    prune: f64,
    /// Prune only parts of these names (see `info`), to learn which can bear it
    #[arg(long, value_name = "NAME", requires = "prune")]
    part: Vec<String>,
}

impl Compress {
    pub(crate) fn run(self) -> Result<()> {
        let bundle = Bundle::open(&self.bundle)?;
        // Weights that are not deflated would be taken instead of those that are.
        ensure!(!self.out.join(MANIFEST).exists(), "{} is a bundle, allowed: another folder", self.out.display());
        fs::create_dir_all(&self.out).with_context(|| self.out.display().to_string())?;
        bundle.assets.save(&self.out)?;
        let mut bytes = self.write(&bundle.weights, WEIGHTS)?;
        if let Some(text) = &bundle.text {
            bytes += self.write(&text.weights, TEXT_WEIGHTS)?;
            let path = self.out.join(TEXT_SOURCE);
            fs::write(&path, text.source.to_bytes()?).with_context(|| path.display().to_string())?;
        }
        Bundle::seal(&self.out)?;
        eprintln!("{}: bundle {}, {bytes} bytes of weights", self.out.display(), Bundle::open(&self.out)?.id);
        Ok(())
    }

    /// Writes one file of weights; returns its size.
    fn write(&self, from: &Path, name: &str) -> Result<u64> {
        let prunes = |name: &str| self.part.is_empty() || self.part.contains(&part_of(name));
        let stored: Vec<(String, Tensor)> = read_weights(from)?
            .into_iter()
            .flat_map(|(name, weight)| {
                let weight = if prunes(&name) { prune(&weight, self.prune) } else { weight };
                if self.int8 { quantize(&name, &weight, self.bits) } else { vec![(name, weight.to_kind(Kind::Half))] }
            })
            .collect();
        let (plain, path) = (self.out.join("model.tmp"), self.out.join(name.to_owned() + DEFLATED));
        Tensor::write_safetensors(&stored, &plain)?;
        deflate(&plain, &path).with_context(|| path.display().to_string())?;
        fs::remove_file(&plain)?;
        Ok(fs::metadata(&path)?.len())
    }
}

fn bits(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|bits| (1.0..=8.0).contains(bits)).ok_or("allowed: 1 to 8".to_owned())
}

fn share(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|share| (0.0..1.0).contains(share)).ok_or("allowed: 0 to below 1".to_owned())
}
