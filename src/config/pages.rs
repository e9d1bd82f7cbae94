//! Section `pages`: what people read on our own pages, in the operator's words and their language.

use std::collections::BTreeMap;

use url::Url;

/// The pages there are, by the word that a JSON client is told (`error`), and whether each names a wait.
pub(crate) const PAGES: [(&str, Waits); 25] = [
    ("bad_gateway", Waits::Yes),
    ("bad_request", Waits::No),
    ("cannot_tell", Waits::No),
    ("content_too_large", Waits::No),
    ("email_unverified", Waits::No),
    ("expectation_failed", Waits::No),
    ("forbidden", Waits::No),
    ("gateway_timeout", Waits::Yes),
    ("head_too_large", Waits::No),
    ("internal", Waits::Yes),
    ("loop", Waits::Yes),
    ("method_not_allowed", Waits::No),
    ("misdirected", Waits::No),
    ("not_found", Waits::No),
    ("not_implemented", Waits::Yes),
    ("not_linkable", Waits::No),
    ("not_now", Waits::No),
    ("overloaded", Waits::Yes),
    ("request_timeout", Waits::No),
    ("sign_in_broken", Waits::No),
    ("sign_in_unavailable", Waits::Yes),
    ("tombstone", Waits::No),
    ("too_many_tries", Waits::No),
    ("try_again", Waits::Yes),
    ("uri_too_long", Waits::No),
];

/// The short texts that several pages share, with what they say unless somebody says otherwise.
pub(crate) const LABELS: [(&str, &str); 4] = [
    ("reference", "Reference: {request_id}"),
    ("sign_in_again", "Sign in again"),
    ("sign_in_by_email", "Sign in by e-mail"),
    ("support", "Get help"),
];

/// Whether a page comes with a wait, so that its text may name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waits {
    Yes,
    No,
}

/// Section `pages`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pages {
    /// The language of `wording` and of our own texts, a BCP 47 tag.
    pub(crate) language: String,
    /// Linked from every page: `https:` or `mailto:`.
    pub(crate) support_url: Option<Url>,
    pub(crate) wording: Wording,
    /// By language tag, for those who prefer it.
    pub(crate) translations: BTreeMap<String, Wording>,
}

impl Default for Pages {
    fn default() -> Self {
        Self {
            language: "en".into(),
            support_url: None,
            wording: Wording::default(),
            translations: BTreeMap::new(),
        }
    }
}

/// Texts in the place of our own; plain text, in which `{request_id}` and `{retry_after}` (whole seconds) are filled
/// in. Keys are those of [`PAGES`] and [`LABELS`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wording {
    pub(crate) texts: BTreeMap<String, PageText>,
    pub(crate) labels: BTreeMap<String, String>,
}

/// One page's words; what is absent stays ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PageText {
    pub(crate) title: Option<String>,
    /// Paragraphs, one a line.
    pub(crate) text: Option<String>,
}
