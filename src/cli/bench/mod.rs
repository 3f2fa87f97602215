//! `decalage bench`: how many speakers a server serves as well as one.

mod table;

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use clap::Args;
use clap::builder::RangedU64ValueParser;
use decalage::audio::SAMPLE_RATE_HZ;
use decalage::client::ClientOptions;
use decalage::client::load::{Load, Record, Report, Search, Server, Trial, Usage, playlist};
use decalage::train::read_manifest;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use super::open_audio;
use super::remote::Remote;
use table::{HEADING, row, table};

/// Clients begin within this time: their pauses should not fall together.
const STAGGER: Duration = Duration::from_secs(8);
const TICK: Duration = Duration::from_millis(200);

/// Load a server with paced clients that speak, and judge it by a client alone
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// Clients at once; with --find, the number to begin with
    #[arg(long, default_value_t = 8, value_parser = RangedU64ValueParser::<usize>::new().range(1..=Search::MAX_SESSIONS as u64))]
    sessions: usize,
    /// How long each speaks; in less than two minutes the slope of the lag is mostly noise
    #[arg(long, default_value_t = 2.0, value_parser = parse_minutes)]
    minutes: f64,
    /// Model of the server that is started for this
    #[arg(long, value_name = "DIR", default_value = "models/en-de-small", conflicts_with = "url")]
    bundle: PathBuf,
    /// A server that runs already, whose CPU and memory are not measured: ws, wss, http or https
    #[arg(long)]
    url: Option<String>,
    #[command(flatten)]
    remote: Remote,
    /// Clips to speak, one after the other with pauses (as for `train`) [default: the bundle's sample]
    #[arg(long, value_name = "TSV")]
    manifest: Option<PathBuf>,
    /// Also write the report there
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Search for the largest number of clients that are served as well as one
    #[arg(long)]
    find: bool,
}

/// A server and what it does for a client alone.
struct Bed {
    load: Load,
    alone: Record,
    /// What the server needed before any load, but after the first client.
    before: Option<Usage>,
}

impl Bench {
    pub(crate) fn run(self) -> Result<()> {
        let playlist = self.playlist()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        // Interrupted or not, the server ends with this future.
        runtime.block_on(async {
            let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
            tokio::select! {
                done = self.bench(playlist) => done,
                _ = terminate.recv() => bail!("terminated"),
                _ = interrupt.recv() => bail!("interrupted"),
            }
        })
    }

    async fn bench(&self, playlist: Bytes) -> Result<()> {
        let mut server = None;
        if self.url.is_none() {
            eprintln!("starting a server with {}", self.bundle.display());
            server = Some(Server::start(&std::env::current_exe()?, &self.bundle).await?);
        }
        let tried = self.trials(playlist, server.as_ref()).await;
        match server.and_then(|mut server| server.ended()) {
            Some(ended) => Err(ended.into()),
            None => tried,
        }
    }

    async fn trials(&self, playlist: Bytes, server: Option<&Server>) -> Result<()> {
        let options = Arc::new(self.options(server)?);
        let load = Load { options, playlist, stagger: STAGGER, server_pid: server.map(|server| server.pid) };
        let mut trial = watched(&load, 1, load.run(1)).await;
        let alone = trial.records.pop().context("no client ran")?;
        let alone = alone.map_err(anyhow::Error::msg).context("a client alone failed")?;
        ensure!(!alone.text.trim().is_empty(), "a client alone got no text: there is nothing to compare with");
        let before = load.server_pid.and_then(Usage::read);
        let bed = Bed { load, alone, before };

        if !self.find {
            let report = bed.try_with(self.sessions).await;
            write!(io::stdout(), "{}", table(&report))?;
            return self.write_json(serde_json::to_value(&report)?);
        }
        let (mut search, mut reports) = (Search::new(self.sessions), Vec::<Report>::new());
        writeln!(io::stdout(), "{HEADING}")?;
        while let Some(sessions) = search.next() {
            let report = bed.try_with(sessions).await;
            writeln!(io::stdout(), "{}", row(&report))?;
            search.judge(sessions, report.honest);
            reports.push(report);
        }
        let honest = search.honest();
        writeln!(io::stdout(), "honest streams: {honest}")?;
        let best = reports.iter().find(|report| report.sessions == honest && report.honest);
        let mut object = serde_json::to_value(best.or(reports.last()))?;
        object["honest_sessions"] = honest.into();
        object["trials"] = reports.iter().map(summary).collect();
        self.write_json(object)
    }

    fn options(&self, server: Option<&Server>) -> Result<ClientOptions> {
        let Some(server) = server else {
            return Ok(self.remote.options(self.url.as_deref().unwrap_or_default()));
        };
        // A model is named after its folder.
        let folder = self.bundle.canonicalize()?;
        let model = folder.file_name().context("the bundle's folder has no name")?.to_string_lossy().into_owned();
        Ok(ClientOptions { model, ..self.remote.options(&server.url) })
    }

    /// What each client says.
    fn playlist(&self) -> Result<Bytes> {
        let duration = Duration::from_secs_f64(self.minutes * 60.0);
        let files = match &self.manifest {
            Some(manifest) => read_manifest(manifest)?.into_iter().filter_map(|example| example.audio).collect(),
            None => vec![self.bundle.join("sample.opus")],
        };
        let (mut clips, mut num_samples) = (Vec::new(), 0);
        for file in files {
            let clip = open_audio(&file).and_then(|reader| reader.read_all());
            let clip = clip.with_context(|| file.display().to_string())?;
            num_samples += clip.len();
            clips.push(clip);
            if num_samples as f64 >= duration.as_secs_f64() * f64::from(SAMPLE_RATE_HZ) {
                break;
            }
        }
        playlist(&clips, duration).context("the clips hold no sound")
    }

    fn write_json(&self, report: Value) -> Result<()> {
        let Some(path) = &self.json else { return Ok(()) };
        let write = |path: &Path| writeln!(File::create(path)?, "{report:#}");
        write(path).with_context(|| path.display().to_string())
    }
}

impl Bed {
    async fn try_with(&self, sessions: usize) -> Report {
        let trial = watched(&self.load, sessions, self.load.run(sessions)).await;
        Report::new(&self.alone, &trial, self.before)
    }
}

/// Shows how long a trial still takes.
async fn watched(load: &Load, sessions: usize, trial: impl Future<Output = Trial>) -> Trial {
    let bar = ProgressBar::new(load.duration(sessions).as_secs());
    if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} s") {
        bar.set_style(style);
    }
    bar.set_message(if sessions == 1 { "1 client".to_owned() } else { format!("{sessions} clients") });
    let began = Instant::now();
    let mut ticks = tokio::time::interval(TICK);
    let mut trial = std::pin::pin!(trial);
    loop {
        tokio::select! {
            done = &mut trial => {
                bar.finish_and_clear();
                return done;
            }
            _ = ticks.tick() => bar.set_position(began.elapsed().as_secs()),
        }
    }
}

/// One trial of a search in its JSON.
fn summary(report: &Report) -> Value {
    json!({
        "sessions": report.sessions,
        "honest": report.honest,
        "faults": report.faults,
        "p99_commit_lag_ms": report.p99_commit_lag_ms,
        "p99_lag_increase_ms": report.p99_lag_increase_ms,
        "lag_slope_ms_per_min": report.lag_slope_ms_per_min,
        "cpu_cores_used": report.cpu_cores_used,
        "rss_per_session_bytes": report.rss_per_session_bytes,
    })
}

fn parse_minutes(text: &str) -> Result<f64, String> {
    // Less is hardly longer than the time in which clients begin; more would fill the memory with audio.
    let allowed = 0.25..=240.0;
    let minutes = text.parse().ok().filter(|minutes| allowed.contains(minutes));
    minutes.ok_or_else(|| format!("allowed is {} to {}", allowed.start(), allowed.end()))
}
