//! `decalage info`: what a bundle is and what it costs.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use decalage::bundle::Bundle;
use decalage::engine::TorchTranslator;
use decalage::model::{Macs, TextMacs, language_model_macs, macs, part_of, read_weights, text_macs};
use decalage::policy::PolicyKind;
use decalage::session::translator::{EncodeJob, SourceInput, Translator};
use serde::Serialize;
use tch::Device;

/// What attention that remembers looks back on, for the MACs: ten seconds of speech and their translation.
const MEMORY_SECONDS: usize = 10;
const MEMORY_TOKENS: usize = 50;

/// Show a bundle's size, cost and languages
#[derive(Debug, Args)]
pub(crate) struct Info {
    /// Folder of the model
    #[arg(value_name = "BUNDLE", default_value = "models/en-de-small")]
    bundle: PathBuf,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Facts {
    id: String,
    source_language: String,
    target_language: String,
    source_vocab: usize,
    target_vocab: usize,
    parameters: usize,
    parameters_by_part: BTreeMap<String, usize>,
    /// Of the part that reads, if there is one.
    text_parameters: Option<usize>,
    text_macs: Option<TextMacs>,
    file_bytes: BTreeMap<String, u64>,
    macs: Macs,
    language_model_macs_per_token: usize,
    segment_ms: u32,
    max_utterance_ms: u32,
    /// At the beginning of an utterance, after ten seconds of it, and when it is as long as it may be.
    state_bytes: [usize; 3],
    /// The largest of a live utterance at wait-3.
    live_state_bytes: usize,
    /// Of the part that reads: when a sentence begins, and after [`MEMORY_TOKENS`] pieces of it.
    text_state_bytes: Option<[usize; 2]>,
    attention: BTreeMap<&'static str, String>,
}

impl Info {
    pub(crate) fn run(self) -> Result<()> {
        let facts = self.facts()?;
        let mut out = io::stdout().lock();
        if self.json {
            serde_json::to_writer_pretty(&mut out, &facts)?;
            writeln!(out)?;
        } else {
            write!(out, "{}", facts.text())?;
        }
        Ok(())
    }

    fn facts(&self) -> Result<Facts> {
        let bundle = Bundle::open(&self.bundle)?;
        let config = &bundle.assets.config;
        let model = &config.model;
        let mut by_part = BTreeMap::new();
        for (name, tensor) in read_weights(&bundle.weights)? {
            *by_part.entry(part_of(&name)).or_insert(0) += tensor.numel();
        }
        let text = bundle.text.as_ref().map(|text| read_weights(&text.weights)).transpose()?;
        let text_parameters = text.map(|weights| weights.iter().map(|(_, tensor)| tensor.numel()).sum());
        let mut file_bytes = BTreeMap::new();
        for entry in fs::read_dir(&self.bundle)? {
            let entry = entry?;
            file_bytes.insert(entry.file_name().to_string_lossy().into_owned(), entry.metadata()?.len());
        }
        let translator = TorchTranslator::load(&bundle, Device::Cpu)?;
        let reader = bundle.text.as_ref().map(|_| TorchTranslator::load_text(&bundle, Device::Cpu)).transpose()?;
        let reader_state_bytes =
            |reader| anyhow::Ok([text_state_bytes(&reader, 0)?, text_state_bytes(&reader, MEMORY_TOKENS)?]);
        let spec = translator.spec();
        let frames_per_second = 1000 / spec.frame_shift_ms as usize;
        let memory_steps = MEMORY_SECONDS * frames_per_second / spec.frames_per_step;
        let max_frames = spec.max_utterance_segments * spec.frames_per_segment();
        let attention = [
            ("encoder_self", model.encoder_self),
            ("decoder_self", model.decoder_self),
            ("decoder_cross", model.decoder_cross),
        ];
        Ok(Facts {
            source_language: config.source_language.clone(),
            target_language: config.target_language.clone(),
            source_vocab: model.source_vocab,
            target_vocab: model.target_vocab,
            parameters: by_part.values().sum(),
            parameters_by_part: by_part,
            text_macs: text_parameters.map(|_| text_macs(model)),
            text_parameters,
            file_bytes,
            macs: macs(model, frames_per_second, memory_steps, MEMORY_TOKENS),
            language_model_macs_per_token: language_model_macs(model),
            segment_ms: spec.segment_ms(),
            max_utterance_ms: max_frames as u32 * spec.frame_shift_ms,
            state_bytes: [
                state_bytes(&translator, 0, None)?,
                state_bytes(&translator, MEMORY_SECONDS * frames_per_second, None)?,
                state_bytes(&translator, max_frames, None)?,
            ],
            live_state_bytes: state_bytes(&translator, max_frames, spec.reach_steps(PolicyKind::WaitK { k: 3 }))?,
            text_state_bytes: reader.map(reader_state_bytes).transpose()?,
            attention: attention.map(|(block, kind)| (block, format!("{kind:?}").to_lowercase())).into(),
            id: bundle.id,
        })
    }
}

/// Size of an utterance's state after so many frames of silence, of which `reach_steps` stay in sight.
fn state_bytes(translator: &TorchTranslator, num_frames: usize, reach_steps: Option<usize>) -> Result<usize> {
    let spec = translator.spec();
    let silence = vec![0.0; num_frames * spec.num_mel_bins];
    let segments = silence.chunks(spec.frames_per_segment() * spec.num_mel_bins);
    state_bytes_after(translator, segments.map(|frames| SourceInput::Frames(frames.to_vec())), reach_steps)
}

/// Size of a sentence's state after so many pieces.
fn text_state_bytes(translator: &TorchTranslator, num_pieces: usize) -> Result<usize> {
    state_bytes_after(translator, (0..num_pieces).map(|_| SourceInput::Pieces(vec![0])), None)
}

fn state_bytes_after(
    translator: &TorchTranslator,
    sources: impl Iterator<Item = SourceInput>,
    reach_steps: Option<usize>,
) -> Result<usize> {
    let mut state = translator.init();
    for source in sources {
        let job = EncodeJob { state: Some(state), source, reach_steps };
        state = translator.encode(vec![job]).pop().context("no answer")??.state;
    }
    Ok(state.num_bytes())
}

impl Facts {
    fn text(&self) -> String {
        let millions = |count: usize| format!("{:.2} M", count as f64 / 1e6);
        let kib = |bytes: usize| format!("{:.0} KiB", bytes as f64 / 1024.0);
        let mut lines = vec![
            format!("bundle {}: {} to {}", self.id, self.source_language, self.target_language),
            format!("vocabularies      {} source labels, {} target pieces", self.source_vocab, self.target_vocab),
            format!("segment           {} ms, utterances up to {} ms", self.segment_ms, self.max_utterance_ms),
        ];
        lines.extend(self.attention.iter().map(|(block, kind)| format!("{block:<17} {kind}")));
        lines.push(format!(
            "MACs              {} per second of audio, {} per token, {} as a language model",
            millions(self.macs.per_audio_second),
            millions(self.macs.per_token),
            millions(self.language_model_macs_per_token)
        ));
        let [fresh, later, last] = self.state_bytes.map(kib);
        let live = kib(self.live_state_bytes);
        lines.push(format!(
            "state             {fresh} fresh, {later} after {MEMORY_SECONDS} s, {last} at the limit; live at wait-3 {live} at most"
        ));
        lines.push(format!("parameters        {}", millions(self.parameters)));
        lines.extend(self.parameters_by_part.iter().map(|(part, count)| format!("  {part:<26} {count:>10}")));
        if let (Some(count), Some(macs)) = (self.text_parameters, self.text_macs) {
            lines.push(format!("to read text      {} parameters more", millions(count)));
            lines.push(format!(
                "MACs of text      {} per piece read, {} per token, {} per 30 of each without the vocabulary",
                millions(macs.per_piece),
                millions(macs.per_token),
                millions(macs.per_sentence_of_30)
            ));
        }
        if let Some([fresh, later]) = self.text_state_bytes.map(|bytes| bytes.map(kib)) {
            lines.push(format!("state of text     {fresh} fresh, {later} after {MEMORY_TOKENS} pieces"));
        }
        lines.push("files, bytes".to_owned());
        lines.extend(self.file_bytes.iter().map(|(name, bytes)| format!("  {name:<26} {bytes:>10}")));
        lines.join("\n") + "\n"
    }
}
