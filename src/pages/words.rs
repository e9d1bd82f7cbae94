//! Which words a page says: the operator's where there are any, in a language the browser prefers, else ours.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, header::ACCEPT_LANGUAGE};

use crate::config::{self, LABELS, Wording};

/// As much of a browser's wish is kept as fits; the first languages are the ones that count.
const WISH_BYTES: usize = 48;

/// Scripts that run from right to left, by language.
const RIGHT_TO_LEFT: [&str; 5] = ["ar", "fa", "he", "ur", "yi"];

/// The beginning of an `Accept-Language`, small enough to be kept for every request that may end on a page of ours.
#[derive(Clone, Copy)]
pub(crate) struct Wish {
    bytes: [u8; WISH_BYTES],
    length: u8,
}

impl std::fmt::Debug for Wish {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wish")
    }
}

impl Wish {
    /// No wish at all.
    pub(crate) const NONE: Self = Self { bytes: [0; WISH_BYTES], length: 0 };

    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut wish = Self::NONE;
        let Some(value) = headers.get(ACCEPT_LANGUAGE) else { return wish };
        let value = value.as_bytes();
        let mut length = value.len().min(WISH_BYTES);
        if length < value.len() {
            // A tag that is cut through is another tag.
            let kept = value.get(..length).unwrap_or_default();
            length = kept.iter().rposition(|byte| *byte == b',').unwrap_or(0);
        }
        if let (Some(to), Some(from)) = (wish.bytes.get_mut(..length), value.get(..length)) {
            to.copy_from_slice(from);
            wish.length = u8::try_from(length).unwrap_or(0);
        }
        wish
    }

    /// Language tags, the most wanted first (RFC 9110 §12.5.4); those with `q=0` are not wanted.
    fn tags(&self) -> Vec<&str> {
        let text =
            self.bytes.get(..usize::from(self.length)).and_then(|bytes| std::str::from_utf8(bytes).ok());
        let weighed = text.unwrap_or_default().split(',').filter_map(|part| {
            let (tag, weight) =
                part.split_once(';').map_or((part, None), |(tag, weight)| (tag, Some(weight)));
            let weight = match weight {
                None => 1000,
                Some(weight) => thousandths(weight.trim().strip_prefix("q=")?)?,
            };
            let tag = tag.trim();
            (weight > 0 && !tag.is_empty()).then_some((weight, tag))
        });
        let mut weighed: Vec<(u32, &str)> = weighed.collect();
        weighed.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
        weighed.into_iter().map(|(_, tag)| tag).collect()
    }
}

/// `0.75` as 750.
fn thousandths(weight: &str) -> Option<u32> {
    let (whole, fraction) = weight.split_once('.').unwrap_or((weight, ""));
    let whole: u32 = whole.parse().ok().filter(|whole| *whole <= 1)?;
    let fraction: u32 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    Some((whole * 1000 + fraction).min(1000))
}

/// The words of one configuration.
#[derive(Clone, Debug, Default)]
pub(super) struct Words(Arc<config::Pages>);

/// The words of one page, in one language.
pub(super) struct Chosen<'a> {
    all: &'a config::Pages,
    wording: &'a Wording,
    pub(super) language: &'a str,
    page: &'a str,
}

impl Words {
    pub(super) fn new(pages: &config::Pages) -> Self {
        Self(Arc::new(pages.clone()))
    }

    /// The wording for a page: of the first wanted language that says the whole page.
    pub(super) fn choose<'a>(&'a self, page: &'a str, wish: &Wish) -> Chosen<'a> {
        let all = &*self.0;
        let own = Chosen { all, wording: &all.wording, language: &all.language, page };
        for tag in wish.tags() {
            if same_language(tag, &all.language) {
                return own;
            }
            let wanted = all.translations.iter().filter(|(known, _)| same_language(tag, known));
            // The very tag, else a language of that name: de-AT takes de, and de takes de-CH.
            let wanted = wanted.max_by_key(|(known, _)| known.eq_ignore_ascii_case(tag));
            let wanted = wanted.filter(|(_, wording)| {
                wording.texts.get(page).is_some_and(|text| text.title.is_some() && text.text.is_some())
            });
            if let Some((language, wording)) = wanted {
                return Chosen { all, wording, language, page };
            }
        }
        own
    }
}

impl Chosen<'_> {
    pub(super) fn title(&self, ours: &str) -> String {
        let replaced = self.wording.texts.get(self.page).and_then(|text| text.title.as_deref());
        replaced.unwrap_or(ours).to_owned()
    }

    /// Paragraphs, one a line.
    pub(super) fn paragraphs(&self, ours: &[&str]) -> Vec<String> {
        match self.wording.texts.get(self.page).and_then(|text| text.text.as_deref()) {
            Some(text) => {
                text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
            }
            None => ours.iter().map(|text| (*text).to_owned()).collect(),
        }
    }

    /// A label by what it says in our own words; the one of the configuration's language where this one has none.
    pub(super) fn label(&self, ours: &str) -> String {
        let replaced = LABELS.iter().find(|(_, default)| *default == ours).and_then(|(name, _)| {
            self.wording.labels.get(*name).or_else(|| self.all.wording.labels.get(*name))
        });
        replaced.map_or(ours, String::as_str).to_owned()
    }

    pub(super) fn support(&self) -> Option<(String, &str)> {
        let url = self.all.support_url.as_ref()?;
        Some((self.label("Get help"), url.as_str()))
    }

    pub(super) fn is_right_to_left(&self) -> bool {
        RIGHT_TO_LEFT.contains(&primary(self.language).to_ascii_lowercase().as_str())
    }
}

/// Fills in what a page knows; validation let nothing else pass.
pub(super) fn filled(text: &str, request_id: &str, wait: Option<Duration>) -> String {
    let text = text.replace("{request_id}", request_id);
    match wait {
        Some(wait) => text.replace("{retry_after}", &wait.as_secs().to_string()),
        None => text,
    }
}

fn primary(tag: &str) -> &str {
    tag.split('-').next().unwrap_or(tag)
}

fn same_language(wanted: &str, known: &str) -> bool {
    primary(wanted).eq_ignore_ascii_case(primary(known))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use http::HeaderValue;

    use super::*;
    use crate::config::PageText;

    fn wish(text: &str) -> Wish {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_LANGUAGE, HeaderValue::from_str(text).unwrap());
        Wish::of(&headers)
    }

    fn words() -> Words {
        let page = |title: &str| PageText { title: Some(title.into()), text: Some("t".into()) };
        let wording = |title: &str| Wording {
            texts: BTreeMap::from([("overloaded".to_owned(), page(title))]),
            labels: BTreeMap::new(),
        };
        let half = Wording {
            texts: BTreeMap::from([(
                "overloaded".to_owned(),
                PageText { title: Some("Seulement".into()), text: None },
            )]),
            labels: BTreeMap::new(),
        };
        Words::new(&config::Pages {
            translations: [("de", wording("Voll")), ("pt-br", wording("Cheio")), ("fr", half)]
                .map(|(tag, wording)| (tag.to_owned(), wording))
                .into(),
            ..config::Pages::default()
        })
    }

    #[test]
    fn a_page_is_shown_in_the_first_wanted_language_that_says_all_of_it() {
        let words = words();
        for (accept, language) in [
            ("de-AT,de;q=0.9,en;q=0.8", "de"),
            ("en-GB,de;q=0.9", "en"),
            ("de;q=0.5, en;q=0.9", "en"),
            ("pt", "pt-br"),
            ("de;q=0, en", "en"),
            ("fr, de;q=0.4", "de"),
            ("xx", "en"),
            ("", "en"),
            (";;;,q=,*;q=2", "en"),
        ] {
            assert_eq!(words.choose("overloaded", &wish(accept)).language, language, "{accept}");
        }
        assert_eq!(words.choose("internal", &wish("de")).language, "en", "it says nothing of this page");
    }

    #[test]
    fn a_long_wish_is_cut_between_tags() {
        let long = format!("{}de", "xx-YY;q=0.1,".repeat(20));
        let wish = wish(&long);
        assert!(wish.tags().iter().all(|tag| *tag == "xx-YY"), "{:?}", wish.tags());
        assert_eq!(self::wish(&"x".repeat(500)).tags(), Vec::<&str>::new());
    }

    proptest::proptest! {
        #[test]
        fn any_wish_is_answered(bytes in proptest::collection::vec(32_u8..127, 0..80)) {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_LANGUAGE, HeaderValue::from_bytes(&bytes).unwrap());
            let words = words();
            let wish = Wish::of(&headers);
            let chosen = words.choose("overloaded", &wish);
            proptest::prop_assert!(["en", "de", "pt-br"].contains(&chosen.language));
        }
    }
}
