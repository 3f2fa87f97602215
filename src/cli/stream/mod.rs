//! `decalage stream`: audio to a server as it is spoken, and its words as they come.

mod source;
mod view;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::task::ready;

use anyhow::{Context, Result};
use clap::Args;
use decalage::audio::Encoding;
use decalage::client::{Client, ClientOptions, Pace, converse};
use decalage::protocol::realtime::Extension;
use futures_util::{StreamExt, stream};
use tokio::signal;
use tokio::sync::oneshot;

use super::remote::Remote;
use source::Source;
use view::View;

/// Translate live with a server: words appear while the audio is being spoken
#[derive(Debug, Args)]
pub(crate) struct Stream {
    /// wav, flac, mp3, ogg, webm, m4a or aac; `-` is standard input, heard live
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The audio is raw: signed 16-bit little-endian mono samples at this rate
    #[arg(long, value_name = "pcm16:RATE", value_parser = source::parse_raw)]
    input: Option<Encoding>,
    /// The server: ws, wss, http or https
    #[arg(long, default_value = "ws://127.0.0.1:8080")]
    url: String,
    #[command(flatten)]
    remote: Remote,
    /// 1 sends the audio as it was spoken, 2 twice as fast
    #[arg(long, default_value_t = 1.0, value_parser = parse_speed)]
    speed: f64,
    /// Also write what was heard (to standard error; always shown on a terminal)
    #[arg(long)]
    transcript: bool,
}

impl Stream {
    pub(crate) fn run(self) -> Result<()> {
        let source = Source::open(&self.file, self.input).with_context(|| self.file.display().to_string())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.stream(source))
    }

    async fn stream(&self, source: Source) -> Result<()> {
        let mut view = View::new(self.transcript);
        let extensions = BTreeSet::from([Extension::Vad]);
        let transcript = view.wants_transcript();
        let client =
            Client::connect(&ClientOptions { transcript, extensions, ..self.remote.options(&self.url) }).await?;

        let (mut pieces, mut fault) = (source.pump()?, None);
        let audio = stream::poll_fn(|context| match ready!(pieces.poll_recv(context)) {
            Some(Ok(piece)) => Some(piece).into(),
            ended => {
                fault = ended.and_then(Result::err);
                None.into()
            }
        });
        // What has been heard is translated to its end.
        let audio = audio.take_until(Box::pin(signal::ctrl_c()));
        let (failed, failure) = oneshot::channel();
        let mut failed = Some(failed);
        let pace = Pace { speed: self.speed, max_behind: None };
        let conversation = converse(client, audio, pace, |heard| {
            if let Err(error) = view.heed(heard.message, heard.lag) {
                let _ = failed.take().map(|failed| failed.send(error)); // the first counts
            }
        });
        tokio::select! {
            summary = conversation => summary?,
            Ok(error) = failure => return Err(error.into()),
        };
        view.finish()?;
        fault.map_or(Ok(()), |fault| Err(fault).context("translated up to the fault"))
    }
}

fn parse_speed(text: &str) -> Result<f64, String> {
    let allowed = 0.1..=100.0;
    let speed = text.parse().ok().filter(|speed| allowed.contains(speed));
    speed.ok_or_else(|| format!("allowed is {} to {}", allowed.start(), allowed.end()))
}
