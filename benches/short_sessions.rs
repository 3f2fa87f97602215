//! Whether a server's memory stays what it is over thousands of short sessions, each through a socket of its own.
//!
//! The server is a process of its own, so that what it holds is not what the clients hold. The first thousand warm up
//! allocators and buffers; the last column compares with what was resident then.
//!
//! usage: cargo bench --bench short_sessions [-- SESSIONS]
#![allow(clippy::print_stdout)] // a program that prints a table

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use decalage::audio::{AudioReader, Limits, SAMPLE_RATE_HZ};
use decalage::client::load::{Server, Usage};
use decalage::client::{Client, ClientError, ClientOptions, PIECE_SAMPLES, Pace, Piece, converse, pcm16};
use futures_util::{StreamExt, TryStreamExt, stream};

const BUNDLE: &str = "models/en-de-small";
/// What each session says, in seconds: a short sentence.
const SPEECH_S: usize = 2;
/// Sessions at a time.
const CLIENTS: usize = 16;
/// Sessions in a row of the table.
const ROUND: usize = 1000;

type Failure = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let sessions = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(10 * ROUND);
    let clip = File::open(Path::new(BUNDLE).join("sample.opus"))?;
    let mut samples = AudioReader::open(clip, &Limits::default())?.read_all()?;
    samples.truncate(SPEECH_S * SAMPLE_RATE_HZ as usize);
    let pieces: Vec<Bytes> = samples.chunks(PIECE_SAMPLES).map(pcm16).collect();
    let mut server = Server::start(Path::new(env!("CARGO_BIN_EXE_decalage")), Path::new(BUNDLE)).await?;
    let options = ClientOptions { url: server.url.clone(), ..ClientOptions::default() };
    println!("sessions   sessions a second   resident MiB   against the first {ROUND}");
    let mut first = None;
    for round in 0..sessions.div_ceil(ROUND) {
        let began = Instant::now();
        let count = ROUND.min(sessions - round * ROUND);
        let translated = stream::iter((0..count).map(Ok)).map_ok(|_| translate(&options, &pieces));
        translated.try_buffer_unordered(CLIENTS).try_for_each(async |()| Ok(())).await?;
        if let Some(ended) = server.ended() {
            return Err(ended.into());
        }
        let rss_bytes = Usage::read(server.pid).ok_or("no /proc to read the server's memory from")?.rss_bytes as f64;
        let ratio = rss_bytes / *first.get_or_insert(rss_bytes);
        let speed = count as f64 / began.elapsed().as_secs_f64();
        println!("{:8} {speed:19.1} {:14.1} {ratio:23.3}", round * ROUND + count, rss_bytes / f64::from(1 << 20));
    }
    Ok(())
}

/// One session, as fast as the server takes it.
async fn translate(options: &ClientOptions, pieces: &[Bytes]) -> Result<(), ClientError> {
    let since = tokio::time::Instant::now();
    let audio = stream::iter(pieces).map(|pcm16| Piece { pcm16: pcm16.clone(), since });
    let pace = Pace { speed: 1000.0, max_behind: Some(Duration::from_secs(60)) };
    converse(Client::connect(options).await?, audio, pace, |_| ()).await.map(drop)
}
