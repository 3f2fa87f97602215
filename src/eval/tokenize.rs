//! A line of text to the words that BLEU counts: the rules of `mteval-v13a.pl`, sacrebleu's default tokenizer `13a`.
//!
//! Invariant: the rules run in this order, each from left to right without looking at its own output, as regular
//! expressions do.

/// The line with single spaces between its words.
pub(super) fn tokenize_13a(line: &str) -> String {
    let line = line.trim_end().replace("<skipped>", "").replace("-\n", "").replace('\n', " ");
    let line = line.replace("&quot;", "\"").replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">");
    let mut spaced = String::from(" ");
    for c in line.chars().chain([' ']) {
        // ASCII punctuation but for the apostrophe, the comma, the dash and the period.
        match c {
            '{'..='~' | '['..='`' | ' '..='&' | '('..='+' | ':'..='@' | '/' => spaced.extend([' ', c, ' ']),
            _ => spaced.push(c),
        }
    }
    let is_stop = |c: char| matches!(c, '.' | ',');
    let spaced = space_pairs(&spaced, |a, b| !a.is_ascii_digit() && is_stop(b), |a, b| [a, ' ', b, ' ']);
    let spaced = space_pairs(&spaced, |a, b| is_stop(a) && !b.is_ascii_digit(), |a, b| [' ', a, ' ', b]);
    let spaced = space_pairs(&spaced, |a, b| a.is_ascii_digit() && b == '-', |a, b| [a, ' ', b, ' ']);
    spaced.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Rewrites each pair of neighbours that matches; pairs do not overlap.
fn space_pairs(text: &str, matches: impl Fn(char, char) -> bool, rewrite: impl Fn(char, char) -> [char; 4]) -> String {
    let mut spaced = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(first) = chars.next() {
        match chars.next_if(|&second| matches(first, second)) {
            Some(second) => spaced.extend(rewrite(first, second)),
            None => spaced.push(first),
        }
    }
    spaced
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_sacrebleu() {
        let lines = super::super::fixture::text().tokenized_13a;
        assert!(!lines.is_empty());
        for (line, expected) in lines {
            assert_eq!(tokenize_13a(&line), expected, "{line:?}");
        }
    }
}
