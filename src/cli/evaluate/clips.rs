//! Clips of a manifest through sessions, several at a time.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use decalage::bundle::Bundle;
use decalage::engine::{Cascade, LoadError, Recording, TorchTranslator, session_assets, text_session_assets};
use decalage::eval::{Clip, Instance};
use decalage::policy::PolicyKind;
use decalage::session::cutter::CutterConfig;
use decalage::session::event::Event;
use decalage::session::{SessionAssets, SessionConfig, SessionError};
use decalage::text::normalize_source;
use decalage::train::Example;
use indicatif::{ProgressBar, ProgressStyle};
use tch::Device;

use super::{Evaluate, Lag};
use crate::cli::open_audio;

/// Samples of 320 ms: what is heard at a time. What comes out does not depend on it.
const PIECE_SAMPLES: usize = 5120;

impl Evaluate {
    /// For each clip, in order, what each policy made of it.
    pub(super) fn translate_all(&self, bundle: &Bundle, examples: &[Example]) -> Result<Vec<Vec<Clip>>> {
        let bar = ProgressBar::new(examples.len() as u64);
        if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} clips, {eta} left") {
            bar.set_style(style);
        }
        let next = AtomicUsize::new(0);
        let (send, receive) = mpsc::channel();
        let work = || -> Result<()> {
            tch::set_num_threads(1);
            let model = Model::load(bundle, self.reads())?;
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(example) = examples.get(index) else { return Ok(()) };
                let clips = self.translate(index, example, &model);
                // Whoever fails stops the others.
                let clips = clips.with_context(|| format!("clip {}", example.id)).inspect_err(|_| {
                    next.store(examples.len(), Ordering::Relaxed);
                })?;
                bar.inc(1);
                let _ = send.send((index, clips)); // the receiver outlives the threads
            }
        };
        thread::scope(|scope| {
            let threads: Vec<_> = (0..self.threads.min(examples.len())).map(|_| scope.spawn(work)).collect();
            let join = |thread: thread::ScopedJoinHandle<'_, Result<()>>| {
                thread.join().unwrap_or_else(|_| Err(anyhow!("an evaluating thread panicked")))
            };
            threads.into_iter().map(join).fold(Ok(()), Result::and)
        })?;
        bar.finish_and_clear();
        drop(send);
        let mut all: Vec<(usize, Vec<Clip>)> = receive.into_iter().collect();
        all.sort_by_key(|(index, _)| *index);
        Ok(all.into_iter().map(|(_, clips)| clips).collect())
    }

    fn translate(&self, index: usize, example: &Example, model: &Model) -> Result<Vec<Clip>> {
        let input = match (&example.audio, self.reads()) {
            (_, true) => Input::Text(&example.english),
            (Some(path), false) => {
                let samples = open_audio(path).and_then(|reader| reader.read_all());
                Input::Speech(path, samples.with_context(|| path.display().to_string())?)
            }
            (None, false) => bail!("the row has no audio"),
        };
        let policy = |lag: &Lag| match lag.0 {
            Some(k) => PolicyKind::WaitK { k },
            None => PolicyKind::Offline { beam_size: self.beam },
        };
        let clip = |lag| {
            let utterances = CutterConfig { pause_ms: self.pause_ms, ..CutterConfig::default() };
            let usual = if self.reads() { SessionConfig::for_text() } else { SessionConfig::default() };
            let (policy, vad_threshold, cascade) = (policy(lag), self.vad_threshold, !self.direct);
            let recording = model.begin(SessionConfig { policy, vad_threshold, utterances, cascade, ..usual })?;
            translate_clip(index, example, &input, recording)
        };
        self.k.iter().map(clip).collect()
    }
}

/// A bundle, loaded.
struct Model {
    translator: Cascade<TorchTranslator>,
    assets: Arc<SessionAssets>,
}

impl Model {
    fn load(bundle: &Bundle, reads: bool) -> Result<Self> {
        let assets = if reads { text_session_assets(bundle).ok_or(LoadError::NoText)? } else { session_assets(bundle) };
        Ok(Self { translator: Cascade::load(bundle, Device::Cpu)?, assets: Arc::new(assets) })
    }

    fn begin(&self, config: SessionConfig) -> Result<Recording<'_, Cascade<TorchTranslator>>, SessionError> {
        Recording::new(&self.translator, &self.assets, config)
    }
}

/// What is translated.
enum Input<'a> {
    Speech(&'a Path, Vec<f32>),
    Text(&'a str),
}

/// One clip under one policy, heard a segment at a time.
fn translate_clip(
    index: usize,
    example: &Example,
    input: &Input<'_>,
    mut recording: Recording<'_, Cascade<TorchTranslator>>,
) -> Result<Clip> {
    let (mut words, mut delays_ms, mut elapsed_ms, mut transcript) =
        (Vec::new(), Vec::new(), Vec::new(), String::new());
    let mut heed = |event: Event, compute: Duration| {
        match event {
            Event::Committed(word) => {
                words.push(word.text.trim().to_owned());
                delays_ms.push(word.source_ms as f64);
                elapsed_ms.push(word.source_ms as f64 + compute.as_secs_f64() * 1000.0);
            }
            Event::Transcript(heard) => transcript.push_str(&heard.text),
            _ => {}
        }
        Ok::<_, anyhow::Error>(())
    };
    let source = match input {
        Input::Speech(path, samples) => {
            for piece in samples.chunks(PIECE_SAMPLES) {
                recording.push(piece, &mut heed)?;
            }
            path.display().to_string()
        }
        Input::Text(text) => {
            for word in text.split_inclusive(' ') {
                recording.push_text(word, &mut heed)?;
            }
            (*text).to_owned()
        }
    };
    recording.finish(&mut heed)?;
    let transcript_wanted = matches!(input, Input::Speech(..));
    Ok(Clip {
        instance: Instance {
            index,
            prediction: words.join(" "),
            delays_ms,
            elapsed_ms,
            prediction_length: words.len(),
            reference: example.german.first().cloned().unwrap_or_default(),
            source: source.into(),
            // Whole milliseconds, as the words' times are: a word that waited for the last sample came at the end, not
            // before it.
            source_ms: recording.accepted_ms() as f64,
        },
        references: example.german.clone(),
        transcript: normalize_source(&transcript),
        // What is read is not misheard.
        source: if transcript_wanted { normalize_source(&example.english) } else { String::new() },
        compute: recording.compute(),
    })
}
