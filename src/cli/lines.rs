//! Text to its translation, line by line.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use decalage::bundle::Bundle;
use decalage::engine::{LoadError, Recording, TorchTranslator, text_session_assets};
use decalage::policy::PolicyKind;
use decalage::session::event::Event;
use decalage::session::{SessionAssets, SessionConfig};
use tch::Device;

/// Writes to standard output, for each line of the files, its translation as a line, words as they are committed.
pub(super) fn translate_lines(bundle: &Bundle, files: &[PathBuf], policy: PolicyKind) -> Result<()> {
    let assets = Arc::new(text_session_assets(bundle).ok_or(LoadError::NoText)?);
    let translator = TorchTranslator::load_text(bundle, Device::Cpu)?;
    let config = SessionConfig { policy, ..SessionConfig::for_text() };
    files.iter().try_for_each(|file| translate_file(file, &translator, &assets, &config))
}

fn translate_file(
    file: &Path,
    translator: &TorchTranslator,
    assets: &Arc<SessionAssets>,
    config: &SessionConfig,
) -> Result<()> {
    let name = || file.display().to_string();
    let lines: Box<dyn BufRead> = match file.as_os_str() == "-" {
        true => Box::new(io::stdin().lock()),
        false => Box::new(BufReader::new(File::open(file).with_context(name)?)),
    };
    let mut out = io::stdout().lock();
    for line in lines.lines() {
        let mut recording = Recording::new(translator, assets, config.clone())?;
        let mut heed = |event, _| {
            if let Event::Committed(word) = event {
                write!(out, "{}", word.text)?;
                out.flush()?;
            }
            Ok::<_, anyhow::Error>(())
        };
        recording.push_text(&line.with_context(name)?, &mut heed)?;
        recording.finish(&mut heed)?;
        writeln!(out)?;
    }
    Ok(())
}
