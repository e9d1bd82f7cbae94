//! Points in time as others write them: RFC 3339 in JSON, the fixed form of RFC 9110 §5.6.7 in headers, X.509's in
//! certificates.

use super::Timestamp;

/// A point like `2026-01-31T09:15:00.25Z` or `…+02:00`; `None` for anything else and before 1970.
pub(crate) fn rfc_3339(text: &str) -> Option<Timestamp> {
    let (date, rest) = text.split_at_checked(10)?;
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let (time, rest) = rest.split_at_checked(8)?;
    let (fraction, zone) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at_checked(rest.find(|c: char| !c.is_ascii_digit())?)?,
        None => ("", rest),
    };
    let mut parts = date.splitn(3, '-');
    let (year, month, day) =
        (digits(parts.next()?, 4)?, digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    let seconds = seconds_since_epoch((year, month, day), time)?.checked_sub(offset(zone)?)?;
    if fraction.len() > 9 || (fraction.is_empty() && rest.starts_with('.')) {
        return None;
    }
    let millis = format!("{fraction:0<3}").get(..3)?.parse::<u64>().ok()?;
    Some(Timestamp::from_millis(u64::try_from(seconds).ok()?.checked_mul(1000)?.checked_add(millis)?))
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A point like `Sun, 06 Nov 1994 08:49:37 GMT`; the two obsolete forms are not read.
pub(crate) fn http_date(text: &str) -> Option<Timestamp> {
    let mut words = text.strip_suffix(" GMT")?.split_once(", ")?.1.splitn(4, ' ');
    let day = digits(words.next()?, 2)?;
    let month = words.next()?;
    let month = MONTHS.iter().zip(1_i64..).find(|(name, _)| **name == month)?.1;
    let year = digits(words.next()?, 4)?;
    let seconds = seconds_since_epoch((year, month, day), words.next()?)?;
    Some(Timestamp::from_seconds(u64::try_from(seconds).ok()?))
}

/// The fixed form of a header's date (RFC 9110 §5.6.7).
#[cfg(any(test, feature = "simulate"))]
pub(crate) fn to_http_date(at: Timestamp) -> String {
    const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let days = at.seconds() / 86_400;
    let (year, month, day) = super::civil_from_days(days);
    let weekday = WEEKDAYS.iter().cycle().nth(usize::try_from(days % 7).unwrap_or(0)).unwrap_or(&"Thu");
    let month = usize::try_from(month).ok().and_then(|month| MONTHS.get(month - 1)).unwrap_or(&"Jan");
    let of_day = at.seconds() % 86_400;
    let (h, m, s) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{weekday}, {day:02} {month} {year:04} {h:02}:{m:02}:{s:02} GMT")
}

/// A certificate's `UTCTime` (`YYMMDDHHMMSSZ`, 1950 to 2049) or `GeneralizedTime` (`YYYYMMDDHHMMSSZ`), RFC 5280
/// §4.1.2.5; what lies before 1970 is the epoch.
pub(crate) fn certificate_time(text: &str) -> Option<Timestamp> {
    let (date, time) = text.strip_suffix('Z')?.split_at_checked(text.len().checked_sub(7)?)?;
    let (year, month_day) = match date.len() {
        6 => (digits(date.get(..2)?, 2)?, date.get(2..)?),
        8 => (digits(date.get(..4)?, 4)?, date.get(4..)?),
        _ => return None,
    };
    let year = if date.len() == 8 { year } else { year + if year < 50 { 2000 } else { 1900 } };
    let (month, day) = (digits(month_day.get(..2)?, 2)?, digits(month_day.get(2..)?, 2)?);
    let time = format!("{}:{}:{}", time.get(..2)?, time.get(2..4)?, time.get(4..)?);
    let seconds = seconds_since_epoch((year, month, day), &time)?;
    Some(Timestamp::from_seconds(u64::try_from(seconds).unwrap_or(0)))
}

fn seconds_since_epoch((year, month, day): (i64, i64, i64), time: &str) -> Option<i64> {
    let mut parts = time.splitn(3, ':');
    let (h, m, s) = (digits(parts.next()?, 2)?, digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    // 60 is a leap second.
    let in_range = (1..=12).contains(&month) && (1..=31).contains(&day) && h <= 23 && m <= 59 && s <= 60;
    in_range.then(|| days_since_epoch(year, month, day) * 86_400 + h * 3600 + m * 60 + s)
}

/// Days from 1970-01-01, in 400-year eras that begin on 1 March, so that the leap day is the last day of a year.
const fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Seconds east of UTC.
fn offset(zone: &str) -> Option<i64> {
    if zone == "Z" || zone == "z" {
        return Some(0);
    }
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let (hours, minutes) = zone.strip_prefix(['+', '-'])?.split_once(':')?;
    let (hours, minutes) = (digits(hours, 2)?, digits(minutes, 2)?);
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 3600 + minutes * 60))
}

/// Exactly `count` decimal digits.
fn digits(text: &str, count: usize) -> Option<i64> {
    let fits = text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    fits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_3339_is_read_with_any_fraction_and_offset() {
        for text in [
            "1970-01-01T00:00:00Z",
            "2000-02-29T00:00:00.1Z",
            "2024-02-29T23:59:59.999999999Z",
            "2026-11-24T21:30:00.123456Z",
        ] {
            let read = rfc_3339(text).unwrap().to_string();
            assert_eq!(read.get(..19), text.get(..19), "{text}");
        }
        assert_eq!(rfc_3339("2026-01-31T11:15:00.25+02:00").unwrap().to_string(), "2026-01-31T09:15:00.250Z");
        for bad in
            ["", "2026-01-31", "2026-13-01T00:00:00Z", "2026-01-31T00:00:00", "2026-01-31T00:00:00.Z", "ä"]
        {
            assert_eq!(rfc_3339(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_certificate_names_its_end_in_two_forms() {
        let read = |text: &str| certificate_time(text).map(|at| at.to_string());
        assert_eq!(read("491231235959Z").as_deref(), Some("2049-12-31T23:59:59.000Z"));
        assert_eq!(read("500101000000Z").as_deref(), Some("1970-01-01T00:00:00.000Z"));
        assert_eq!(read("21060207062815Z").as_deref(), Some("2106-02-07T06:28:15.000Z"));
        for bad in ["", "Z", "4912312359Z", "491231235959", "491331235959Z", "äääääääZ"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_header_date_is_read() {
        let read = http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        assert_eq!(read.to_string(), "1994-11-06T08:49:37.000Z");
        assert_eq!(http_date("Sunday, 06-Nov-94 08:49:37 GMT"), None);
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Thu, 29 Feb 2024 23:59:59 GMT",
            "Thu, 01 Jan 1970 00:00:00 GMT",
        ] {
            assert_eq!(to_http_date(http_date(text).unwrap()), text);
        }
    }
}
