//! `decalage translate`: audio files, or standard input, to text.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use clap::builder::RangedU64ValueParser;
use clap::error::ErrorKind;
use decalage::bundle::Bundle;
use decalage::engine::{Cascade, Recording, TorchTranslator, session_assets};
use decalage::policy::{DEFAULT_BEAM_SIZE, MAX_BEAM_SIZE, MAX_K, PolicyKind};
use decalage::session::{SessionAssets, SessionConfig};
use indicatif::{ProgressBar, ProgressStyle};
use tch::Device;

use super::lines::translate_lines;
use super::open_audio;
use super::output::{Format, Output};

/// Shorter recordings need no progress bar.
const LONG_MS: u64 = 30_000;

/// Translate recordings: whole utterances with beam search, or as a stream whose words appear while it is heard
#[derive(Debug, Args)]
pub(crate) struct Translate {
    /// wav, flac, mp3, ogg, webm, m4a or aac, or with --text UTF-8; `-` is standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Folder of the model
    #[arg(long, value_name = "DIR", default_value = "models/en-de-small")]
    bundle: PathBuf,
    /// Translate while listening (wait-k) instead of after each utterance
    #[arg(long)]
    stream: bool,
    /// Lag of --stream, in words, or with --direct in segments of 320 ms
    #[arg(long, default_value_t = 3, requires = "stream", value_parser = RangedU64ValueParser::<usize>::new().range(1..=MAX_K as u64))]
    k: usize,
    /// Hypotheses of the beam search without --stream
    #[arg(long, default_value_t = DEFAULT_BEAM_SIZE, conflicts_with = "stream", value_parser = RangedU64ValueParser::<usize>::new().range(1..=MAX_BEAM_SIZE as u64))]
    beam: usize,
    /// Hear the audio at the speed it was spoken
    #[arg(long)]
    realtime: bool,
    /// What to write
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Write into this folder instead, for each recording a file of its name
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Translate the speech itself, not its transcript
    #[arg(long, conflicts_with = "text")]
    direct: bool,
    /// Also write what was heard
    #[arg(long)]
    transcript: bool,
    /// The files are text: translate line by line. --k counts words then
    #[arg(long, conflicts_with_all = ["realtime", "format", "out", "transcript"])]
    text: bool,
}

impl Translate {
    pub(crate) fn run(self) -> Result<()> {
        if let Err(wrong) = self.check_outputs() {
            clap::Error::raw(ErrorKind::ArgumentConflict, format!("{wrong}\n")).exit();
        }
        if let Some(folder) = &self.out {
            fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        let bundle = Bundle::open(&self.bundle)?;
        if self.text {
            return translate_lines(&bundle, &self.files, self.policy());
        }
        let translator = Cascade::load(&bundle, Device::Cpu)?;
        let assets = Arc::new(session_assets(&bundle));
        let many = self.files.len() > 1;
        let mut failures = Vec::new();
        for file in &self.files {
            if many && self.format == Format::Text && self.out.is_none() {
                writeln!(io::stdout(), "==> {} <==", file.display())?;
            }
            if let Err(error) = self.translate(file, &translator, &assets, &bundle.id) {
                let error = error.context(file.display().to_string());
                if many {
                    eprintln!("error: {error:#}");
                }
                failures.push(error);
            }
        }
        let count = failures.len();
        match failures.into_iter().next() {
            None => Ok(()),
            Some(first) if many => Err(first.context(format!("{count} of {} files failed", self.files.len()))),
            Some(only) => Err(only),
        }
    }

    fn policy(&self) -> PolicyKind {
        match self.stream {
            true => PolicyKind::WaitK { k: self.k },
            false => PolicyKind::Offline { beam_size: self.beam },
        }
    }

    /// Before anything is translated: no translation may spoil another one.
    fn check_outputs(&self) -> Result<(), String> {
        let is_whole_file = matches!(self.format, Format::Srt | Format::Vtt);
        if self.out.is_none() && is_whole_file && self.files.len() > 1 {
            return Err("subtitles of several files are several files: name a folder with --out".to_owned());
        }
        let mut paths = BTreeSet::new();
        match self.files.iter().filter_map(|file| self.path(file)).find(|path| !paths.insert(path.clone())) {
            None => Ok(()),
            Some(path) => Err(format!("two recordings would be written to {}, rename one", path.display())),
        }
    }

    /// Where a recording's translation goes, if not to standard output.
    fn path(&self, file: &Path) -> Option<PathBuf> {
        let stem = if file.as_os_str() == "-" { "stdin".as_ref() } else { file.file_stem().unwrap_or_default() };
        let mut name = OsString::from(stem);
        name.push(match self.format {
            Format::Text => ".txt",
            Format::Json => ".json",
            Format::Srt => ".srt",
            Format::Vtt => ".vtt",
        });
        Some(self.out.as_ref()?.join(name))
    }

    fn translate(
        &self,
        file: &Path,
        translator: &Cascade<TorchTranslator>,
        assets: &Arc<SessionAssets>,
        bundle: &str,
    ) -> Result<()> {
        let policy = self.policy();
        let reader = open_audio(file)?;
        let bar = self.bar(reader.duration_ms());
        let config = SessionConfig { policy, cascade: !self.direct, ..SessionConfig::default() };
        let mut recording = Recording::new(translator, assets, config)?;
        let to: Box<dyn Write> = match self.path(file) {
            Some(path) => Box::new(BufWriter::new(File::create(&path).with_context(|| path.display().to_string())?)),
            None => Box::new(io::stdout().lock()),
        };
        let mut output = Output::new(to, self.format, self.transcript);
        let began = Instant::now();
        let mut fault = None;
        for samples in reader {
            match samples {
                Ok(samples) => {
                    if self.realtime {
                        let end_ms = recording.accepted_ms() + samples.len() as u64 * 1000 / 16_000;
                        thread::sleep(Duration::from_millis(end_ms).saturating_sub(began.elapsed()));
                    }
                    recording.push(&samples, |event, _| output.heed(event).map_err(anyhow::Error::from))?;
                    bar.set_position(recording.accepted_ms() / 1000);
                }
                Err(error) => fault = Some(error),
            }
        }
        recording.finish(|event, _| output.heed(event).map_err(anyhow::Error::from))?;
        bar.finish_and_clear();
        output.finish(file, bundle, recording.accepted_ms(), recording.compute())?;
        fault.map_or(Ok(()), |fault| Err(fault).context("translated up to the fault"))
    }

    /// Seconds heard, on a terminal that the translation does not go to.
    fn bar(&self, duration_ms: Option<u64>) -> ProgressBar {
        let words_go_there = self.format == Format::Text && self.out.is_none() && io::stdout().is_terminal();
        if !io::stderr().is_terminal() || words_go_there || duration_ms.is_some_and(|ms| ms < LONG_MS) {
            return ProgressBar::hidden();
        }
        let bar = duration_ms.map_or_else(ProgressBar::no_length, |ms| ProgressBar::new(ms / 1000));
        let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} s of audio, {eta} left");
        if let Ok(style) = style { bar.with_style(style) } else { bar }
    }
}
