//! Section `sign_in`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Span;

/// Which requests are sign-ins, and how the application answers them.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct SignIn {
    /// The first route that matches a request counts. Default none: everything is proxied.
    pub(in crate::config) routes: Option<Vec<SignInRoute>>,
    /// The application's own route that names the signed-in person. Makes an accepted sign-in a strong proof.
    pub(in crate::config) who_am_i: Option<WhoAmI>,
    /// Paths of reset, change password, change e-mail, MFA settings: people who crossed are sent to `account_page`.
    pub(in crate::config) account_routes: Option<Vec<String>>,
    /// Where people who crossed look after their account. Required with `account_routes`.
    pub(in crate::config) account_page: Option<String>,
    /// Paths that end Crossfade's session, too.
    pub(in crate::config) logout_routes: Option<Vec<String>>,
    /// While the store is down, sign-ins go to the application and nobody migrates; people known as crossed get 503.
    /// `false`: everybody gets 503. Default true.
    pub(in crate::config) passthrough: Option<bool>,
}

/// One form or JSON end point at which people sign in. It has either `form` or `json`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["form"]}, {"required": ["json"]}]))]
pub(in crate::config) struct SignInRoute {
    /// Appears in logs and metrics; letters, digits, `_` and `-`.
    #[schemars(required, with = "String")]
    pub(in crate::config) name: Option<String>,
    /// The path the sign-in is posted to: decoded, without dot segments and query.
    #[schemars(required, with = "String")]
    pub(in crate::config) path: Option<String>,
    /// The path at which the application shows the form; usually the same. Without it no page is intercepted.
    pub(in crate::config) page: Option<String>,
    /// Field names of an HTML form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) form: Option<FormFields>,
    /// RFC 6901 pointers into a JSON body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) json: Option<JsonFields>,
    /// Who posts here. Default `browser` for a form and `api` for JSON.
    pub(in crate::config) client: Option<Client>,
    /// Crossfade's one answer to a wrong password, an unknown name and a locked account.
    #[schemars(required, with = "Answer")]
    pub(in crate::config) rejected: Option<Answer>,
    /// Signs that the application accepted the sign-in; all must hold.
    #[schemars(required, with = "Vec<Signal>")]
    pub(in crate::config) success: Option<Vec<Signal>>,
    /// Signs that it did not; none may hold. Default none.
    pub(in crate::config) failure: Option<Vec<Signal>>,
}

/// Names of form fields.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct FormFields {
    /// The field with the login name or e-mail.
    #[schemars(required, with = "String")]
    pub(in crate::config) login: Option<String>,
    /// The field with the password.
    #[schemars(required, with = "String")]
    pub(in crate::config) password: Option<String>,
    /// The field (or query parameter) with the place to return to.
    pub(in crate::config) return_to: Option<String>,
}

/// Pointers into a JSON body, such as `/user/email`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct JsonFields {
    /// To the login name or e-mail.
    #[schemars(required, with = "String")]
    pub(in crate::config) login: Option<String>,
    /// To the password.
    #[schemars(required, with = "String")]
    pub(in crate::config) password: Option<String>,
    /// To the place to return to.
    pub(in crate::config) return_to: Option<String>,
}

/// Who posts a sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum Client {
    /// A browser: must show that the request comes from our own origin; gets redirects or pages.
    Browser,
    /// A native client or script; gets JSON.
    Api,
}

/// An answer of Crossfade's own.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum Answer {
    /// 303 to a path of the application, such as `/login?error=1`.
    Redirect(String),
    /// A fixed body.
    Body(AnswerBody),
}

/// A fixed answer.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct AnswerBody {
    /// Default 401.
    pub(in crate::config) status: Option<u16>,
    /// Default `text/plain; charset=utf-8`.
    pub(in crate::config) content_type: Option<String>,
    /// The body's text.
    #[schemars(required, with = "String")]
    pub(in crate::config) body: Option<String>,
}

/// One sign in the application's answer.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum Signal {
    /// The status is one of these.
    Status(Vec<u16>),
    /// It sets a cookie of this name, with a value, not expired.
    SetsCookie(String),
    /// A regular expression that is *searched* in `Location`: anchor it with `^` and `$` to mean the whole.
    Location(String),
    /// The JSON body has this value at the pointer.
    Json(JsonSignal),
}

/// A value in a JSON answer.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct JsonSignal {
    /// An RFC 6901 pointer, such as `/status`.
    #[schemars(required, with = "String")]
    pub(in crate::config) pointer: Option<String>,
    /// What must be there: text, a number, true, false.
    #[schemars(required, with = "serde_json::Value")]
    pub(in crate::config) equals: Option<serde_json::Value>,
}

/// The application's who-am-I route: called with the cookies it just set, it names the person in JSON.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct WhoAmI {
    /// Such as `/api/me`; may have a query.
    #[schemars(required, with = "String")]
    pub(in crate::config) path: Option<String>,
    /// The name of the source its people belong to.
    #[schemars(required, with = "String")]
    pub(in crate::config) source: Option<String>,
    /// Pointer to the immutable id: never to the e-mail.
    #[schemars(required, with = "String")]
    pub(in crate::config) id: Option<String>,
    /// Pointer to the name people sign in with.
    pub(in crate::config) login: Option<String>,
    /// Pointer to the e-mail.
    #[schemars(required, with = "String")]
    pub(in crate::config) email: Option<String>,
    /// Pointer to the boolean that says whether the application verified the e-mail.
    pub(in crate::config) email_verified: Option<String>,
    pub(in crate::config) given_name: Option<String>,
    pub(in crate::config) family_name: Option<String>,
    /// Pointer to the boolean that says whether the person has a second factor.
    pub(in crate::config) mfa: Option<String>,
    /// Pointer to the boolean that says whether the account is in use.
    pub(in crate::config) active: Option<String>,
    /// Pointer to the external id of the person's organisation.
    pub(in crate::config) organization: Option<String>,
    /// Default `2s`.
    pub(in crate::config) timeout: Option<Span>,
}
