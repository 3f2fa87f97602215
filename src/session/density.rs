//! How many letters a second are heard: speech has ten, music that a detector takes for speech has next to none.
//!
//! Of 200 utterances of the evaluation's speech, none has fewer than 3.4 over its whole length; of 13 of its music, none has
//! more than 1.9. Invariant: what was heard long ago counts for nothing.

use serde::{Deserialize, Serialize};

/// Time after which what was heard counts `e` times less: some words.
const MEMORY_S: f32 = 2.0;
/// A short answer is heard with silence around it, which has no letters.
const GRACE_S: f32 = 1.0;

/// Letters and seconds of the last words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Density {
    letters: f32,
    seconds: f32,
}

impl Density {
    /// Hears more: letters of the transcript in so many milliseconds.
    pub(crate) fn hear(&mut self, letters: usize, duration_ms: u64) {
        let seconds = duration_ms as f32 / 1000.0;
        let kept = (-seconds / MEMORY_S).exp();
        self.letters = self.letters * kept + letters as f32;
        self.seconds = self.seconds * kept + seconds;
    }

    /// Whether fewer letters were heard than speech has that is so slow.
    pub(crate) fn is_below(&self, letters_per_s: f32) -> bool {
        self.letters < letters_per_s * (self.seconds - GRACE_S)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(segments: impl IntoIterator<Item = usize>) -> Density {
        segments.into_iter().fold(Density::default(), |mut density, letters| {
            density.hear(letters, 320);
            density
        })
    }

    #[test]
    fn a_short_answer_is_speech_and_a_letter_in_a_piece_of_music_is_not() {
        assert!(!heard([]).is_below(2.0));
        assert!(!heard([2, 0, 0]).is_below(2.0));
        assert!(heard([0, 3, 0, 0, 0, 0, 0, 0, 0, 0]).is_below(2.0));
        assert!(heard([0; 60]).is_below(2.0));
        assert!(!heard([0; 60]).is_below(0.0));
    }

    #[test]
    fn speech_behind_music_is_speech_after_a_word() {
        let music = || [0; 60].into_iter();
        assert!(!heard(music().chain([3, 3])).is_below(2.0));
        assert!(!heard([3; 60].into_iter().chain([0, 0, 0])).is_below(2.0), "a pause for breath");
    }
}
