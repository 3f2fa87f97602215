//! Frame-wise labels to a label sequence: the greedy reading of connectionist temporal classification (Graves et al. 2006).
//!
//! Invariant: a repeat is one label wherever the stream was cut, because the last label is remembered.

use serde::{Deserialize, Serialize};

/// Drops repeats, then blanks; a label counts twice only with a blank between.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CtcCollapse {
    blank: u32,
    previous: u32,
}

impl CtcCollapse {
    /// A collapse that has seen nothing.
    pub fn new(blank: u32) -> Self {
        Self { blank, previous: blank }
    }

    /// The labels that begin among the next frames' best labels; none for an empty slice.
    pub fn push(&mut self, labels: &[u32]) -> Vec<u32> {
        let mut begun = Vec::new();
        for &label in labels {
            if label != self.previous && label != self.blank {
                begun.push(label);
            }
            self.previous = label;
        }
        begun
    }

    /// Forgets the last label.
    pub fn reset(&mut self) {
        self.previous = self.blank;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn drops_repeats_and_blanks() {
        let mut collapse = CtcCollapse::new(0);
        assert_eq!(collapse.push(&[]), [0; 0]);
        assert_eq!(collapse.push(&[0, 7, 7, 0, 7, 8, 8]), [7, 7, 8]);
        assert_eq!(collapse.push(&[8, 8, 9]), [9], "the 8 began in the chunk before");
        collapse.reset();
        assert_eq!(collapse.push(&[9]), [9]);
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_labels(labels in prop::collection::vec(0_u32..4, 0..60), cut in 0_usize..60) {
            let whole = CtcCollapse::new(0).push(&labels);
            let (left, right) = labels.split_at(cut.min(labels.len()));
            let mut collapse = CtcCollapse::new(0);
            let parts = [collapse.push(left), collapse.push(right)].concat();
            prop_assert_eq!(parts, whole);
        }
    }
}
