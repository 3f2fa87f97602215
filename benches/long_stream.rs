//! Does a stream get slower, or its memory larger, the longer it lasts? Ten minutes through one session, minute by minute.
//!
//! usage: cargo bench --bench long_stream [-- BUNDLE CLIP]
#![allow(clippy::print_stdout)] // a program that prints a table

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use decalage::audio::{AudioReader, Limits, SAMPLE_RATE_HZ};
use decalage::bundle::Bundle;
use decalage::engine::{TorchTranslator, session_assets};
use decalage::policy::PolicyKind;
use decalage::session::{Session, SessionConfig, drive};

const MINUTES: usize = 10;
/// What one push delivers.
const CHUNK: usize = SAMPLE_RATE_HZ as usize / 10;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    tch::set_num_threads(1);
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let argument = |index: usize, default: &str| arguments.get(index).cloned().unwrap_or(default.to_owned());
    let bundle = Bundle::open(Path::new(&argument(0, "models/en-de-small")))?;
    let clip = AudioReader::open(File::open(argument(1, "models/en-de-small/sample.opus"))?, &Limits::default())?;
    let mut loop_ = clip.read_all()?;
    loop_.extend(vec![0.0; SAMPLE_RATE_HZ as usize]); // a pause after each round
    let mut audio = loop_.iter().copied().cycle();

    let translator = TorchTranslator::load(&bundle, tch::Device::Cpu)?;
    let config = SessionConfig { policy: PolicyKind::WaitK { k: 3 }, ..SessionConfig::default() };
    let mut session = Session::new(config, Arc::new(session_assets(&bundle.assets)))?;
    println!("minute   ms per s of audio   words   resident MiB");
    let mut cost = Vec::new();
    for minute in 1..=MINUTES {
        let (mut seconds, mut words) = (0.0, 0);
        for _ in 0..60 * SAMPLE_RATE_HZ as usize / CHUNK {
            let chunk: Vec<f32> = audio.by_ref().take(CHUNK).collect();
            let started = Instant::now();
            session.accept_waveform(&chunk)?;
            drive(&mut session, &translator)?;
            seconds += started.elapsed().as_secs_f64();
            while let Some(event) = session.poll_event() {
                words += usize::from(matches!(event, decalage::session::event::Event::Committed(_)));
            }
        }
        println!("{minute:6} {:19.2} {words:7} {:14.0}", seconds / 60.0 * 1000.0, resident_mib());
        cost.push(seconds);
    }
    let rtf = cost.iter().sum::<f64>() / (60.0 * MINUTES as f64);
    println!("last minute / first: {:.3}   real-time factor: {rtf:.4}", cost[MINUTES - 1] / cost[0]);
    Ok(())
}

/// Resident memory as Linux counts it; 0 elsewhere.
fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}
