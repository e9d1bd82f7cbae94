//! How long to leave a service alone, from the fields it sends.

use std::time::Duration;

use http::{HeaderMap, header};

pub(crate) const LEAST_WAIT: Duration = Duration::from_secs(1);
/// Fault matrix: a wait is passed on up to here.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// The end of the limit's window by the organisation's own clock: `X-Rate-Limit-Reset` (epoch seconds) minus
/// `Date`, so that our clock does not matter; else `Retry-After`.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let reset = number(headers, "x-rate-limit-reset");
    let now = headers.get(header::DATE).and_then(|date| epoch_seconds(date.to_str().ok()?));
    match (reset, now) {
        (Some(reset), Some(now)) => Some(clamped(reset.saturating_sub(now))),
        _ => retry_after_field(headers),
    }
}

/// `Retry-After`, in seconds or as a date by the service's own clock.
pub(crate) fn retry_after_field(headers: &HeaderMap) -> Option<Duration> {
    let until = || {
        let date = |name| epoch_seconds(headers.get(name)?.to_str().ok()?);
        Some(date(header::RETRY_AFTER)?.saturating_sub(date(header::DATE)?))
    };
    number(headers, "retry-after").or_else(until).map(clamped)
}

fn clamped(seconds: u64) -> Duration {
    Duration::from_secs(seconds).clamp(LEAST_WAIT, LONGEST_WAIT)
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// An IMF-fixdate (RFC 9110 §5.6.7), `Sun, 06 Nov 1994 08:49:37 GMT`; the obsolete spellings are not sent any more.
fn epoch_seconds(date: &str) -> Option<u64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (_, date) = date.split_once(", ")?;
    let [day, month, year, time, "GMT"] = date.split(' ').collect::<Vec<_>>()[..] else { return None };
    let [hour, minute, second] = time.split(':').collect::<Vec<_>>()[..] else { return None };
    let month = u64::try_from(MONTHS.iter().position(|name| *name == month)?).ok()? + 1;
    let (day, year) = (day.parse::<u64>().ok()?, year.parse::<u64>().ok()?);
    let [hour, minute, second] =
        [hour.parse::<u64>().ok()?, minute.parse::<u64>().ok()?, second.parse::<u64>().ok()?];
    if !(1970..=9999).contains(&year) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    Some(days_before(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
}

/// Days from 1970-01-01, in years that begin on 1 March, so that the leap day is the last of its year.
fn days_before(year: u64, month: u64, day: u64) -> u64 {
    let year = year - u64::from(month <= 2);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_date_is_read_to_the_second() {
        for (date, seconds) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
            ("Thu, 29 Feb 2024 23:59:59 GMT", Some(1_709_251_199)),
            ("Fri, 01 Mar 2024 00:00:00 GMT", Some(1_709_251_200)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 08:49:37 CET", None),
            ("Sun, 06 Nov 1994 25:49:37 GMT", None),
            ("", None),
        ] {
            assert_eq!(epoch_seconds(date), seconds, "{date}");
        }
    }

    #[test]
    fn a_wait_is_counted_by_their_clock_and_clamped() {
        let wait = |reset: &'static str, date: Option<&'static str>, field: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert("x-rate-limit-reset", HeaderValue::from_static(reset));
            date.map(|date| headers.insert(header::DATE, HeaderValue::from_static(date)));
            field.map(|field| headers.insert(header::RETRY_AFTER, HeaderValue::from_static(field)));
            retry_after(&headers).map(|wait| wait.as_secs())
        };
        let date = Some("Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(wait("784111807", date, None), Some(30));
        assert_eq!(wait("784111000", date, None), Some(1));
        assert_eq!(wait("999999999", date, None), Some(60));
        assert_eq!(wait("784111807", None, Some("7")), Some(7));
        assert_eq!(wait("soon", date, None), None);
        assert_eq!(wait("soon", date, Some("Sun, 06 Nov 1994 08:50:07 GMT")), Some(30));
        assert_eq!(wait("soon", date, Some("Sun, 06 Nov 1994 09:50:07 GMT")), Some(60));
        assert_eq!(wait("soon", None, Some("Sun, 06 Nov 1994 08:50:07 GMT")), None);
    }
}
