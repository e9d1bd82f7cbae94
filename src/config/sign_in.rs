//! Section `sign_in`: which requests are sign-ins, how their fields are read, how the application answers.

use std::time::Duration;

use regex::Regex;
use url::Url;

use crate::identity::SourceName;

/// Section `sign_in`.
#[derive(Clone, Debug)]
pub(crate) struct SignIn {
    /// The first route that matches a request counts.
    pub(crate) routes: Vec<SignInRoute>,
    /// The application's own route that names the signed-in person.
    pub(crate) who_am_i: Option<WhoAmI>,
    /// Reset, change password, change e-mail, MFA settings: crossed people are sent to `account_page` instead.
    pub(crate) account_routes: Vec<RoutePath>,
    pub(crate) account_page: Option<Url>,
    /// Requests here end our session, too.
    pub(crate) logout_routes: Vec<RoutePath>,
    /// While the store is down, sign-ins go to the application and nobody migrates; `false` answers 503 instead.
    pub(crate) passthrough: bool,
}

/// A path as SEC-18 normalises it: percent-decoded once, dot segments resolved, no query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RoutePath(pub(crate) String);

/// One form or JSON end point at which people sign in.
#[derive(Clone, Debug)]
pub(crate) struct SignInRoute {
    /// Appears in logs and metrics.
    pub(crate) name: String,
    pub(crate) path: RoutePath,
    /// Where the application shows the form (GET); usually the same path.
    pub(crate) page: Option<RoutePath>,
    pub(crate) fields: FieldNames,
    pub(crate) client: ClientKind,
    /// Our one answer to rejected, unknown and locked in the new lane.
    pub(crate) rejected: Answer,
    /// All must hold for the application's answer to count as a success …
    pub(crate) success: Vec<Signal>,
    /// … and none of these.
    pub(crate) failure: Vec<Signal>,
}

/// Where a sign-in request carries its credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FieldNames {
    /// `application/x-www-form-urlencoded`, field names; `return_to` may also stand in the query.
    Form { login: String, password: String, return_to: Option<String> },
    /// `application/json`, RFC 6901 pointers.
    Json { login: Pointer, password: Pointer, return_to: Option<Pointer> },
}

/// An RFC 6901 JSON pointer, e.g. `/user/email`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pointer(pub(crate) String);

/// Who sends the sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientKind {
    /// A browser: `Origin` or `Sec-Fetch-Site` must be there and our own; answers are redirects or pages.
    Browser,
    /// A native client or script without those headers; answers are JSON.
    Api,
}

/// A configured answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// 303 to a path of the application.
    Redirect {
        location: String,
    },
    Body {
        status: u16,
        content_type: String,
        body: String,
    },
}

/// One sign by which the application's answer is judged.
#[derive(Clone, Debug)]
pub(crate) enum Signal {
    Status(Vec<u16>),
    /// A `Set-Cookie` of this name with a non-empty value that is not already expired.
    SetsCookie(String),
    /// The `Location` matches.
    Location(Regex),
    /// The JSON body (≤ 64 KiB) has this value at the pointer.
    Json {
        pointer: Pointer,
        equals: serde_json::Value,
    },
}

/// The application's who-am-I route: called with the cookies it just set, it names the person.
#[derive(Clone, Debug)]
pub(crate) struct WhoAmI {
    pub(crate) path: String,
    /// The source its people belong to (its `mfa`, `assume_verified` and external id rules apply).
    pub(crate) source: SourceName,
    pub(crate) id: Pointer,
    pub(crate) login: Option<Pointer>,
    pub(crate) email: Pointer,
    pub(crate) email_verified: Option<Pointer>,
    pub(crate) given_name: Option<Pointer>,
    pub(crate) family_name: Option<Pointer>,
    pub(crate) mfa: Option<Pointer>,
    pub(crate) active: Option<Pointer>,
    pub(crate) organization: Option<Pointer>,
    pub(crate) timeout: Duration,
}
