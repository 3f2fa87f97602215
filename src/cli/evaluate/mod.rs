//! `decalage evaluate`: a manifest and a bundle to quality and latency.

mod clips;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use clap::builder::RangedU64ValueParser;
use decalage::bundle::Bundle;
use decalage::eval::{Clip, Instance, Scores, table, write_instances};
use decalage::plot::{Axes, Curve, draw};
use decalage::policy::{DEFAULT_BEAM_SIZE, MAX_BEAM_SIZE, MAX_K};
use decalage::session::SessionConfig;
use decalage::train::{Example, read_manifest, read_pairs};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::json;

/// Measure translation quality and latency on a manifest of clips
#[derive(Debug, Args)]
pub(crate) struct Evaluate {
    /// Clips with source text and translations
    #[arg(long, value_name = "TSV", required_unless_present = "pairs")]
    manifest: Option<PathBuf>,
    /// Sentence pairs, without header, read as with --text
    #[arg(long, value_name = "TSV", conflicts_with_all = ["manifest", "direct"])]
    pairs: Option<PathBuf>,
    /// Read the source text instead of hearing the clips: times count words, and nothing is a rate
    #[arg(long)]
    text: bool,
    /// Translate the speech itself, not its transcript
    #[arg(long, conflicts_with = "text")]
    direct: bool,
    /// Folder of the model
    #[arg(long, value_name = "DIR", default_value = "models/en-de-small")]
    bundle: PathBuf,
    /// Lags of wait-k, in segments; `inf` is offline
    #[arg(long, value_name = "K,…", value_delimiter = ',', default_value = "1,3,5,7,inf", value_parser = lag)]
    k: Vec<Lag>,
    /// Hypotheses of the offline beam search
    #[arg(long, default_value_t = DEFAULT_BEAM_SIZE, value_parser = RangedU64ValueParser::<usize>::new().range(1..=MAX_BEAM_SIZE as u64))]
    beam: usize,
    /// From this score of the voice activity detector on a frame is speech; 0 takes each clip as one utterance
    #[arg(long, default_value_t = SessionConfig::default().vad_threshold)]
    vad_threshold: f32,
    /// Silence that ends an utterance
    #[arg(long, value_name = "MS", default_value_t = SessionConfig::default().utterances.pause_ms)]
    pause_ms: u32,
    /// File to write the scores to
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Folder for instances-k*.log (SimulEval's format) and quality-latency.png
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Take only so many clips, the first ones
    #[arg(long)]
    limit: Option<usize>,
    /// Print so many clips and what was made of them, drawn at random, the same ones each time
    #[arg(long, value_name = "N", default_value_t = 0)]
    examples: usize,
    /// Clips at a time, each on one thread with a model of its own
    #[arg(long, default_value_t = 2, value_parser = RangedU64ValueParser::<usize>::new().range(1..=256))]
    threads: usize,
}

/// Of the examples that are shown.
const SEED: u64 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Lag(Option<usize>);

fn lag(text: &str) -> Result<Lag, String> {
    match text.parse() {
        _ if text == "inf" => Ok(Lag(None)),
        Ok(k @ 1..=MAX_K) => Ok(Lag(Some(k))),
        _ => Err(format!("allowed: 1 to {MAX_K}, or inf")),
    }
}

impl Lag {
    fn name(self) -> String {
        self.0.map_or("inf".to_owned(), |k| k.to_string())
    }
}

impl Evaluate {
    pub(crate) fn run(self) -> Result<()> {
        let bundle = Bundle::open(&self.bundle)?;
        let (mut examples, from) = match (&self.manifest, &self.pairs) {
            (_, Some(pairs)) => (read_pairs(pairs)?, pairs),
            (Some(manifest), None) => (read_manifest(manifest)?, manifest),
            (None, None) => bail!("no --manifest and no --pairs"),
        };
        examples.truncate(self.limit.unwrap_or(usize::MAX));
        ensure!(!examples.is_empty(), "{}: no clips", from.display());
        let clips = self.translate_all(&bundle, &examples)?;
        let mut results = Vec::new();
        for (index, &lag) in self.k.iter().enumerate() {
            let clips: Vec<Clip> = clips.iter().map(|policies| policies[index].clone()).collect();
            results.push(Scores::of(lag.0, &clips)?);
            if let Some(folder) = &self.out {
                let instances: Vec<Instance> = clips.into_iter().map(|clip| clip.instance).collect();
                write_log(folder, lag, &instances)?;
            }
        }
        write!(io::stdout(), "{}{}", table(&results), self.shown(&examples, &clips))?;
        if let Some(folder) = &self.out
            && results.iter().any(|row| row.bleu.is_some())
        {
            plot(&results, &folder.join("quality-latency.png"))?;
        }
        if let Some(path) = &self.json {
            let report = json!({
                "results": results,
                "bundle": bundle.id,
                "manifest": from.display().to_string(),
                "beam": self.beam,
                "vad_threshold": self.vad_threshold,
                "pause_ms": self.pause_ms,
                "threads": self.threads,
                "text": self.reads(),
                "direct": self.direct,
            });
            fs::write(path, format!("{report:#}\n")).with_context(|| path.display().to_string())?;
        }
        Ok(())
    }

    /// Whether text is read instead of speech heard.
    fn reads(&self) -> bool {
        self.text || self.pairs.is_some()
    }

    /// Clips that nobody has picked.
    fn shown(&self, examples: &[Example], clips: &[Vec<Clip>]) -> String {
        let count = self.examples.min(examples.len());
        let mut shown = String::new();
        for index in rand::seq::index::sample(&mut StdRng::seed_from_u64(SEED), examples.len(), count) {
            let (Example { id, english, german, .. }, policies) = (&examples[index], &clips[index]);
            shown += &format!("\n{id}\n");
            let mut line = |what: &str, text: &str| shown += &format!("  {what:<10} {text}\n");
            line("said", english);
            line("heard", policies.first().map_or("", |clip| &clip.transcript));
            line("reference", german.first().map_or("", String::as_str));
            for (lag, clip) in self.k.iter().zip(policies) {
                line(&format!("k = {}", lag.name()), &clip.instance.prediction);
            }
        }
        shown
    }
}

fn write_log(folder: &Path, lag: Lag, instances: &[Instance]) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let path = folder.join(format!("instances-k{}.log", lag.name()));
    let mut file = BufWriter::new(File::create(&path).with_context(|| path.display().to_string())?);
    write_instances(&mut file, instances)?;
    Ok(file.flush()?)
}

fn plot(results: &[Scores], path: &Path) -> Result<()> {
    let labels: Vec<String> = results.iter().map(|row| Lag(row.k).name()).collect();
    let curve = |name: &str, colour, delay: fn(&Scores) -> Option<f64>| {
        let mut shown: Vec<(f64, f64, &String)> = results
            .iter()
            .zip(&labels)
            .filter_map(|(row, label)| Some((delay(row)? / 1000.0, row.bleu?, label)))
            .collect();
        shown.sort_by(|a, b| a.0.total_cmp(&b.0));
        Curve {
            name: name.to_owned(),
            points: shown.iter().map(|point| (point.0, point.1)).collect(),
            labels: shown.iter().map(|point| point.2.clone()).collect(),
            marked: true,
            colour,
        }
    };
    let curves = [curve("source clock", 0, |row| row.laal_ms), curve("computation-aware", 1, |row| row.laal_ca_ms)];
    let axes = Axes {
        title: "Quality over latency, by k",
        x: "length-adaptive average lagging (s)",
        y: "BLEU",
        max_y: f64::INFINITY,
    };
    Ok(draw(&curves, &axes, path)?)
}
