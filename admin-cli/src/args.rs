//! Values on the command line, read once and then known to be right. It may not know what they are used for.

use std::time::Duration;

use clap::builder::PossibleValuesParser;
use danso_core::tier::Tier;

/// Reads a month `YYYY-MM` as yyyymm.
pub fn month(text: &str) -> Result<u32, String> {
    let wrong = || "a month is written YYYY-MM, for example 2021-03".to_owned();
    let (year, month) = text.split_once('-').ok_or_else(wrong)?;
    let digits = |part: &str, count| part.len() == count && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(year, 4) || !digits(month, 2) {
        return Err(wrong());
    }
    let (year, month): (u32, u32) = (year.parse().map_err(|_| wrong())?, month.parse().map_err(|_| wrong())?);
    if year < 1000 || !(1..=12).contains(&month) {
        return Err(wrong());
    }
    Ok(year * 100 + month)
}

/// Reads a name and its number: `years=13`.
pub fn number(text: &str) -> Result<(String, u32), String> {
    let wrong = || "a number is written NAME=N, for example years=13".to_owned();
    let (name, number) = text.split_once('=').ok_or_else(wrong)?;
    let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    match (name, number.parse()) {
        ("", _) | (_, Err(_)) => Err(wrong()),
        (_, Ok(_)) if !is_number => Err(wrong()),
        (name, Ok(number)) => Ok((name.to_owned(), number)),
    }
}

/// Reads a duration: `7d`, `12h`, `60s`, `500ms`, `1h 30m`.
pub fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|e| format!("{e}; a duration is a number with its unit, for example 7d, 12h, 60s or 500ms"))
}

/// Reads the name of a tier.
pub fn tier() -> PossibleValuesParser {
    Tier::ALL.map(Tier::name).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn months_are_strict() {
        assert_eq!(month("2021-03"), Ok(202_103));
        for bad in [
            "",
            "2021",
            "2021-3",
            "2021-13",
            "2021-00",
            "21-03",
            "0000-01",
            "2021-03-01",
            "2021/03",
            "+021-03",
            "２０２１-03",
        ] {
            assert!(month(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn numbers_have_names() {
        assert_eq!(number("years=13"), Ok(("years".to_owned(), 13)));
        for bad in ["", "years", "=13", "years=", "years=-1", "years=+1", "years=x", "years=99999999999"] {
            assert!(number(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_are_human() {
        assert_eq!(duration("7d"), Ok(Duration::from_secs(7 * 24 * 3600)));
        assert_eq!(duration("12h"), Ok(Duration::from_secs(12 * 3600)));
        assert_eq!(duration("60s"), Ok(Duration::from_secs(60)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        for bad in ["", "7", "d", "7 fortnights", "-1s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,12}") {
            let _ = (month(&text), duration(&text), number(&text));
        }

        #[test]
        fn months_read_back(year in 1000u32..=9999, m in 1u32..=12) {
            prop_assert_eq!(month(&crate::output::month_text(year * 100 + m)), Ok(year * 100 + m));
        }
    }
}
