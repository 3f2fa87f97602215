//! N clients at once, each as a speaker would be: the same playlist at the pace of speech, begun a little apart.
//!
//! Invariant: a client that fails changes nothing for the others, and its failure is part of the result.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::{Record, Usage};
use crate::client::{Client, ClientError, ClientOptions, PIECE_SAMPLES, Pace, Piece, converse};
use crate::protocol::realtime::Extension;

/// Where in its piece a client begins is drawn; all runs draw the same.
const SEED: u64 = 2026;
const PIECE_MS: f64 = 100.0;
/// A client that is held up for longer has lost its listeners.
const MAX_BEHIND: Duration = Duration::from_secs(5);
const READING_INTERVAL: Duration = Duration::from_millis(250);

/// Clients to run.
#[derive(Debug, Clone)]
pub struct Load {
    /// What each connects with.
    pub options: Arc<ClientOptions>,
    /// What each says: see [`super::playlist`].
    pub playlist: Bytes,
    /// The clients begin within this time, evenly.
    pub stagger: Duration,
    /// The server's process, if its CPU and memory are to be measured.
    pub server_pid: Option<u32>,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Trial {
    /// Of each client, what it experienced or why it failed.
    pub records: Vec<Result<Record, String>>,
    /// Readings of the server's process, and when they were taken, in seconds since the trial began.
    pub server_usage: Vec<(f64, Usage)>,
    /// Likewise of this process, in which all the clients live.
    pub client_usage: Vec<(f64, Usage)>,
}

impl Load {
    /// How long a trial takes if the server keeps up.
    pub fn duration(&self, sessions: usize) -> Duration {
        let num_pieces = self.playlist.len() / (2 * PIECE_SAMPLES);
        let stagger = if sessions > 1 { self.stagger } else { Duration::ZERO };
        stagger + Duration::from_secs_f64(num_pieces as f64 * PIECE_MS / 1000.0)
    }

    /// Runs `sessions` clients to their end.
    pub async fn run(&self, sessions: usize) -> Trial {
        let epoch = Instant::now();
        let mut random = StdRng::seed_from_u64(SEED);
        let mut clients = JoinSet::new();
        for client in 0..sessions {
            let jitter = Duration::from_secs_f64(random.random_range(0.0..PIECE_MS) / 1000.0);
            let begin = epoch + jitter + self.stagger.mul_f64(client as f64 / sessions as f64);
            clients.spawn(speak(Arc::clone(&self.options), self.playlist.clone(), epoch, begin));
        }
        let mut trial = Trial::default();
        let mut readings = interval(READING_INTERVAL);
        readings.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                record = clients.join_next() => match record {
                    Some(Ok(record)) => trial.records.push(record.map_err(|error| error.to_string())),
                    Some(Err(error)) => trial.records.push(Err(format!("a client broke: {error}"))),
                    None => return trial,
                },
                _ = readings.tick() => {
                    let at_s = epoch.elapsed().as_secs_f64();
                    let read = |pid| Some((at_s, Usage::read(pid)?));
                    trial.server_usage.extend(self.server_pid.and_then(read));
                    trial.client_usage.extend(read(std::process::id()));
                }
            }
        }
    }
}

async fn speak(
    options: Arc<ClientOptions>,
    playlist: Bytes,
    epoch: Instant,
    begin: Instant,
) -> Result<Record, ClientError> {
    sleep_until(begin).await;
    let extensions = [Extension::Lag].into();
    let client = Client::connect(&ClientOptions { extensions, ..ClientOptions::clone(&options) }).await?;
    let piece_bytes = 2 * PIECE_SAMPLES;
    let pieces = (0..playlist.len()).step_by(piece_bytes).map(move |from| {
        let to = playlist.len().min(from + piece_bytes);
        Piece { pcm16: playlist.slice(from..to), since: begin }
    });
    let pace = Pace { speed: 1.0, max_behind: Some(MAX_BEHIND) };
    let mut record = Record::default();
    let summary = converse(client, stream::iter(pieces), pace, |heard| record.heed(&heard, epoch)).await?;
    record.finish(&summary, epoch);
    Ok(record)
}
