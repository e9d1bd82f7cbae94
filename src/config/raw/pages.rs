//! Section `pages`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What people read on Crossfade's own pages.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Pages {
    /// The language of `texts` and `labels`, such as `de` or `pt-BR`. Default `en`.
    pub(in crate::config) language: Option<String>,
    /// Where people get help, linked from every page: an `https:` or `mailto:` address. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) support_url: Option<String>,
    /// Other words for a page, by its name. Plain text; a line break begins a paragraph. `{request_id}` and, on pages
    /// that name a wait, `{retry_after}` (seconds) are filled in. Default none.
    pub(in crate::config) texts: Option<BTreeMap<String, PageText>>,
    /// Other words for what pages share: `sign_in_by_email`, `sign_in_again`, `support`, `reference`. Default none.
    pub(in crate::config) labels: Option<BTreeMap<String, String>>,
    /// Texts and labels by language, for browsers that prefer it. A page is shown in a language that has both its
    /// title and its text. Default none.
    pub(in crate::config) translations: Option<BTreeMap<String, Translation>>,
}

/// Texts in one language.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Translation {
    /// As in `pages`.
    pub(in crate::config) texts: Option<BTreeMap<String, PageText>>,
    /// As in `pages`.
    pub(in crate::config) labels: Option<BTreeMap<String, String>>,
}

/// One page's words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct PageText {
    /// The heading, at most 120 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) title: Option<String>,
    /// At most 1000 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) text: Option<String>,
}
