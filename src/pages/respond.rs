//! Facts to HTTP: exhaustive matches only, so that a new fact cannot be answered by accident.

use std::time::Duration;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, LOCATION, RETRY_AFTER},
};
use http_body_util::Full;
use serde_json::{Value, json};

use super::{
    Problem,
    template::{Text, content_security_policy, render},
    words::{self, Wish, filled},
};
use crate::{
    config::{self, Answer},
    login::{Closed, Refused},
};

/// An answer of ours.
pub(crate) type Page = Response<Full<Bytes>>;

/// How long a client waits before it tries again when nobody said otherwise.
const RETRY_AFTER_DEFAULT: Duration = Duration::from_secs(5);

/// The longest wait that is passed on (fault matrix: capped at 60 s).
const RETRY_AFTER_MAX: Duration = Duration::from_mins(1);

/// What the client can read, and the name under which support finds the request.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// The request's id.
    pub(crate) id: String,
    /// The client prefers JSON to a page.
    pub(crate) json: bool,
    /// The languages the person prefers.
    pub(crate) wish: Wish,
}

impl Asked {
    /// Reads what the client can read from its head.
    pub(crate) fn of(headers: &HeaderMap, id: String) -> Self {
        let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
        let json = accept.contains("json") && !accept.contains("text/html");
        Self { id, json, wish: Wish::of(headers) }
    }
}

/// Renders answers.
#[derive(Clone, Debug)]
pub(crate) struct Pages {
    policy: HeaderValue,
    /// Where people sign in by mailbox at Scalekit: our `initiate` route.
    mailbox_sign_in: String,
    words: words::Words,
}

/// The words of one answer.
struct Words {
    title: &'static str,
    paragraphs: &'static [&'static str],
}

impl Pages {
    /// `prefix` is where our own routes live.
    pub(crate) fn new(prefix: &str) -> Self {
        let policy = HeaderValue::from_str(&content_security_policy());
        Self {
            policy: policy.unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'")),
            mailbox_sign_in: format!("{prefix}initiate"),
            words: words::Words::default(),
        }
    }

    /// The same in the operator's words.
    pub(crate) fn worded(self, pages: &config::Pages) -> Self {
        Self { words: words::Words::new(pages), ..self }
    }

    /// The answer to a request that was refused or failed.
    pub(crate) fn problem(&self, problem: Problem, asked: &Asked) -> Page {
        let words = match problem {
            Problem::BadRequest
            | Problem::ExpectationFailed
            | Problem::Misdirected
            | Problem::NotImplemented
            | Problem::Loop => Words {
                title: "This request cannot be understood",
                paragraphs: &["Please go back and try again."],
            },
            Problem::MethodNotAllowed => {
                Words { title: "This is not possible here", paragraphs: &["Please go back."] }
            }
            Problem::RequestTimeout => Words {
                title: "The request took too long",
                paragraphs: &["It did not arrive in time. Please try again."],
            },
            Problem::ContentTooLarge | Problem::UriTooLong | Problem::HeadTooLarge => {
                Words { title: "The request is too large", paragraphs: &["Nothing was changed."] }
            }
            Problem::BadGateway | Problem::GatewayTimeout => Words {
                title: "The application does not answer",
                paragraphs: &["This is not your fault. Please try again in a moment."],
            },
            Problem::Overloaded => {
                Words { title: "Too busy right now", paragraphs: &["Please try again in a few seconds."] }
            }
            Problem::Internal => Words {
                title: "Something went wrong",
                paragraphs: &["This is not your fault. Please try again in a moment."],
            },
            Problem::NotFound => {
                Words { title: "There is no such page", paragraphs: &["Please check the address."] }
            }
            Problem::Forbidden => Words {
                title: "This sign-in did not come from this site",
                paragraphs: &["Please open the sign-in page and try again there."],
            },
        };
        // REL-33: every 5xx says when to come back.
        let retry = problem.status().is_server_error().then_some(RETRY_AFTER_DEFAULT);
        self.answer(problem.status(), problem.as_str(), &words, None, retry, asked)
    }

    /// The one answer to a rejected, unknown or locked sign-in, as the route configures it.
    pub(crate) fn rejected(answer: &Answer) -> Page {
        match answer {
            Answer::Redirect { location } => Self::see_other(location),
            Answer::Body { status, content_type, body } => {
                let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::UNAUTHORIZED);
                let mut page = Response::new(Full::new(Bytes::from(body.clone())));
                *page.status_mut() = status;
                if let Ok(content_type) = HeaderValue::from_str(content_type) {
                    page.headers_mut().insert(CONTENT_TYPE, content_type);
                }
                no_store(page)
            }
        }
    }

    /// Too many tries: one answer for every account there is or is not. The mailbox sign-in is offered to everybody,
    /// so that nobody is kept out by what others type.
    pub(crate) fn limited(&self, wait: Duration, asked: &Asked) -> Page {
        let words = Words {
            title: "Too many tries",
            paragraphs: &["Your password was not checked. Please wait a while, then try again."],
        };
        let offer = Some(("Sign in by e-mail", self.mailbox_sign_in.as_str()));
        let status = StatusCode::TOO_MANY_REQUESTS;
        let mut page = self.answer(status, "too_many_tries", &words, offer, None, asked);
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        page.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        page
    }

    /// "Could not ask": never "wrong password". Everybody is offered the mailbox sign-in, since offering it to some
    /// would tell who is who (design, "Settled").
    pub(crate) fn closed(&self, closed: Closed, asked: &Asked) -> Page {
        let (class, retry, offer) = match closed {
            Closed::Legacy { retry_after, .. } => {
                ("sign_in_unavailable", retry_after, Some(("Sign in by e-mail", &self.mailbox_sign_in)))
            }
            Closed::Store => ("sign_in_unavailable", None, None),
        };
        let words = Words {
            title: "Sign-in is not available right now",
            paragraphs: &["Your password was not checked. Please try again in a moment."],
        };
        let retry = Some(retry.unwrap_or(RETRY_AFTER_DEFAULT));
        let offer = offer.map(|(label, address)| (label, address.as_str()));
        self.answer(StatusCode::SERVICE_UNAVAILABLE, class, &words, offer, retry, asked)
    }

    /// Scalekit signed somebody in and no session is opened here.
    pub(crate) fn refused(&self, refused: Refused, asked: &Asked) -> Page {
        let (status, words, retry) = match refused {
            Refused::Tombstone => (
                StatusCode::FORBIDDEN,
                Words {
                    title: "This account has no access",
                    paragraphs: &["Please contact the people who run this application."],
                },
                None,
            ),
            Refused::EmailUnverified => (
                StatusCode::FORBIDDEN,
                Words {
                    title: "Your e-mail address is not confirmed",
                    paragraphs: &["Confirm the address first, then sign in again."],
                },
                None,
            ),
            Refused::NotLinkable => (
                StatusCode::FORBIDDEN,
                Words {
                    title: "This sign-in does not fit your account",
                    paragraphs: &["Please sign in the way you did before, or contact support."],
                },
                None,
            ),
            Refused::CannotTell => (
                StatusCode::FORBIDDEN,
                Words {
                    title: "You cannot sign in this way",
                    paragraphs: &["Please sign in the way you did before, or contact support."],
                },
                None,
            ),
            Refused::NotNow => (
                StatusCode::FORBIDDEN,
                Words {
                    title: "You cannot sign in this way yet",
                    paragraphs: &[
                        "Sign-in by e-mail is not open to your account at the moment.",
                        "Please sign in the way you did before.",
                    ],
                },
                None,
            ),
            Refused::TryAgain => (
                StatusCode::SERVICE_UNAVAILABLE,
                Words {
                    title: "Sign-in is not available right now",
                    paragraphs: &["Please try again in a moment."],
                },
                Some(RETRY_AFTER_DEFAULT),
            ),
        };
        // The same way would end here again.
        let ends_here = matches!(refused, Refused::NotNow | Refused::CannotTell);
        let again = (!ends_here).then_some(("Sign in again", self.mailbox_sign_in.as_str()));
        self.answer(status, refused.as_str(), &words, again, retry, asked)
    }

    /// A sign-in at Scalekit that came back broken, late, twice, or in another browser.
    pub(crate) fn sign_in_broken(&self, asked: &Asked) -> Page {
        let words = Words {
            title: "This sign-in cannot be finished",
            paragraphs: &["It is too old, was already used, or began in another browser."],
        };
        let again = Some(("Sign in again", self.mailbox_sign_in.as_str()));
        self.answer(StatusCode::BAD_REQUEST, "sign_in_broken", &words, again, None, asked)
    }

    /// A person on their way: 303 for browsers, the address as data for JSON clients, which follow no redirect to
    /// another site.
    pub(crate) fn hand_over(location: &str, json_client: bool) -> Page {
        if json_client {
            return json_page(StatusCode::OK, &json!({ "location": location }));
        }
        Self::see_other(location)
    }

    /// 303 See Other to an address that was checked or configured.
    pub(crate) fn see_other(location: &str) -> Page {
        let mut page = Response::new(Full::default());
        *page.status_mut() = StatusCode::SEE_OTHER;
        let location = HeaderValue::from_str(location).unwrap_or_else(|_| HeaderValue::from_static("/"));
        page.headers_mut().insert(LOCATION, location);
        no_store(page)
    }

    /// Data for a program.
    pub(crate) fn json(status: StatusCode, value: &Value) -> Page {
        json_page(status, value)
    }

    fn answer(
        &self,
        status: StatusCode,
        class: &str,
        words: &Words,
        action: Option<(&str, &str)>,
        retry: Option<Duration>,
        asked: &Asked,
    ) -> Page {
        let wait = retry.map(|wait| Duration::from_secs(wait.min(RETRY_AFTER_MAX).as_secs().max(1)));
        let mut page = if asked.json {
            let link = action.map(|(_, address)| address);
            json_page(status, &json!({ "error": class, "reference": asked.id, "sign_in": link }))
        } else {
            let mut page =
                Response::new(Full::new(Bytes::from(self.html(class, words, action, wait, asked))));
            *page.status_mut() = status;
            let headers = page.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
            headers.insert("content-security-policy", self.policy.clone());
            headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
            headers.insert("referrer-policy", HeaderValue::from_static("no-referrer"));
            no_store(page)
        };
        if let Some(wait) = wait {
            page.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait.as_secs()));
        }
        page
    }

    /// The page in the operator's words where there are any; `class` is what the configuration calls it.
    fn html(
        &self,
        class: &str,
        words: &Words,
        action: Option<(&str, &str)>,
        wait: Option<Duration>,
        asked: &Asked,
    ) -> String {
        let chosen = self.words.choose(class, &asked.wish);
        let fill = |text: String| filled(&text, &asked.id, wait);
        let paragraphs: Vec<String> = chosen.paragraphs(words.paragraphs).into_iter().map(fill).collect();
        let label = action.map(|(label, address)| (chosen.label(label), address));
        let support = chosen.support();
        render(&Text {
            language: chosen.language,
            right_to_left: chosen.is_right_to_left(),
            title: &fill(chosen.title(words.title)),
            paragraphs: &paragraphs,
            action: label.as_ref().map(|(label, address)| (label.as_str(), *address)),
            reference: &fill(chosen.label("Reference: {request_id}")),
            support: support.as_ref().map(|(label, address)| (label.as_str(), *address)),
        })
    }
}

fn json_page(status: StatusCode, value: &Value) -> Page {
    let mut page = Response::new(Full::new(Bytes::from(format!("{value}\n"))));
    *page.status_mut() = status;
    page.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    no_store(page)
}

/// No answer of ours may be shown to somebody else from a cache.
fn no_store(mut page: Page) -> Page {
    page.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    page
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::login::Counted;

    fn asked(json: bool) -> Asked {
        Asked { id: "r-1".into(), json, wish: Wish::NONE }
    }

    async fn text(page: Page) -> String {
        String::from_utf8(page.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn could_not_ask_is_503_with_a_wait_and_an_offer_for_everybody() {
        let pages = Pages::new("/.crossfade/");
        let closed = Closed::Legacy { retry_after: Some(Duration::from_secs(9999)), counted: Counted::No };
        let page = pages.closed(closed, &asked(false));
        assert_eq!(page.status(), 503);
        assert_eq!(page.headers()[RETRY_AFTER], "60");
        assert_eq!(page.headers()[CACHE_CONTROL], "no-store");
        let html = text(page).await;
        assert!(html.contains("/.crossfade/initiate") && html.contains("r-1"), "{html}");
        assert!(!html.to_lowercase().contains("wrong"), "{html}");
        let json = text(pages.closed(Closed::Store, &asked(true))).await;
        assert!(json.contains("sign_in_unavailable"), "{json}");
    }

    #[tokio::test]
    async fn too_many_tries_is_one_answer_with_the_whole_wait() {
        let pages = Pages::new("/.crossfade/");
        for (json, wait, seconds) in [(false, 1, "1"), (true, 500, "1"), (false, 899_001, "900")] {
            let page = pages.limited(Duration::from_millis(wait), &asked(json));
            assert_eq!(
                (page.status().as_u16(), &page.headers()[RETRY_AFTER]),
                (429, &seconds.parse().unwrap())
            );
            let text = text(page).await;
            assert!(text.contains("/.crossfade/initiate"), "{text}");
        }
    }

    #[tokio::test]
    async fn every_problem_has_its_status_and_a_page_without_inner_life() {
        let pages = Pages::new("/.crossfade/");
        for problem in [Problem::BadGateway, Problem::Internal, Problem::Misdirected, Problem::Overloaded] {
            let page = pages.problem(problem, &asked(false));
            assert_eq!(page.status(), problem.status());
            assert_eq!(page.headers().contains_key(RETRY_AFTER), problem != Problem::Misdirected);
            let html = text(page).await.to_lowercase();
            for word in ["hyper", "crossfade/", "upstream", "okta", "scalekit", "redis"] {
                assert!(!html.contains(word), "{problem:?} tells of {word}");
            }
        }
    }

    /// Every answer that is a page, by the name the configuration calls it.
    fn every_page(pages: &Pages, asked: &Asked) -> Vec<(&'static str, Page)> {
        let problems = [
            Problem::BadRequest,
            Problem::MethodNotAllowed,
            Problem::RequestTimeout,
            Problem::ContentTooLarge,
            Problem::UriTooLong,
            Problem::ExpectationFailed,
            Problem::Misdirected,
            Problem::HeadTooLarge,
            Problem::NotImplemented,
            Problem::Loop,
            Problem::BadGateway,
            Problem::GatewayTimeout,
            Problem::Overloaded,
            Problem::Internal,
            Problem::NotFound,
            Problem::Forbidden,
        ];
        let refused = [
            Refused::Tombstone,
            Refused::EmailUnverified,
            Refused::NotLinkable,
            Refused::CannotTell,
            Refused::NotNow,
            Refused::TryAgain,
        ];
        let problems = problems.into_iter().map(|problem| (problem.as_str(), pages.problem(problem, asked)));
        let refused = refused.into_iter().map(|refused| (refused.as_str(), pages.refused(refused, asked)));
        let closed = Closed::Legacy { retry_after: None, counted: Counted::No };
        let others = [
            ("sign_in_unavailable", pages.closed(closed, asked)),
            ("sign_in_broken", pages.sign_in_broken(asked)),
        ];
        problems.chain(refused).chain(others).collect()
    }

    #[tokio::test]
    async fn every_page_can_be_worded_and_says_its_wait_only_where_it_has_one() {
        let text = |name: &str, waits: &config::Waits| {
            let wait = if *waits == config::Waits::Yes { " in {retry_after} s" } else { "" };
            let text = config::PageText {
                title: Some(format!("<{name}>")),
                text: Some(format!("one{wait}\n\ntwo {{request_id}}")),
            };
            (name.to_owned(), text)
        };
        let texts = config::PAGES.iter().map(|(name, waits)| text(name, waits)).collect();
        let labels = config::LABELS.map(|(name, _)| (name.to_owned(), format!("*{name} {{request_id}}")));
        let worded = config::Pages {
            language: "he-IL".into(),
            support_url: Some("https://example.com/help".parse().unwrap()),
            wording: config::Wording { texts, labels: labels.into() },
            translations: std::collections::BTreeMap::new(),
        };
        let pages = Pages::new("/.crossfade/").worded(&worded);
        for (name, page) in every_page(&pages, &asked(false)) {
            let retry = page.headers().get(RETRY_AFTER).cloned();
            let known = config::PAGES.iter().find(|(known, _)| *known == name);
            let (_, waits) = known.unwrap_or_else(|| panic!("the configuration knows no page {name}"));
            assert_eq!(*waits == config::Waits::Yes, retry.is_some(), "{name}");
            let html = super::tests::text(page).await;
            assert!(html.contains(&format!("<h1>&lt;{name}&gt;</h1>")), "{html}");
            assert!(html.contains("<p>two r-1</p>") && html.contains("*reference r-1"), "{html}");
            assert!(html.contains("<html lang=\"he-IL\" dir=\"rtl\">"), "{html}");
            assert!(html.contains("<a href=\"https://example.com/help\">*support"), "{html}");
            assert!(!html.contains("{retry_after}") && !html.contains("Sign in"), "{html}");
        }
    }

    #[tokio::test]
    async fn every_shared_text_of_ours_is_a_label() {
        let pages = Pages::new("/.crossfade/");
        for (name, page) in every_page(&pages, &asked(false)) {
            let html = text(page).await;
            let action = html.split_once("class=\"act\" href=").and_then(|(_, rest)| {
                rest.split_once('>').and_then(|(_, rest)| rest.split_once('<')).map(|(label, _)| label)
            });
            let is_label = |label: &str| config::LABELS.iter().any(|(_, ours)| *ours == label);
            assert!(action.is_none_or(is_label), "{name}: {action:?}");
        }
    }
}
