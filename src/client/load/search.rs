//! How many streams to try next: doubling until a run is dishonest, then halving the gap.

/// A search for the largest honest number of streams. A run's verdict is noisy near the limit, so the gap is closed to a
/// sixteenth only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Search {
    first: usize,
    honest: usize,
    dishonest: Option<usize>,
}

impl Search {
    /// The most that is tried.
    pub const MAX_SESSIONS: usize = 4096;

    /// Begins with `first` streams, 1 to [`Search::MAX_SESSIONS`].
    pub fn new(first: usize) -> Self {
        Self { first: first.clamp(1, Self::MAX_SESSIONS), honest: 0, dishonest: None }
    }

    /// The number to try; `None` when the search is over.
    pub fn next(&self) -> Option<usize> {
        match self.dishonest {
            None if self.honest == 0 => Some(self.first),
            None => (self.honest < Self::MAX_SESSIONS).then(|| (2 * self.honest).min(Self::MAX_SESSIONS)),
            Some(dishonest) => {
                let gap = dishonest - self.honest;
                (gap > (self.honest / 16).max(1)).then(|| self.honest + gap / 2)
            }
        }
    }

    /// Takes the verdict on what [`Search::next`] said.
    pub fn judge(&mut self, sessions: usize, honest: bool) {
        if honest {
            self.honest = self.honest.max(sessions);
        } else {
            self.dishonest = Some(self.dishonest.map_or(sessions, |least| least.min(sessions)));
        }
    }

    /// The largest number found honest so far; 0 if none.
    pub fn honest(&self) -> usize {
        self.honest
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tried(first: usize, limit: usize) -> (Vec<usize>, usize) {
        let (mut search, mut tried) = (Search::new(first), Vec::new());
        while let Some(sessions) = search.next() {
            tried.push(sessions);
            search.judge(sessions, sessions <= limit);
            assert!(tried.len() < 40, "no end: {tried:?}");
        }
        (tried, search.honest())
    }

    #[test]
    fn doubles_then_halves() {
        assert_eq!(tried(8, 50), (vec![8, 16, 32, 64, 48, 56, 52, 50], 50));
        assert_eq!(tried(4, 1), (vec![4, 2, 1], 1));
        assert_eq!(tried(1, 0), (vec![1], 0));
        assert_eq!(tried(3000, usize::MAX), (vec![3000, 4096], 4096));
    }

    proptest! {
        #[test]
        fn finds_the_limit_to_a_sixteenth(first in 1_usize..100, limit in 0_usize..4000) {
            let (_, honest) = tried(first, limit);
            prop_assert!(honest <= limit);
            prop_assert!(limit - honest <= honest / 16, "{} of {}", honest, limit);
        }
    }
}
