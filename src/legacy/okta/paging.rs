//! Lists come page by page, each with a link to the next.

use http::{HeaderMap, header};

/// The address in `Link: <…>; rel="next"`: one field per link, or several in one (RFC 8288 §3).
pub(super) fn next_link(headers: &HeaderMap) -> Option<String> {
    let fields = headers.get_all(header::LINK).iter().filter_map(|field| field.to_str().ok());
    fields.flat_map(links).find(|(_, parameters)| is_next(parameters)).map(|(address, _)| address.to_owned())
}

/// The links of one field: address and parameters. A comma inside `<…>` belongs to the address.
fn links(field: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = field;
    std::iter::from_fn(move || {
        let (address, after) = rest.split_once('<')?.1.split_once('>')?;
        let begins_a_link =
            |at: &usize| after.get(at + 1..).is_some_and(|next| next.trim_start().starts_with('<'));
        let mut commas = after.match_indices(',').map(|(at, _)| at);
        let end = commas.find(begins_a_link).unwrap_or(after.len());
        let (parameters, next) = after.split_at(end);
        rest = next;
        Some((address, parameters))
    })
}

fn is_next(parameters: &str) -> bool {
    parameters.split(';').filter_map(|parameter| parameter.split_once('=')).any(|(name, value)| {
        name.trim().eq_ignore_ascii_case("rel") && value.trim().trim_matches('"').eq_ignore_ascii_case("next")
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_next_page_is_found_among_links() {
        let mut headers = HeaderMap::new();
        assert_eq!(next_link(&headers), None);
        headers.append(header::LINK, HeaderValue::from_static("<https://o.example/a?x=1,2>; rel=\"self\""));
        assert_eq!(next_link(&headers), None);
        headers.append(
            header::LINK,
            HeaderValue::from_static(
                "<https://o.example/p>; rel=\"prev\", <https://o.example/n,<2>; title=n; rel=next",
            ),
        );
        assert_eq!(next_link(&headers).as_deref(), Some("https://o.example/n,<2"));
    }
}
