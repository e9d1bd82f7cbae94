//! Section `pages`: texts are plain, bounded, and fill in nothing but what a page knows.

use std::collections::BTreeMap;

use url::Url;

use super::Check;
use crate::config::{LABELS, PAGES, PageText, Pages, Waits, Wording, problem::At, raw};

const TITLE_CHARS: usize = 120;
const TEXT_CHARS: usize = 1000;
const LABEL_CHARS: usize = 80;
/// More languages than this are a mistake.
const LANGUAGES: usize = 50;

const REQUEST_ID: &str = "{request_id}";
const RETRY_AFTER: &str = "{retry_after}";

impl Check<'_> {
    pub(super) fn pages(&mut self, raw: raw::Pages) -> Pages {
        let at = At::section("pages");
        let language = raw.language.unwrap_or_else(|| Pages::default().language);
        self.language(&at.key("language"), &language);
        let support_url = raw.support_url.and_then(|text| self.support_url(&at.key("support_url"), &text));
        let wording = self.wording(&at, raw.texts, raw.labels);
        let translations_at = at.key("translations");
        let translations = raw.translations.unwrap_or_default();
        if translations.len() > LANGUAGES {
            self.problem(&translations_at, format!("has more than {LANGUAGES} languages"));
        }
        let translations = translations.into_iter().map(|(tag, translation)| {
            let at = translations_at.key(&tag);
            self.language(&at, &tag);
            if tag.eq_ignore_ascii_case(&language) {
                self.problem(&at, "is pages.language already: put its texts under pages.texts");
            }
            (tag.to_ascii_lowercase(), self.wording(&at, translation.texts, translation.labels))
        });
        let translations = translations.collect();
        Pages { language, support_url, wording, translations }
    }

    /// A language tag as far as one is used here (BCP 47 §2.1: language, script, region).
    fn language(&mut self, at: &At, tag: &str) {
        let mut parts = tag.split('-');
        let is_language = parts.next().is_some_and(|part| {
            (2..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphabetic())
        });
        let is_rest = parts
            .all(|part| (2..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric()));
        if !is_language || !is_rest || tag.len() > 20 {
            self.problem(at, "must be a language tag such as en, de or pt-BR");
        }
    }

    fn support_url(&mut self, at: &At, text: &str) -> Option<Url> {
        let url = Url::parse(text).ok().filter(|url| {
            let is_web = url.scheme() == "https" && url.host().is_some() && url.username().is_empty();
            let is_mail = url.scheme() == "mailto" && url.path().contains('@');
            (is_web || is_mail) && url.password().is_none() && text.len() <= 500
        });
        if url.is_none() {
            self.problem(
                at,
                "must be an address such as https://example.com/help or mailto:help@example.com",
            );
        }
        url
    }

    fn wording(
        &mut self,
        at: &At,
        texts: Option<BTreeMap<String, raw::PageText>>,
        labels: Option<BTreeMap<String, String>>,
    ) -> Wording {
        let texts_at = at.key("texts");
        let texts = texts.unwrap_or_default().into_iter().filter_map(|(name, text)| {
            let at = texts_at.key(&name);
            let Some((_, waits)) = PAGES.iter().find(|(known, _)| *known == name) else {
                let known: Vec<&str> = PAGES.iter().map(|(known, _)| *known).collect();
                self.problem(&at, format!("is no page; there are {}", known.join(", ")));
                return None;
            };
            let allowed: &[&str] =
                if *waits == Waits::Yes { &[REQUEST_ID, RETRY_AFTER] } else { &[REQUEST_ID] };
            if let Some(title) = &text.title {
                self.plain(&at.key("title"), title, TITLE_CHARS, Lines::One, allowed);
            }
            if let Some(text) = &text.text {
                self.plain(&at.key("text"), text, TEXT_CHARS, Lines::Several, allowed);
            }
            Some((name, PageText { title: text.title, text: text.text }))
        });
        let texts = texts.collect();
        let labels_at = at.key("labels");
        let labels = labels.unwrap_or_default().into_iter().filter_map(|(name, label)| {
            let at = labels_at.key(&name);
            if !LABELS.iter().any(|(known, _)| *known == name) {
                let known = LABELS.map(|(known, _)| known);
                self.problem(&at, format!("is no label; there are {}", known.join(", ")));
                return None;
            }
            let is_reference = name == "reference";
            let allowed: &[&str] = if is_reference { &[REQUEST_ID] } else { &[] };
            self.plain(&at, &label, LABEL_CHARS, Lines::One, allowed);
            if is_reference && !label.contains(REQUEST_ID) {
                self.problem(&at, "must hold {request_id}: by it support finds what went wrong");
            }
            Some((name, label))
        });
        Wording { texts, labels: labels.collect() }
    }

    /// Plain text: bounded, without controls, and no placeholder but these.
    fn plain(&mut self, at: &At, text: &str, most: usize, lines: Lines, allowed: &[&str]) {
        if text.trim().is_empty() {
            self.problem(at, "is empty: leave it out to keep our own text");
        }
        if text.chars().count() > most {
            self.problem(at, format!("is longer than {most} characters"));
        }
        let odd = |c: char| c.is_control() && !(c == '\n' && lines == Lines::Several);
        if text.contains(odd) {
            self.problem(at, "holds a control character, or a line break where one line is meant");
        }
        let rest = allowed.iter().fold(text.to_owned(), |text, placeholder| text.replace(placeholder, ""));
        if rest.contains(['{', '}']) {
            let known = if allowed.is_empty() { "none".to_owned() } else { allowed.join(", ") };
            self.problem(at, format!("has a placeholder that is not known here; there are: {known}"));
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Lines {
    One,
    Several,
}
