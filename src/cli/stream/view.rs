//! Events of a live stream to what is seen of it. On a terminal two lines follow the utterance that is being spoken; else
//! only final text is written, an utterance a line.

use std::io::{self, IsTerminal, Write};
use std::mem;
use std::time::Duration;

use console::{Term, measure_text_width, style};
use decalage::protocol::realtime::{ServerEvent, ServerMessage};

/// Columns for the lag, as in ` 12.3 s`.
const LAG_COLUMNS: usize = 7;

/// What is seen of a stream.
#[derive(Debug)]
pub(super) struct View {
    /// None if standard output is not a terminal.
    term: Option<Term>,
    /// Source text is to be written to standard error.
    transcript: bool,
    /// Text of the utterance that is being spoken.
    source: String,
    target: String,
    /// From when the speech began that the last word renders until that word came.
    lag: Option<Duration>,
    /// Lines on the terminal that will be written anew.
    num_live: usize,
}

impl View {
    pub(super) fn new(transcript: bool) -> Self {
        let term = io::stdout().is_terminal().then(Term::stdout);
        Self { term, transcript, source: String::new(), target: String::new(), lag: None, num_live: 0 }
    }

    pub(super) fn wants_transcript(&self) -> bool {
        self.transcript || self.term.is_some()
    }

    pub(super) fn heed(&mut self, message: &ServerMessage, lag: Option<Duration>) -> io::Result<()> {
        match &message.event {
            ServerEvent::InputTranscript(delta) => self.source.push_str(&delta.delta),
            ServerEvent::OutputTranscript(delta) => {
                let text = if self.target.is_empty() { delta.delta.trim_start() } else { &delta.delta };
                self.target.push_str(text);
                self.lag = lag;
                if self.term.is_none() {
                    let mut stdout = io::stdout();
                    stdout.write_all(text.as_bytes())?;
                    return stdout.flush();
                }
            }
            ServerEvent::SpeechStopped { .. } => return self.end_utterance(),
            ServerEvent::Error { error } => return self.note(&format!("the server says: {}", error.message)),
            _ => return Ok(()),
        }
        self.show_live()
    }

    /// The stream is over.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.end_utterance()
    }

    fn end_utterance(&mut self) -> io::Result<()> {
        let (source, target) = (mem::take(&mut self.source), mem::take(&mut self.target));
        self.lag = None;
        match &self.term {
            Some(term) => {
                term.clear_last_lines(mem::take(&mut self.num_live))?;
                if !source.trim().is_empty() {
                    term.write_line(&style(source.trim()).dim().to_string())?;
                }
                if !target.is_empty() {
                    term.write_line(&target)?;
                }
            }
            None => {
                if !target.is_empty() {
                    writeln!(io::stdout())?;
                }
                if !source.trim().is_empty() && self.transcript {
                    writeln!(io::stderr(), "{}", source.trim())?;
                }
            }
        }
        Ok(())
    }

    fn note(&mut self, text: &str) -> io::Result<()> {
        if let Some(term) = &self.term {
            term.clear_last_lines(mem::take(&mut self.num_live))?;
        }
        writeln!(io::stderr(), "{text}")?;
        self.show_live()
    }

    fn show_live(&mut self) -> io::Result<()> {
        let Some(term) = &self.term else { return Ok(()) };
        let columns = usize::from(term.size().1);
        let [source, target] = live_lines(self.source.trim(), &self.target, self.lag, columns);
        term.clear_last_lines(self.num_live)?;
        self.num_live = 2;
        term.write_line(&style(source).dim().to_string())?;
        term.write_line(&target)
    }
}

/// The ends of both texts, neither wider than the terminal, and the lag on the right.
fn live_lines(source: &str, target: &str, lag: Option<Duration>, columns: usize) -> [String; 2] {
    // A terminal that is filled to its last column has begun the next line.
    let columns = columns.saturating_sub(1);
    let lag = lag.map(|lag| format!("{:.1} s", lag.as_secs_f64())).unwrap_or_default();
    let target = tail(target, columns.saturating_sub(LAG_COLUMNS));
    let gap = columns.saturating_sub(measure_text_width(target));
    [tail(source, columns).to_owned(), tail(&format!("{target}{lag:>gap$}"), columns).to_owned()]
}

/// The longest end of a text that fits.
fn tail(text: &str, columns: usize) -> &str {
    let ends = text.char_indices().map(|(from, _)| &text[from..]);
    ends.into_iter().find(|end| measure_text_width(end) <= columns).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn live_lines_fit_and_show_the_newest() {
        let lag = Some(Duration::from_millis(1340));
        let [source, target] = live_lines("good day", "Guten Tag", lag, 31);
        assert_eq!((source.as_str(), target.as_str()), ("good day", "Guten Tag                1.3 s"));
        let [source, target] = live_lines("it was a good day", "es war ein schöner Tag", lag, 17);
        assert_eq!((source.as_str(), target.as_str()), ("t was a good day", "höner Tag  1.3 s"));
        for columns in 0..40 {
            let lines = live_lines("日本 a long source", "a longer target 日本語", lag, columns);
            assert!(lines.iter().all(|line| measure_text_width(line) < columns.max(1)), "{columns}: {lines:?}");
        }
        assert_eq!(live_lines("", "Ja", None, 20)[1].trim_end(), "Ja");
    }
}
