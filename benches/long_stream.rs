//! Does a stream get slower, or its memory larger, the longer it lasts? Ten minutes through one session, minute by minute.
//!
//! The cost of a segment is CPU time of this thread, the mean over its minute: what else the machine does hardly counts.
//!
//! usage: cargo bench --bench long_stream [-- BUNDLE CLIP]
#![allow(clippy::print_stdout)] // a program that prints a table

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use decalage::audio::{AudioReader, Limits, SAMPLE_RATE_HZ};
use decalage::bundle::Bundle;
use decalage::engine::{Cascade, session_assets};
use decalage::policy::PolicyKind;
use decalage::session::{Request, Session, SessionConfig};

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

    let translator = Cascade::load(&bundle, tch::Device::Cpu)?;
    let config = SessionConfig { policy: PolicyKind::WaitK { k: 3 }, ..SessionConfig::default() };
    let mut session = Session::new(config, Arc::new(session_assets(&bundle)))?;
    println!("minute   CPU ms per s of audio   CPU ms per segment   words   resident MiB");
    let (mut seconds, mut segment_ms) = (Vec::new(), Vec::new());
    for minute in 1..=MINUTES {
        let (began_ms, mut segments_ms, mut num_segments, mut words) = (cpu_ms()?, 0.0, 0, 0);
        for _ in 0..60 * SAMPLE_RATE_HZ as usize / CHUNK {
            let chunk: Vec<f32> = audio.by_ref().take(CHUNK).collect();
            session.accept_waveform(&chunk)?;
            while let Some(request) = session.next_request()? {
                let (is_segment, asked_ms) = (matches!(request, Request::Encode(_)), cpu_ms()?);
                session.answer(request.serve(&translator))?;
                if is_segment {
                    segments_ms += cpu_ms()? - asked_ms;
                    num_segments += 1;
                }
            }
            while let Some(event) = session.poll_event() {
                words += usize::from(matches!(event, decalage::session::event::Event::Committed(_)));
            }
        }
        seconds.push((cpu_ms()? - began_ms) / 1000.0);
        segment_ms.push(segments_ms / f64::from(num_segments.max(1)));
        let (cost, segment) = (seconds[minute - 1] / 60.0 * 1000.0, segment_ms[minute - 1]);
        println!("{minute:6} {cost:23.2} {segment:20.2} {words:7} {:14.0}", resident_mib());
    }
    let rtf = seconds.iter().sum::<f64>() / (60.0 * MINUTES as f64);
    println!("a segment of the last minute / of the first: {:.3}", segment_ms[MINUTES - 1] / segment_ms[0]);
    println!("real-time factor, in CPU time: {rtf:.4}");
    Ok(())
}

/// CPU time of this thread, as Linux counts it: on some machines in steps of 4 ms, which means even out.
fn cpu_ms() -> Result<f64, Box<dyn std::error::Error>> {
    let times = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds = times.split_whitespace().next().ok_or("an empty schedstat")?;
    Ok(nanoseconds.parse::<f64>()? / 1e6)
}

/// Resident memory as Linux counts it; 0 elsewhere.
fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}
