//! Section `pages`.

use std::collections::BTreeMap;

use crate::config::{PageText, Pages, Wording, raw};

pub(super) fn pages(pages: &Pages) -> raw::Pages {
    let translations = pages.translations.iter().map(|(tag, wording)| {
        let translation =
            raw::Translation { texts: Some(texts(wording)), labels: Some(wording.labels.clone()) };
        (tag.clone(), translation)
    });
    raw::Pages {
        language: Some(pages.language.clone()),
        support_url: pages.support_url.as_ref().map(ToString::to_string),
        texts: Some(texts(&pages.wording)),
        labels: Some(pages.wording.labels.clone()),
        translations: Some(translations.collect()),
    }
}

fn texts(wording: &Wording) -> BTreeMap<String, raw::PageText> {
    let raw = |text: &PageText| raw::PageText { title: text.title.clone(), text: text.text.clone() };
    wording.texts.iter().map(|(name, text)| (name.clone(), raw(text))).collect()
}
