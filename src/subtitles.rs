//! Committed words to subtitles: SubRip (srt) and WebVTT (W3C Candidate Recommendation, 4 April 2019).
//!
//! Invariant: cues are in order, never overlap, last at least a millisecond, and hold every word once.

use std::fmt::Write;

use crate::session::event::Committed;

/// Characters in a line; two lines make a cue (Netflix's and the BBC's limit of two lines, EBU's of about 42 characters).
const MAX_LINE_CHARS: usize = 42;
const MAX_CUE_CHARS: usize = 2 * MAX_LINE_CHARS;
const MAX_CUE_MS: u64 = 6000;

/// Some words and when they are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cue {
    /// When they appear, in milliseconds of audio.
    pub start_ms: u64,
    /// When they go.
    pub end_ms: u64,
    /// One line, or two with a line feed between.
    pub text: String,
}

/// Groups words into cues. A cue ends with its sentence or utterance, and before it gets too long to read or to show.
pub fn cues(words: &[Committed]) -> Vec<Cue> {
    let mut cues: Vec<Cue> = Vec::new();
    let mut open = None; // the utterance of the last cue, while it may grow
    for word in words {
        let text = word.text.trim();
        if text.is_empty() {
            continue;
        }
        let grows = |cue: &Cue| {
            open == Some(word.utterance)
                && cue.text.chars().count() + 1 + text.chars().count() <= MAX_CUE_CHARS
                && word.end_ms.saturating_sub(cue.start_ms) <= MAX_CUE_MS
        };
        match cues.last_mut().filter(|cue| grows(cue)) {
            Some(cue) => {
                cue.text.push(' ');
                cue.text.push_str(text);
                cue.end_ms = cue.end_ms.max(word.end_ms);
            }
            None => cues.push(Cue { start_ms: word.start_ms, end_ms: word.end_ms, text: text.to_owned() }),
        }
        open = (!text.ends_with(['.', '!', '?', '…'])).then_some(word.utterance);
    }
    separate(&mut cues);
    cues.iter_mut().for_each(|cue| cue.text = in_two_lines(&cue.text));
    cues
}

/// The span of a word ends where listening had got to, so neighbours overlap: a cue goes when the next one comes.
fn separate(cues: &mut [Cue]) {
    for index in 0..cues.len() {
        let begin_ms = index.checked_sub(1).map_or(0, |before| cues[before].end_ms);
        let next_ms = cues.get(index + 1).map_or(u64::MAX, |next| next.start_ms);
        let cue = &mut cues[index];
        cue.start_ms = cue.start_ms.max(begin_ms);
        cue.end_ms = cue.end_ms.min(next_ms).max(cue.start_ms + 1);
    }
}

/// Breaks a text that is too long for one line at the space nearest to its middle.
fn in_two_lines(text: &str) -> String {
    if text.chars().count() <= MAX_LINE_CHARS {
        return text.to_owned();
    }
    let middle = text.len() / 2;
    let spaces = text.match_indices(' ').map(|(at, _)| at);
    match spaces.min_by_key(|at| at.abs_diff(middle)) {
        Some(at) => format!("{}\n{}", &text[..at], &text[at + 1..]),
        None => text.to_owned(),
    }
}

/// A SubRip file; empty without cues.
pub fn srt(cues: &[Cue]) -> String {
    let mut file = String::new();
    for (number, cue) in (1..).zip(cues) {
        let (start, end) = (timestamp(cue.start_ms, ','), timestamp(cue.end_ms, ','));
        let _ = write!(file, "{number}\n{start} --> {end}\n{}\n\n", cue.text); // a String takes everything
    }
    file
}

/// A WebVTT file; only the signature without cues.
pub fn vtt(cues: &[Cue]) -> String {
    let mut file = String::from("WEBVTT\n\n");
    for cue in cues {
        let text = cue.text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let (start, end) = (timestamp(cue.start_ms, '.'), timestamp(cue.end_ms, '.'));
        let _ = write!(file, "{start} --> {end}\n{text}\n\n");
    }
    file
}

fn timestamp(ms: u64, point: char) -> String {
    let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    format!("{hours:02}:{minutes:02}:{seconds:02}{point}{:03}", ms % 1000)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn word(utterance: u64, text: &str, start_ms: u64, end_ms: u64) -> Committed {
        Committed { seq: 0, utterance, text: text.to_owned(), start_ms, end_ms, source_ms: end_ms }
    }

    #[test]
    fn sentences_and_utterances_end_cues() {
        let words = [
            word(0, "Guten", 0, 960),
            word(0, " Tag.", 320, 1280),
            word(0, " Wie", 640, 1600),
            word(1, " geht's?", 3_725_004, 3_726_000),
        ];
        let expected = "1\n00:00:00,000 --> 00:00:00,640\nGuten Tag.\n\n\
                        2\n00:00:00,640 --> 00:00:01,600\nWie\n\n\
                        3\n01:02:05,004 --> 01:02:06,000\ngeht's?\n\n";
        assert_eq!(srt(&cues(&words)), expected);
    }

    #[test]
    fn vtt_escapes_what_is_markup_there() {
        let text = vtt(&cues(&[word(0, "A<b> & c", 1000, 2000)]));
        assert_eq!(text, "WEBVTT\n\n00:00:01.000 --> 00:00:02.000\nA&lt;b&gt; &amp; c\n\n");
    }

    #[test]
    fn nothing_said_is_an_empty_file() {
        assert_eq!(srt(&cues(&[])), "");
        assert_eq!(vtt(&cues(&[])), "WEBVTT\n\n");
    }

    #[test]
    fn long_cues_break_near_the_middle() {
        let words: Vec<Committed> = (0..12).map(|i| word(0, " wortwort", i * 100, i * 100 + 300)).collect();
        let cues = cues(&words);
        assert_eq!(cues.len(), 2, "{cues:?}");
        let lines: Vec<usize> = cues[0].text.lines().map(str::len).collect();
        assert_eq!(lines, [44, 35], "nine words of eight letters, broken at the space nearest to the middle");
    }

    proptest! {
        #[test]
        fn cues_never_overlap_and_lose_nothing(
            steps in prop::collection::vec((0_u64..700, 0_u64..4000, 0_u64..2, "[a-zß]{1,60}[.]?"), 0..60),
        ) {
            let (mut start_ms, mut utterance) = (0, 0);
            let words: Vec<Committed> = steps.iter().map(|(step, length, ends, text)| {
                start_ms += step;
                utterance += ends;
                word(utterance, text, start_ms, start_ms + length)
            }).collect();
            let cues = cues(&words);
            prop_assert!(cues.iter().all(|cue| cue.start_ms < cue.end_ms));
            prop_assert!(cues.windows(2).all(|pair| pair[0].end_ms <= pair[1].start_ms));
            let shown: Vec<&str> = cues.iter().flat_map(|cue| cue.text.split_whitespace()).collect();
            let said: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
            prop_assert_eq!(shown, said);
        }
    }
}
