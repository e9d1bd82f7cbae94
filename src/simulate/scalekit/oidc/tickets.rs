//! What is handed out and comes back: API tokens, login requests, codes, refresh tokens, browser cookies.
//!
//! Every table is bounded: what is over is thrown out whenever something new is added.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use serde::Serialize;

use crate::clock::Timestamp;

/// How long a login page can be used.
const REQUEST_LIFE: Duration = Duration::from_mins(10);

/// Beyond this many, sign-ins that were begun or done are forgotten; a load test must not fill the memory.
const MOST: usize = 100_000;

/// What an application asked of the authorize endpoint, and how far the person has come.
#[derive(Clone, Default)]
pub(super) struct LoginRequest {
    pub(super) client: String,
    pub(super) redirect_uri: String,
    pub(super) scope: String,
    pub(super) state: Option<String>,
    pub(super) nonce: Option<String>,
    /// The S256 challenge (RFC 7636).
    pub(super) challenge: Option<String>,
    pub(super) hint: Option<String>,
    pub(super) organization: Option<String>,
    pub(super) connection: Option<String>,
    pub(super) choose_organization: bool,
    /// The address that was typed, the code that was mailed to it, and the wrong ones that came back.
    pub(super) email: Option<String>,
    pub(super) code: Option<String>,
    pub(super) wrong_codes: u32,
    /// The user, once the code was right and only the organization is open.
    pub(super) user: Option<String>,
}

/// What a code or a refresh token stands for.
#[derive(Clone)]
pub(super) struct Right {
    pub(super) client: String,
    pub(super) scope: String,
    pub(super) session: String,
    pub(super) organization: String,
    pub(super) connection: String,
    pub(super) redirect_uri: String,
    pub(super) nonce: Option<String>,
    pub(super) challenge: Option<String>,
}

/// A right that is used once and remembered afterwards, so that a second use is noticed.
struct Once {
    right: Right,
    end: Timestamp,
    used: bool,
    /// How often it came.
    came: u64,
}

/// What became of a code or refresh token that came back.
pub(super) enum Redeemed {
    Unknown,
    /// Known, but its time is over.
    Late,
    /// It came before.
    Again(Right),
    Good(Right),
}

/// What came to the refresh grant.
#[derive(Default, Serialize)]
pub(in crate::simulate::scalekit) struct Refreshes {
    received: u64,
    granted: u64,
    /// How often the token came that came most often.
    most_of_one_token: u64,
    /// How often tokens of each session came.
    by_session: BTreeMap<String, u64>,
}

/// All of it.
#[derive(Default)]
pub(in crate::simulate::scalekit) struct Tickets {
    api: HashMap<String, Timestamp>,
    requests: HashMap<String, (LoginRequest, Timestamp)>,
    codes: HashMap<String, Once>,
    refresh: HashMap<String, Once>,
    refreshes: Refreshes,
    /// Session ids by cookie value.
    browsers: HashMap<String, String>,
}

impl Tickets {
    pub(in crate::simulate::scalekit) fn opens_api(&self, token: &str, now: Timestamp) -> bool {
        self.api.get(token).is_some_and(|end| now < *end)
    }

    pub(super) fn keep_api_token(&mut self, token: String, end: Timestamp, now: Timestamp) {
        self.api.retain(|_, end| now < *end);
        self.api.insert(token, end);
    }

    pub(in crate::simulate::scalekit) fn forget_api_tokens(&mut self) {
        self.api.clear();
    }

    /// Forgets everything about people; API tokens stay.
    pub(in crate::simulate::scalekit) fn end_sign_ins(&mut self) {
        *self = Self { api: std::mem::take(&mut self.api), ..Self::default() };
    }

    pub(super) fn keep_request(&mut self, id: String, request: LoginRequest, now: Timestamp) {
        self.requests.retain(|_, (_, end)| now < *end);
        if self.requests.len() >= MOST {
            self.requests.clear();
        }
        self.requests.insert(id, (request, now.after(REQUEST_LIFE)));
    }

    pub(super) fn request(&mut self, id: &str, now: Timestamp) -> Option<&mut LoginRequest> {
        self.requests.get_mut(id).filter(|(_, end)| now < *end).map(|(request, _)| request)
    }

    pub(super) fn end_request(&mut self, id: &str) {
        self.requests.remove(id);
    }

    pub(super) fn keep_code(&mut self, code: String, right: Right, end: Timestamp, now: Timestamp) {
        keep(&mut self.codes, code, right, end, now);
    }

    pub(super) fn use_code(&mut self, code: &str, now: Timestamp) -> Redeemed {
        redeem(&mut self.codes, code, now)
    }

    pub(super) fn keep_refresh(&mut self, token: String, right: Right, end: Timestamp, now: Timestamp) {
        keep(&mut self.refresh, token, right, end, now);
    }

    /// The right behind a refresh token, without using it.
    pub(super) fn refresh(&self, token: &str) -> Option<&Right> {
        self.refresh.get(token).map(|once| &once.right)
    }

    /// The right behind a refresh token that came; used up where tokens rotate.
    pub(super) fn use_refresh(&mut self, token: &str, rotates: bool, now: Timestamp) -> Redeemed {
        let redeemed = redeem(&mut self.refresh, token, now);
        if let Some(once) = self.refresh.get_mut(token) {
            once.used &= rotates;
            let counts = &mut self.refreshes;
            counts.most_of_one_token = counts.most_of_one_token.max(once.came);
            let session = counts.by_session.entry(once.right.session.clone()).or_default();
            *session += 1;
        }
        redeemed
    }

    pub(super) fn refresh_came(&mut self) {
        self.refreshes.received += 1;
    }

    pub(super) fn refresh_granted(&mut self) {
        self.refreshes.granted += 1;
    }

    pub(in crate::simulate::scalekit) fn refreshes(&self) -> &Refreshes {
        &self.refreshes
    }

    pub(super) fn keep_browser(&mut self, cookie: String, session: String) {
        if self.browsers.len() >= MOST {
            self.browsers.clear();
        }
        self.browsers.insert(cookie, session);
    }

    pub(super) fn session_of(&self, cookie: &str) -> Option<&String> {
        self.browsers.get(cookie)
    }

    pub(super) fn forget_browser(&mut self, cookie: &str) -> Option<String> {
        self.browsers.remove(cookie)
    }
}

fn keep(table: &mut HashMap<String, Once>, key: String, right: Right, end: Timestamp, now: Timestamp) {
    table.retain(|_, once| now < once.end);
    if table.len() >= MOST {
        table.clear();
    }
    table.insert(key, Once { right, end, used: false, came: 0 });
}

fn redeem(table: &mut HashMap<String, Once>, key: &str, now: Timestamp) -> Redeemed {
    let Some(once) = table.get_mut(key) else { return Redeemed::Unknown };
    once.came += 1;
    if once.end <= now {
        return Redeemed::Late;
    }
    if once.used {
        return Redeemed::Again(once.right.clone());
    }
    once.used = true;
    Redeemed::Good(once.right.clone())
}
