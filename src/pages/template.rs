//! The one page: plain HTML that a browser, a screen reader and a phone can show, with nothing from elsewhere.

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::STANDARD};

/// The whole style. Colours keep a contrast of at least 7:1 in light and dark (WCAG 2.2, 1.4.6).
const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1b1f24;--paper:#fff;--soft:#515963;--line:#d0d7de;--act:#0b4fa8;--on-act:#fff}\
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--paper:#10151b;--soft:#a9b4c0;--line:#3a434d;--act:#9cc4ff;--on-act:#0a1626}}\
*{box-sizing:border-box}\
body{margin:0;padding:12vh 1.25rem 2rem;font:1rem/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper)}\
main,footer{max-width:34rem;margin:0 auto;overflow-wrap:anywhere}\
h1{font-size:1.5rem;line-height:1.25;margin:0 0 .75rem;text-wrap:balance}\
p{margin:0 0 1rem}\
a{color:var(--act)}\
a.act{display:inline-block;margin-top:.25rem;padding:.7rem 1.2rem;border-radius:.4rem;background:var(--act);color:var(--on-act);text-decoration:none;font-weight:600}\
a:focus-visible{outline:3px solid var(--act);outline-offset:3px}\
footer{margin-top:2rem;padding-top:.75rem;border-top:1px solid var(--line);color:var(--soft);font-size:.8125rem}\
footer p{margin:0 0 .25rem}";

/// What one page says.
pub(super) struct Text<'a> {
    /// The language of the texts, a BCP 47 tag.
    pub(super) language: &'a str,
    pub(super) right_to_left: bool,
    pub(super) title: &'a str,
    pub(super) paragraphs: &'a [String],
    /// What the person can do next: a label and an address of ours.
    pub(super) action: Option<(&'a str, &'a str)>,
    /// How support finds this request.
    pub(super) reference: &'a str,
    /// Where help is: a label and an address.
    pub(super) support: Option<(&'a str, &'a str)>,
}

/// The page as HTML.
pub(super) fn render(text: &Text<'_>) -> String {
    let mut html = String::with_capacity(2048);
    let (title, language) = (escape(text.title), escape(text.language));
    let direction = if text.right_to_left { " dir=\"rtl\"" } else { "" };
    let _ = write!(
        html,
        "<!doctype html>\n<html lang=\"{language}\"{direction}>\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n"
    );
    for paragraph in text.paragraphs {
        let _ = writeln!(html, "<p>{}</p>", escape(paragraph));
    }
    if let Some((label, address)) = text.action {
        let _ = writeln!(html, "<p><a class=\"act\" href=\"{}\">{}</a></p>", escape(address), escape(label));
    }
    let _ = write!(html, "</main>\n<footer>\n<p>{}</p>\n", escape(text.reference));
    if let Some((label, address)) = text.support {
        let _ = writeln!(html, "<p><a href=\"{}\">{}</a></p>", escape(address), escape(label));
    }
    html.push_str("</footer>\n</body>\n</html>\n");
    html
}

/// The policy that goes with every page: our one style, and nothing else at all.
pub(super) fn content_security_policy() -> String {
    let hash = STANDARD.encode(digest(&SHA256, STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    )
}

/// Text inside an element or a quoted attribute.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            plain => safe.push(plain),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_said_on_a_page_becomes_markup() {
        let html = render(&Text {
            language: "en\"><b>",
            right_to_left: true,
            title: "<b>",
            paragraphs: &["a & b".to_owned()],
            action: Some(("<b>Go", "/x?a=\"><script>")),
            reference: "'id'",
            support: Some(("<b>", "mailto:a@b.example?subject=\"><script>")),
        });
        assert!(
            !html.contains("<b>") && !html.contains("<script>") && html.contains(" dir=\"rtl\">"),
            "{html}"
        );
        assert!(html.contains("a &amp; b") && html.contains("&#39;id&#39;"));
    }
}
