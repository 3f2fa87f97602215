//! The machine-readable log of a run, one JSON object a line, and its plot.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use plotters::prelude::*;
use serde::{Deserialize, Serialize};

use super::TrainError;

/// One measurement. Losses are natural logarithms, per target token and per source label.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Updates so far.
    pub update: u64,
    /// Measured on held-out data.
    pub dev: bool,
    /// Cross-entropy per target token; training values include label smoothing.
    pub cross_entropy: Option<f64>,
    /// CTC loss per source label.
    pub ctc: Option<f64>,
    /// Learning rate.
    pub rate: f64,
    /// Gradient norm before clipping.
    pub norm: f64,
    /// Hours of audio heard so far (0 in the text stage).
    pub audio_hours: f64,
    /// Wall-clock hours spent so far.
    pub hours: f64,
}

/// The log's file, appended to.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    file: File,
}

impl Log {
    pub(crate) fn open(path: PathBuf) -> Result<Self, TrainError> {
        let file = OpenOptions::new().create(true).append(true).open(&path).map_err(TrainError::file(&path))?;
        Ok(Self { path, file })
    }

    pub(crate) fn write(&mut self, entry: &Entry) -> Result<(), TrainError> {
        let line = serde_json::to_string(entry).unwrap_or_default(); // plain numbers and booleans always serialise
        writeln!(self.file, "{line}").map_err(TrainError::file(&self.path))
    }
}

/// Draws `log.jsonl` as `curves.png` beside it: losses over updates, training thin and held-out with dots.
pub fn plot(log: &Path) -> Result<PathBuf, TrainError> {
    let file = File::open(log).map_err(TrainError::file(log))?;
    let lines = BufReader::new(file).lines().map_while(Result::ok);
    let entries: Vec<Entry> = lines.filter_map(|line| serde_json::from_str(&line).ok()).collect();
    let path = log.with_file_name("curves.png");
    draw(&entries, &path).map_err(|e| TrainError::Checkpoint { path: path.clone(), message: e.to_string() })?;
    Ok(path)
}

fn draw(entries: &[Entry], path: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let losses = || entries.iter().flat_map(|e| [e.cross_entropy, e.ctc]).flatten();
    let top = losses().fold(1.0f64, f64::max).min(8.0);
    let last = entries.iter().map(|e| e.update).max().unwrap_or(1);
    let root = BitMapBackend::new(path, (960, 540)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .margin(16)
        .x_label_area_size(32)
        .y_label_area_size(48)
        .build_cartesian_2d(0..last, 0.0..top)?;
    chart.configure_mesh().light_line_style(WHITE).draw()?;
    type Loss = fn(&Entry) -> Option<f64>;
    let curves: [(Loss, RGBColor); 2] =
        [(|e| e.cross_entropy, RGBColor(32, 96, 192)), (|e| e.ctc, RGBColor(208, 96, 32))];
    for (loss, colour) in curves {
        let of = |dev| entries.iter().filter(move |e| e.dev == dev).filter_map(move |e| Some((e.update, loss(e)?)));
        chart.draw_series(LineSeries::new(of(false), colour.mix(0.5)))?;
        chart.draw_series(LineSeries::new(of(true), colour.stroke_width(2)).point_size(3))?;
    }
    root.present()?;
    Ok(())
}
