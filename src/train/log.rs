//! The machine-readable log of a run, one JSON object a line, and its plot.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::TrainError;
use crate::plot::{Axes, Curve, draw};

/// Losses of the first updates go beyond the plot.
const MAX_LOSS: f64 = 8.0;

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
    /// Goes on behind `update`. What was measured after it belongs to updates that no checkpoint has.
    pub(crate) fn open(path: PathBuf, update: u64) -> Result<Self, TrainError> {
        let mut kept = entries(&path)?;
        kept.retain(|entry| entry.update <= update);
        let partial = path.with_extension("tmp");
        let mut log = Self { file: File::create(&partial).map_err(TrainError::file(&partial))?, path: partial };
        kept.iter().try_for_each(|entry| log.write(entry))?;
        fs::rename(&log.path, &path).map_err(TrainError::file(&path))?;
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
    let entries = entries(log)?;
    let path = log.with_file_name("curves.png");
    let axes = Axes { title: "Loss", x: "updates", y: "loss (nats per token or label)", max_y: MAX_LOSS };
    draw(&curves(&entries), &axes, &path)
        .map_err(|e| TrainError::Plot { path: path.clone(), message: e.to_string() })?;
    Ok(path)
}

/// None if there is no file; the torn last line of a killed run is left out.
fn entries(log: &Path) -> Result<Vec<Entry>, TrainError> {
    let text = match fs::read_to_string(log) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(TrainError::file(log)(error)),
    };
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let entry = |(index, line)| serde_json::from_str(line).map_err(|e| TrainError::row(log, index + 1, e.to_string()));
    whole.lines().enumerate().map(entry).collect()
}

fn curves(entries: &[Entry]) -> Vec<Curve> {
    type Loss = fn(&Entry) -> Option<f64>;
    let losses: [(&str, Loss); 2] = [("cross-entropy", |e| e.cross_entropy), ("CTC", |e| e.ctc)];
    let mut curves = Vec::new();
    for (colour, (loss, value)) in losses.into_iter().enumerate() {
        for (dev, set) in [(false, "training"), (true, "held out")] {
            let chosen = entries.iter().filter(|e| e.dev == dev);
            let points: Vec<_> = chosen.filter_map(|e| Some((e.update as f64, value(e)?.min(MAX_LOSS)))).collect();
            if !points.is_empty() {
                curves.push(Curve { name: format!("{loss}, {set}"), points, marked: dev, colour, ..Curve::default() });
            }
        }
    }
    curves
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_are_drawn_beside_the_log() {
        let folder = std::env::temp_dir().join(format!("decalage-log-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("log.jsonl");
        let mut log = Log::open(path.clone(), 0).unwrap();
        for update in 0..20 {
            let loss = Some(9.0 - update as f64 / 4.0);
            let (dev, ctc) = (update % 5 == 0, loss.filter(|_| update > 10));
            let entry =
                Entry { update, dev, cross_entropy: loss, ctc, rate: 1e-3, norm: 1.0, audio_hours: 0.0, hours: 0.0 };
            log.write(&entry).unwrap();
        }
        let image = plot(&path).unwrap();
        assert_eq!(image, folder.join("curves.png"));
        assert_eq!(&std::fs::read(&image).unwrap()[1..4], b"PNG");
        let names = |entries: &[Entry]| curves(entries).into_iter().map(|curve| curve.name).collect::<Vec<_>>();
        let entries = entries(&path).unwrap();
        let all = ["cross-entropy, training", "cross-entropy, held out", "CTC, training", "CTC, held out"];
        assert_eq!(names(&entries), all);
        assert_eq!(names(&entries[..10]), all[..2], "what was not measured has no curve");
        fs::write(&path, fs::read_to_string(&path).unwrap() + "{\"update\": 20, ").unwrap();
        Log::open(path.clone(), 12).unwrap().write(&Entry { update: 15, ..entries[13].clone() }).unwrap();
        let updates: Vec<u64> = super::entries(&path).unwrap().iter().map(|entry| entry.update).collect();
        assert_eq!(updates, (0..=12).chain([15]).collect::<Vec<_>>(), "a run that goes on behind update 12");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
