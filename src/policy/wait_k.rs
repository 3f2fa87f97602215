//! Wait-k on speech segments and target words: a lag that does not grow on brisk speech.
//!
//! Ma et al. 2019 (arXiv 1810.08398) count one target token for one source token, `g(i) = k + i - 1` (eq. 4). Here the
//! source unit is a segment that contains speech and the target unit is a word: English speech has 2.5 to 3 words a
//! second, just under the 3.1 segments of 320 ms, while its translation has 4 to 5 pieces, which would fall behind.
//! Invariant: word `w` is never decided on fewer than `k + w - 1` segments of speech, unless the source has ended.

use super::Progress;

/// Whether the word after `progress.words` words may be decided.
pub fn may_write(k: usize, progress: Progress) -> bool {
    progress.source_ended || progress.speech_segments >= k.saturating_add(progress.words)
}

/// Which segment of speech (from 0) the word number `word` (from 0) renders, as far as the policy knows: it reads one
/// segment for each word, so words beyond the last segment have none.
pub fn source_segment(word: usize, speech_segments: usize) -> Option<usize> {
    (word < speech_segments).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_schedule_of_the_paper() {
        for k in 1..6 {
            for word in 1..20 {
                let before = Progress { speech_segments: k + word - 2, words: word - 1, source_ended: false };
                let after = Progress { speech_segments: k + word - 1, ..before };
                assert!(!may_write(k, before), "word {word} came before its turn at k = {k}");
                assert!(may_write(k, after), "word {word} did not come in its turn at k = {k}");
                assert!(may_write(k, Progress { source_ended: true, ..before }));
            }
        }
    }

    #[test]
    fn a_word_renders_its_own_segment() {
        assert_eq!(source_segment(0, 2), Some(0));
        assert_eq!(source_segment(1, 2), Some(1));
        assert_eq!(source_segment(2, 2), None);
    }
}
