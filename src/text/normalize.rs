//! English text to what is heard: lower-case words without punctuation, numbers and signs spelled out.
//!
//! Invariant: the result has only letters, apostrophes inside words, and single spaces; normalising it again changes nothing.

use tokenizers::NormalizedString;

use super::numbers::{cardinal, digit_by_digit, ordinal, plural, year};

/// Normalises a transcript for CTC and for word error rates. Latin letters lose their accents; integers, decimals, years, ordinals,
/// times of day, telephone numbers and amounts of money are spelled as they are read; `%` and `&` become words. Any
/// other character separates words. Empty if nothing can be heard.
pub fn normalize_source(text: &str) -> String {
    let mut folded = NormalizedString::from(text.chars().map(straight_quote).collect::<String>());
    folded.nfkd().filter(|c| !('\u{300}'..='\u{36f}').contains(&c));
    let chars: Vec<char> = folded.get().to_lowercase().chars().flat_map(plain_letters).collect();
    let mut words = Vec::new();
    let mut at = 0;
    while let Some(&first) = chars.get(at) {
        let rest = &chars[at..];
        let (spoken, length) = match first {
            '0'..='9' => number(rest),
            '$' | '€' | '£' if count_digits(&rest[1..]) > 0 => money(rest),
            '%' => ("percent".to_owned(), 1),
            '&' => ("and".to_owned(), 1),
            _ if first.is_alphabetic() => word(rest),
            _ => (String::new(), 1),
        };
        words.push(spoken);
        at += length;
    }
    words.retain(|spoken| !spoken.is_empty());
    words.join(" ")
}

fn straight_quote(c: char) -> char {
    if matches!(c, '‘' | '’' | 'ʼ' | '′' | '`' | '´') { '\'' } else { c }
}

/// Latin letters that Unicode does not decompose, so that a foreign name adds no letter that English speech never trains.
fn plain_letters(c: char) -> Vec<char> {
    let letters = match c {
        'ß' => "ss",
        'æ' => "ae",
        'œ' => "oe",
        'ø' => "o",
        'ł' => "l",
        'ı' => "i",
        'ð' | 'đ' => "d",
        'þ' => "th",
        _ => return vec![c],
    };
    letters.chars().collect()
}

/// Letters, and apostrophes between letters.
fn word(chars: &[char]) -> (String, usize) {
    let is_letter = |at: usize| chars.get(at).is_some_and(|c| c.is_alphabetic());
    let length = (0..).take_while(|&at| is_letter(at) || (chars.get(at) == Some(&'\'') && is_letter(at + 1))).count();
    (chars[..length].iter().collect(), length)
}

fn count_digits(chars: &[char]) -> usize {
    chars.iter().take_while(|c| c.is_ascii_digit()).count()
}

/// Digits with separators of thousands: the digits alone, and the characters read.
fn integer(chars: &[char]) -> (String, usize) {
    let mut length = count_digits(chars);
    while length > 0 && chars.get(length) == Some(&',') && count_digits(&chars[length + 1..]) == 3 {
        length += 4;
    }
    (chars[..length].iter().filter(|c| c.is_ascii_digit()).collect(), length)
}

/// Longer than this or with leading zeros, a number is a code and not a quantity.
const MAX_QUANTITY_DIGITS: usize = 15;

fn quantity(digits: &str) -> Option<u64> {
    let is_code = digits.len() > MAX_QUANTITY_DIGITS || (digits.len() > 1 && digits.starts_with('0'));
    if is_code { None } else { digits.parse().ok() }
}

fn number(chars: &[char]) -> (String, usize) {
    if let Some(length) = telephone(chars) {
        return (digit_by_digit(&chars[..length].iter().collect::<String>()), length);
    }
    let (digits, length) = integer(chars);
    let after = &chars[length..];
    let decimals = if after.first() == Some(&'.') { count_digits(&after[1..]) } else { 0 };
    if decimals > 0 {
        let whole = quantity(&digits).map_or_else(|| digit_by_digit(&digits), cardinal);
        let fraction: String = after[1..=decimals].iter().collect();
        return (format!("{whole} point {}", digit_by_digit(&fraction)), length + 1 + decimals);
    }
    if after.first() == Some(&':') && length <= 2 && count_digits(&after[1..]) == 2 {
        return (time(&digits, &after[1..3].iter().collect::<String>()), length + 3);
    }
    let Some(value) = quantity(&digits) else {
        return (digit_by_digit(&digits), length);
    };
    // A number written without a separator in this range is a year far more often than a quantity.
    let is_year = length == 4 && (1100..2100).contains(&value);
    let words = if is_year { year(value) } else { cardinal(value) };
    match word(after) {
        (suffix, 2) if matches!(suffix.as_str(), "st" | "nd" | "rd" | "th") => (ordinal(value), length + 2),
        (suffix, 1) if suffix == "s" => (plural(&words), length + 1),
        _ if matches!(after, ['\'', 's', ..]) && word(&after[1..]).1 == 1 => match value % 10 {
            0 => (plural(&words), length + 2),
            _ => (format!("{words}'s"), length + 2),
        },
        _ => (words, length),
    }
}

/// The length of `555-1234`, `212-555-1234` or `212) 555-1234`.
fn telephone(chars: &[char]) -> Option<usize> {
    const SHAPES: [&str; 3] = ["000-0000", "000-000-0000", "000) 000-0000"];
    let fits = |(c, shape): (&char, char)| *c == shape || (shape == '0' && c.is_ascii_digit());
    let length = |shape: &&str| {
        let whole = chars.len() >= shape.len() && chars.iter().zip(shape.chars()).all(fits);
        (whole && !chars.get(shape.len()).is_some_and(char::is_ascii_digit)).then_some(shape.len())
    };
    SHAPES.iter().find_map(length)
}

/// 6:05 is "six oh five", 6:00 "six".
fn time(hours: &str, minutes: &str) -> String {
    let spoken = |digits: &str| digits.parse().map_or_else(|_| digit_by_digit(digits), cardinal);
    match minutes {
        "00" => spoken(hours),
        _ if minutes.starts_with('0') => format!("{} oh {}", spoken(hours), spoken(minutes)),
        _ => format!("{} {}", spoken(hours), spoken(minutes)),
    }
}

/// A sign, an integer and perhaps two decimals.
fn money(chars: &[char]) -> (String, usize) {
    let (digits, length) = integer(&chars[1..]);
    let (unit, units, cent, cents) = match chars[0] {
        '€' => ("euro", "euros", "cent", "cents"),
        '£' => ("pound", "pounds", "penny", "pence"),
        _ => ("dollar", "dollars", "cent", "cents"),
    };
    let whole = quantity(&digits).map_or_else(|| digit_by_digit(&digits), cardinal);
    let mut words = format!("{whole} {}", if digits == "1" { unit } else { units });
    let after = &chars[1 + length..];
    if after.first() != Some(&'.') || count_digits(&after[1..]) != 2 {
        return (words, 1 + length);
    }
    match after[1..3].iter().collect::<String>().parse::<u64>() {
        Ok(1) => words += &format!(" and one {cent}"),
        Ok(amount @ 2..) => words += &format!(" and {} {cents}", cardinal(amount)),
        _ => {}
    }
    (words, 1 + length + 3)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn speaks_what_is_written() {
        let expected = [
            ("", ""),
            (" ... !", ""),
            ("Hello,  World! (Really?)", "hello world really"),
            ("Don’t say ‘no’, Tom's dogs' well-known.", "don't say no tom's dogs well known"),
            ("It's 5 o'clock", "it's five o'clock"),
            ("Café Müller, Łódź, Sørensen", "cafe muller lodz sorensen"),
            ("R&D is 50% of it", "r and d is fifty percent of it"),
            ("12,345 and 1,000,000", "twelve thousand three hundred forty five and one million"),
            ("In 1984, 3.14.", "in nineteen eighty four three point one four"),
            ("1,984 of 2500", "one thousand nine hundred eighty four of two thousand five hundred"),
            ("the 1990s, the 60's and 1984's", "the nineteen nineties the sixties and nineteen eighty four's"),
            ("the 21st and the 3rd", "the twenty first and the third"),
            ("at 6:30pm or 7:05 or 8:00", "at six thirty pm or seven oh five or eight"),
            (
                "call 555-0123 or 212-555-0199",
                "call five five five zero one two three or two one two five five five zero one nine nine",
            ),
            ("(916) 446-6688", "nine one six four four six six six eight eight"),
            ("555-01234", "five hundred fifty five zero one two three four"),
            ("agent 007", "agent zero zero seven"),
            (
                "$1, $12.50, €3.01 and £1,200",
                "one dollar twelve dollars and fifty cents three euros and one cent and one thousand two hundred pounds",
            ),
            ("a 12-year-old's MP3", "a twelve year old's mp three"),
            ("CO₂", "co two"),
            ("$ 5", "five"),
            (
                "12345678901234567890",
                "one two three four five six seven eight nine zero one two three four five six seven eight nine zero",
            ),
        ];
        for (text, spoken) in expected {
            assert_eq!(normalize_source(text), spoken);
        }
    }

    proptest! {
        #[test]
        fn is_idempotent_and_clean(text in "\\PC{0,40}|[0-9a-z$€,.:' -]{0,40}") {
            let once = normalize_source(&text);
            prop_assert_eq!(normalize_source(&once), once.clone());
            let clean = |c: char| c.is_alphabetic() || c == '\'' || c == ' ';
            prop_assert!(once.chars().all(clean), "{:?}", once);
            prop_assert!(!once.contains("  ") && once.trim() == once);
        }
    }
}
