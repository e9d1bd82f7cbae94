//! Pages of lists. A page token is opaque to callers: it wraps the number of items that stand before the page.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{failure::Failure, reader::Query};

/// One page as the lists answer it, with `items` under `name` as `show` words them.
pub(super) fn page<T>(
    query: &Query,
    size: usize,
    name: &str,
    items: &[T],
    show: impl Fn(&T) -> Value,
) -> Result<Value, Failure> {
    let start = match query.get("page_token") {
        None | Some("") => 0,
        Some(token) => start_of(token)
            .filter(|start| *start <= items.len())
            .ok_or_else(|| Failure::field("page_token", "must be a token of this list"))?,
    };
    let rest = items.get(start..).unwrap_or_default();
    let shown: Vec<Value> = rest.iter().take(size).map(show).collect();
    let next = if rest.len() > size { token_of(start + size) } else { String::new() };
    let previous = if start > 0 { token_of(start.saturating_sub(size)) } else { String::new() };
    Ok(json!({
        name: shown, "total_size": items.len(), "next_page_token": next, "prev_page_token": previous,
    }))
}

fn token_of(start: usize) -> String {
    URL_SAFE_NO_PAD.encode(format!("from {start}"))
}

fn start_of(token: &str) -> Option<usize> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    text.strip_prefix("from ")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_lead_through_the_whole_list_and_back() {
        let items: Vec<Value> = (0..5).map(Value::from).collect();
        let mut seen = Vec::new();
        let mut query = String::new();
        loop {
            let page = page(&Query::of(Some(&query)), 2, "items", &items, Value::clone).unwrap();
            assert_eq!(page["total_size"], 5);
            assert_eq!(page["prev_page_token"] == "", seen.is_empty());
            seen.extend(page["items"].as_array().unwrap().clone());
            match page["next_page_token"].as_str().unwrap() {
                "" => break,
                next => query = format!("page_token={next}"),
            }
        }
        assert_eq!(seen, items);
        assert!(page(&Query::of(Some("page_token=nonsense")), 2, "items", &items, Value::clone).is_err());
    }
}
