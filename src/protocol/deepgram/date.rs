//! Seconds since 1970 to a date as clients read it. Invariant: every number of seconds has a date.

const DAY_S: u64 = 86_400;

/// ISO 8601 (RFC 3339) in UTC: `2024-08-29T22:37:55Z`. The calendar is Gregorian; days are turned into a date as in
/// Howard Hinnant's `civil_from_days`: years begin in March, so that the leap day is their last.
pub(super) fn iso_8601(unix_s: u64) -> String {
    let days = unix_s / DAY_S + 719_468; // since 0000-03-01
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (unix_s % DAY_S / 3600, unix_s % 3600 / 60, unix_s % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::iso_8601;

    /// Expected values from `date --utc --date=@N +%FT%TZ`.
    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(iso_8601(0), "1970-01-01T00:00:00Z");
        assert_eq!(iso_8601(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(iso_8601(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(iso_8601(951_868_800), "2000-03-01T00:00:00Z");
        assert_eq!(iso_8601(1_724_971_075), "2024-08-29T22:37:55Z");
        assert_eq!(iso_8601(1_735_689_599), "2024-12-31T23:59:59Z");
        assert_eq!(iso_8601(4_107_542_400), "2100-03-01T00:00:00Z");
        assert!(iso_8601(u64::MAX).ends_with('Z'));
    }
}
