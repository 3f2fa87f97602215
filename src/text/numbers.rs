//! Numbers to English words, as they are read aloud: lower case, no hyphens, no "and".
//!
//! Invariant: every number has words; what is too long to be read as one is read digit by digit.

const SMALL: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const TENS: [&str; 10] = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
const SCALES: [(u64, &str); 5] = [
    (1_000_000_000_000, "trillion"),
    (1_000_000_000, "billion"),
    (1_000_000, "million"),
    (1_000, "thousand"),
    (100, "hundred"),
];
const IRREGULAR_ORDINALS: [(&str, &str); 7] = [
    ("one", "first"),
    ("two", "second"),
    ("three", "third"),
    ("five", "fifth"),
    ("eight", "eighth"),
    ("nine", "ninth"),
    ("twelve", "twelfth"),
];

/// 1234 is "one thousand two hundred thirty four".
pub(super) fn cardinal(number: u64) -> String {
    let (head, rest) = match SCALES.iter().find(|(scale, _)| number >= *scale) {
        Some((scale, name)) => (format!("{} {name}", cardinal(number / scale)), number % scale),
        None if number >= 20 => (TENS[(number / 10) as usize].to_owned(), number % 10),
        None => (SMALL[number as usize].to_owned(), 0),
    };
    if rest == 0 { head } else { format!("{head} {}", cardinal(rest)) }
}

/// 21 is "twenty first".
pub(super) fn ordinal(number: u64) -> String {
    with_last_word(&cardinal(number), |word| {
        let irregular = IRREGULAR_ORDINALS.iter().find(|(cardinal, _)| *cardinal == word);
        match (irregular, word.strip_suffix('y')) {
            (Some((_, ordinal)), _) => (*ordinal).to_owned(),
            (None, Some(stem)) => format!("{stem}ieth"),
            (None, None) => format!("{word}th"),
        }
    })
}

/// 1984 is "nineteen eighty four", 1905 "nineteen oh five", 2005 "two thousand five".
pub(super) fn year(number: u64) -> String {
    match (number / 100, number % 100) {
        (century, 0..=9) if century % 10 == 0 => cardinal(number),
        (century, 0) => format!("{} hundred", cardinal(century)),
        (century, rest @ 1..=9) => format!("{} oh {}", cardinal(century), cardinal(rest)),
        (century, rest) => format!("{} {}", cardinal(century), cardinal(rest)),
    }
}

/// "007" is "zero zero seven". Other characters are skipped.
pub(super) fn digit_by_digit(digits: &str) -> String {
    let words: Vec<_> = digits.chars().filter_map(|c| c.to_digit(10)).map(|digit| SMALL[digit as usize]).collect();
    words.join(" ")
}

/// "nineteen ninety" is "nineteen nineties".
pub(super) fn plural(words: &str) -> String {
    with_last_word(words, |word| match (word.strip_suffix('y'), word.ends_with('x')) {
        (Some(stem), _) => format!("{stem}ies"),
        (None, true) => format!("{word}es"),
        (None, false) => format!("{word}s"),
    })
}

fn with_last_word(words: &str, change: impl Fn(&str) -> String) -> String {
    match words.rsplit_once(' ') {
        Some((head, last)) => format!("{head} {}", change(last)),
        None => change(words),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cardinals() {
        let expected = [
            (0, "zero"),
            (13, "thirteen"),
            (20, "twenty"),
            (42, "forty two"),
            (100, "one hundred"),
            (311, "three hundred eleven"),
            (1_000, "one thousand"),
            (20_005, "twenty thousand five"),
            (999_999, "nine hundred ninety nine thousand nine hundred ninety nine"),
            (3_000_100, "three million one hundred"),
        ];
        for (number, words) in expected {
            assert_eq!(cardinal(number), words);
        }
        assert!(cardinal(u64::MAX).starts_with("eighteen million four hundred forty six thousand"));
    }

    #[test]
    fn ordinals() {
        let expected = [
            (1, "first"),
            (12, "twelfth"),
            (20, "twentieth"),
            (22, "twenty second"),
            (100, "one hundredth"),
            (9, "ninth"),
        ];
        for (number, words) in expected {
            assert_eq!(ordinal(number), words);
        }
    }

    #[test]
    fn years() {
        let expected = [
            (1066, "ten sixty six"),
            (1900, "nineteen hundred"),
            (1905, "nineteen oh five"),
            (1984, "nineteen eighty four"),
            (2000, "two thousand"),
            (2005, "two thousand five"),
            (2026, "twenty twenty six"),
        ];
        for (number, words) in expected {
            assert_eq!(year(number), words);
        }
    }

    #[test]
    fn plurals_and_digits() {
        assert_eq!(plural("nineteen ninety"), "nineteen nineties");
        assert_eq!(plural("six"), "sixes");
        assert_eq!(digit_by_digit("007"), "zero zero seven");
    }
}
