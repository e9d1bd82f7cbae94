//! The code flow as it should go, and the little provider that plays it.

use std::sync::OnceLock;

use aws_lc_rs::{
    encoding::AsDer as _,
    hmac,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::*;
use crate::session::{Authorize, FlowSecrets, IdentityProvider as _, SignInError, SignedIn};

pub(super) const DISCOVERY: &str = "/.well-known/openid-configuration";
pub(super) const TOKEN: &str = "/op/token";
pub(super) const KEYS: &str = "/op/jwks";
pub(super) const ACCESS_TOKEN: &str = "canary-opaque-access-token";
pub(super) const NONCE: &str = "nonce-of-this-sign-in";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

/// Keys for the whole run: RSA keys are slow to make.
pub(super) struct Keys {
    pub(super) rsa: RsaKeyPair,
    pub(super) other_rsa: RsaKeyPair,
    pub(super) ec: EcdsaKeyPair,
}

pub(super) fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| Keys {
        rsa: RsaKeyPair::generate(KeySize::Rsa2048).unwrap(),
        other_rsa: RsaKeyPair::generate(KeySize::Rsa2048).unwrap(),
        ec: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
    })
}

pub(super) fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(super) fn rsa_jwk(key: &RsaKeyPair, kid: &str) -> Value {
    let public = key.public_key();
    let n = base64(public.modulus().big_endian_without_leading_zero());
    let e = base64(public.exponent().big_endian_without_leading_zero());
    json!({"kty": "RSA", "kid": kid, "use": "sig", "alg": "RS256", "n": n, "e": e})
}

fn ec_jwk(key: &EcdsaKeyPair, kid: &str) -> Value {
    let (x, y) = key.public_key().as_ref()[1..].split_at(32);
    json!({"kty": "EC", "crv": "P-256", "kid": kid, "x": base64(x), "y": base64(y)})
}

/// Who signs a token, and how.
#[derive(Clone, Copy)]
pub(super) enum Signer {
    Rsa,
    OtherRsa,
    Ec,
    /// HMAC with the public key as the secret: the old confusion of algorithms.
    PublicKeyAsSecret,
    Nobody,
}

pub(super) fn sign(signer: Signer, header: &str, claims: &str) -> String {
    let message = format!("{}.{}", base64(header), base64(claims));
    let rsa = |key: &RsaKeyPair| {
        let mut signature = vec![0; key.public_modulus_len()];
        key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature).unwrap();
        signature
    };
    let signature = match signer {
        Signer::Rsa => rsa(&keys().rsa),
        Signer::OtherRsa => rsa(&keys().other_rsa),
        Signer::Ec => keys().ec.sign(&SystemRandom::new(), message.as_bytes()).unwrap().as_ref().to_vec(),
        Signer::PublicKeyAsSecret => {
            let public = keys().rsa.public_key().as_der().unwrap();
            let key = hmac::Key::new(hmac::HMAC_SHA256, public.as_ref());
            hmac::sign(&key, message.as_bytes()).as_ref().to_vec()
        }
        Signer::Nobody => Vec::new(),
    };
    format!("{message}.{}", base64(signature))
}

/// What the provider does; each test changes one thing of a sign-in that goes well.
pub(super) struct Play {
    pub(super) origin: String,
    pub(super) discovery: Value,
    pub(super) keys: Value,
    pub(super) header: Value,
    pub(super) claims: Value,
    pub(super) signer: Signer,
    /// The claims as text, where JSON values cannot say it.
    pub(super) raw_claims: Option<String>,
    pub(super) raw_header: Option<String>,
    /// Changes the finished ID token.
    pub(super) mangle: fn(String) -> String,
    /// Members of the token endpoint's answer, beside the ID token.
    pub(super) granted: Value,
    pub(super) callback_issuer: Option<String>,
    /// Whole replies instead of the above.
    pub(super) discovery_reply: Option<Reply>,
    pub(super) keys_reply: Option<Reply>,
    pub(super) token_reply: Option<Reply>,
}

impl Play {
    pub(super) fn at(origin: &str) -> Self {
        Self {
            origin: origin.to_owned(),
            discovery: json!({
                "issuer": origin,
                "authorization_endpoint": format!("{origin}/op/auth?tenant=1"),
                "token_endpoint": format!("{origin}{TOKEN}"),
                "jwks_uri": format!("{origin}{KEYS}"),
                "code_challenge_methods_supported": ["plain", "S256"],
            }),
            keys: json!({"keys": [rsa_jwk(&keys().rsa, "k1"), ec_jwk(&keys().ec, "k2")]}),
            header: json!({"alg": "RS256", "kid": "k1", "typ": "JWT"}),
            claims: json!({
                "iss": origin, "sub": "usr_1", "aud": ["skc_1"], "azp": "skc_1", "exp": NOW + 300, "iat": NOW,
                "nonce": NONCE, "oid": "org_1", "sid": "ses_1", "email": "Canary.Ann+x@Example.com",
                "email_verified": true, "amr": ["conn_1"],
            }),
            signer: Signer::Rsa,
            raw_claims: None,
            raw_header: None,
            mangle: |token| token,
            granted: json!({"access_token": ACCESS_TOKEN, "token_type": "Bearer", "expires_in": 299}),
            callback_issuer: None,
            discovery_reply: None,
            keys_reply: None,
            token_reply: None,
        }
    }

    pub(super) fn id_token(&self) -> String {
        let header = self.raw_header.clone().unwrap_or_else(|| self.header.to_string());
        let claims = self.raw_claims.clone().unwrap_or_else(|| self.claims.to_string());
        (self.mangle)(sign(self.signer, &header, &claims))
    }

    pub(super) fn put_on(&self, stage: &Stage) {
        let mut granted = self.granted.clone();
        if granted.get("id_token").is_none() {
            granted["id_token"] = json!(self.id_token());
        }
        let or =
            |reply: &Option<Reply>, value: &Value| reply.clone().unwrap_or_else(|| Reply::json(200, value));
        stage.on("GET", DISCOVERY, [or(&self.discovery_reply, &self.discovery)]);
        stage.on("GET", KEYS, [or(&self.keys_reply, &self.keys)]);
        stage.on("POST", TOKEN, [or(&self.token_reply, &granted)]);
    }
}

pub(super) fn secrets() -> FlowSecrets {
    FlowSecrets { verifier: VERIFIER.into(), nonce: NONCE.into() }
}

pub(super) async fn redeem(theatre: &Theatre, issuer: Option<&str>) -> Result<SignedIn, SignInError> {
    theatre.scalekit.redeem("canary-code", &secrets(), issuer, soon()).await
}

async fn played(change: impl FnOnce(&mut Play)) -> (Theatre, Result<SignedIn, SignInError>) {
    let theatre = Theatre::open().await;
    let mut play = Play::at(&theatre.stage.origin());
    change(&mut play);
    play.put_on(&theatre.stage);
    let result = redeem(&theatre, play.callback_issuer.as_deref()).await;
    (theatre, result)
}

#[tokio::test]
async fn the_authorise_url_has_everything_and_the_plus_survives() {
    let theatre = Theatre::open().await;
    Play::at(&theatre.stage.origin()).put_on(&theatre.stage);
    let (secrets, email) = (secrets(), email());
    let begin = Authorize { state: "state-1", secrets: &secrets, login_hint: Some(&email) };
    let url = theatre.scalekit.authorize_url(begin, soon()).await.unwrap();
    assert!(url.as_str().starts_with(&format!("{}/op/auth?tenant=1&", theatre.stage.origin())));
    assert!(url.query().unwrap().contains("scope=openid%20profile%20email"));
    assert!(url.query().unwrap().contains("login_hint=canary.ann%2Bx%40example.com"));
    let query: BTreeMap<_, _> = url.query_pairs().into_owned().collect();
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", "skc_1"),
        ("redirect_uri", "https://app.example.com/.crossfade/callback"),
        ("scope", "openid profile email"),
        ("state", "state-1"),
        ("nonce", NONCE),
        // RFC 7636, appendix B.
        ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
        ("code_challenge_method", "S256"),
        ("login_hint", EMAIL),
    ] {
        assert_eq!(query[name], value);
    }

    let begin = Authorize { state: "state-1", secrets: &secrets, login_hint: None };
    let url = theatre.scalekit.authorize_url(begin, soon()).await.unwrap();
    assert!(!url.as_str().contains("login_hint"));
    assert_eq!(theatre.stage.seen("GET", DISCOVERY).len(), 1, "the metadata is kept");
}

#[tokio::test]
async fn a_code_becomes_a_signed_in_person() {
    let (theatre, result) = played(|play| {
        play.granted["refresh_token"] = json!("canary-refresh");
        play.claims["at_hash"] = json!(super::super::id_token::left_half_hash(ACCESS_TOKEN));
    })
    .await;
    let signed_in = result.unwrap();
    assert_eq!(signed_in.user.0, "usr_1");
    assert_eq!(signed_in.email, Some(email()));
    assert!(signed_in.email_verified);
    assert_eq!(signed_in.organization.as_deref(), Some("org_1"));
    assert_eq!(signed_in.scalekit_session.as_deref(), Some("ses_1"));
    assert_eq!(signed_in.roles, None, "an opaque access token says nothing");
    assert_eq!(signed_in.tokens.access_token, ACCESS_TOKEN);
    assert_eq!(signed_in.tokens.refresh_token.as_deref(), Some("canary-refresh"));

    let [sent] = theatre.stage.seen("POST", TOKEN).try_into().unwrap();
    assert_eq!(sent.authorization, None);
    let form = sent.form();
    for (name, value) in [
        ("grant_type", "authorization_code"),
        ("code", "canary-code"),
        ("redirect_uri", "https://app.example.com/.crossfade/callback"),
        ("client_id", "skc_1"),
        ("client_secret", SECRET),
        ("code_verifier", VERIFIER),
    ] {
        assert_eq!(form[name], value);
    }
    assert!(!format!("{signed_in:?}").contains("canary"));
}

#[tokio::test]
async fn what_is_allowed_is_not_refused() {
    type Change = fn(&mut Play);
    let cases: [(&str, Change); 10] = [
        ("ES256", |play| {
            play.signer = Signer::Ec;
            play.header = json!({"alg": "ES256", "kid": "k2"});
        }),
        ("audience as text", |play| play.claims["aud"] = json!("skc_1")),
        ("several audiences with azp", |play| play.claims["aud"] = json!(["other", "skc_1"])),
        ("one audience without azp", |play| {
            play.claims.as_object_mut().unwrap().remove("azp");
        }),
        ("expired within the skew", |play| play.claims["exp"] = json!(NOW - 59)),
        ("issued ahead within the skew", |play| play.claims["iat"] = json!(NOW + 60)),
        ("not before, within the skew", |play| play.claims["nbf"] = json!(NOW + 60)),
        ("dates with fractions", |play| play.claims["exp"] = json!(300.5 + 1_767_225_600.0)),
        ("callback names the issuer", |play| {
            play.callback_issuer = Some(play.origin.clone());
            play.discovery["authorization_response_iss_parameter_supported"] = json!(true);
        }),
        ("no token_type", |play| {
            play.granted.as_object_mut().unwrap().remove("token_type");
        }),
    ];
    for (name, change) in cases {
        assert_eq!(
            played(change).await.1.unwrap_or_else(|e| panic!("{name}: {e}")).user.0,
            "usr_1",
            "{name}"
        );
    }
}

#[tokio::test]
async fn an_address_is_verified_only_by_an_explicit_true() {
    for verified in [json!("true"), json!(1), json!(false), json!(null), json!([true])] {
        let (_, result) = played(|play| play.claims["email_verified"] = verified).await;
        assert!(!result.unwrap().email_verified);
    }
    for address in [json!("not an address"), json!(null), json!(5)] {
        let (_, result) = played(|play| play.claims["email"] = address).await;
        let signed_in = result.unwrap();
        assert_eq!((signed_in.email, signed_in.email_verified), (None, false));
    }
}

#[tokio::test]
async fn roles_come_from_an_access_token_that_passes_the_same_checks() {
    let theatre = Theatre::open().await;
    let origin = theatre.stage.origin();
    let good = json!({
        "iss": origin, "sub": "usr_1", "aud": ["skc_1"], "exp": NOW + 300, "iat": NOW, "roles": ["admin"],
    });
    let header = json!({"alg": "RS256", "kid": "k1"});
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        claims
    };
    let mut silent = good.clone();
    silent.as_object_mut().unwrap().remove("roles");
    let admin: Option<&[&str]> = Some(&["admin"]);
    for (what, header, claims, signer, roles) in [
        ("good", &header, good.clone(), Signer::Rsa, admin),
        ("another key", &header, good.clone(), Signer::OtherRsa, None),
        ("unsigned", &json!({"alg": "none"}), good.clone(), Signer::Nobody, None),
        ("another person", &header, with("sub", json!("usr_2")), Signer::Rsa, None),
        ("another issuer", &header, with("iss", json!("https://evil.test")), Signer::Rsa, None),
        ("another client", &header, with("aud", json!(["other"])), Signer::Rsa, None),
        ("expired", &header, with("exp", json!(NOW - 60)), Signer::Rsa, None),
        ("roles of another type", &header, with("roles", json!("admin")), Signer::Rsa, None),
        ("no word of roles", &header, silent, Signer::Rsa, None),
        ("all roles revoked", &header, with("roles", json!([])), Signer::Rsa, Some(&[])),
        ("an empty list as null", &header, with("roles", Value::Null), Signer::Rsa, Some(&[])),
    ] {
        let mut play = Play::at(&origin);
        play.granted["access_token"] = json!(sign(signer, &header.to_string(), &claims.to_string()));
        play.put_on(&theatre.stage);
        let signed_in = redeem(&theatre, None).await.unwrap();
        let names =
            signed_in.roles.as_ref().map(|roles| roles.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(names.as_deref(), roles, "{what}");
    }
}

#[tokio::test]
async fn an_unknown_kid_asks_for_the_keys_once_in_30_seconds_and_old_keys_stay() {
    let theatre = Theatre::open().await;
    let mut play = Play::at(&theatre.stage.origin());
    play.put_on(&theatre.stage);
    redeem(&theatre, None).await.unwrap();

    // The provider rotates right after the first fetch: only the new key is in the set now.
    play.keys = json!({"keys": [rsa_jwk(&keys().other_rsa, "k3")]});
    play.header["kid"] = json!("k3");
    play.signer = Signer::OtherRsa;
    play.put_on(&theatre.stage);
    redeem(&theatre, None).await.unwrap();
    assert_eq!(theatre.stage.seen("GET", KEYS).len(), 2);

    // Made-up ids ask no more before their time.
    play.header["kid"] = json!("made-up");
    play.put_on(&theatre.stage);
    for _ in 0..5 {
        assert!(matches!(redeem(&theatre, None).await, Err(SignInError::Refused(_))));
    }
    assert_eq!(theatre.stage.seen("GET", KEYS).len(), 2, "not within 30 s");
    theatre.clock.advance(Duration::from_secs(31));
    for _ in 0..5 {
        assert!(matches!(redeem(&theatre, None).await, Err(SignInError::Refused(_))));
    }
    assert_eq!(theatre.stage.seen("GET", KEYS).len(), 3, "and once after it");

    // A token signed just before the rotation.
    let mut before = Play::at(&theatre.stage.origin());
    before.keys = play.keys.clone();
    before.put_on(&theatre.stage);
    redeem(&theatre, None).await.unwrap();
    assert_eq!(theatre.stage.seen("GET", KEYS).len(), 3);

    // An hour later the old key is gone for good.
    theatre.clock.advance(Duration::from_secs(3700));
    before.claims["exp"] = json!(NOW + 8000);
    before.put_on(&theatre.stage);
    let error = redeem(&theatre, None).await.unwrap_err();
    assert!(error.to_string().contains("a key the provider does not have"), "{error}");
}

#[tokio::test]
async fn metadata_and_keys_outlive_an_outage_of_their_routes() {
    let theatre = Theatre::open().await;
    let mut play = Play::at(&theatre.stage.origin());
    play.put_on(&theatre.stage);
    redeem(&theatre, None).await.unwrap();
    theatre.clock.advance(Duration::from_secs(3700));
    play.claims["exp"] = json!(NOW + 8000);
    play.discovery_reply = Some(status(503));
    play.keys_reply = Some(Reply::Close);
    play.put_on(&theatre.stage);
    redeem(&theatre, None).await.unwrap();
    assert_eq!(theatre.stage.seen("GET", DISCOVERY).len(), 2);
    assert_eq!(theatre.stage.seen("GET", KEYS).len(), 2);
}

#[tokio::test]
async fn signing_out_goes_where_the_metadata_says_or_to_scalekits_route() {
    let after = Url::parse("https://app.example.com/bye?x=1").unwrap();
    let theatre = Theatre::open().await;
    let origin = theatre.stage.origin();
    Play::at(&origin).put_on(&theatre.stage);
    let url = theatre.scalekit.end_session_url(Some("canary-token"), &after, soon()).await.unwrap();
    let query =
        "post_logout_redirect_uri=https%3A%2F%2Fapp.example.com%2Fbye%3Fx%3D1&id_token_hint=canary-token";
    assert_eq!(url.as_str(), format!("{origin}/oidc/logout?{query}"));

    let theatre = Theatre::open().await;
    let origin = theatre.stage.origin();
    let mut play = Play::at(&origin);
    play.discovery["end_session_endpoint"] = json!(format!("{origin}/op/end"));
    play.put_on(&theatre.stage);
    let url = theatre.scalekit.end_session_url(None, &after, soon()).await.unwrap();
    assert!(url.as_str().starts_with(&format!("{origin}/op/end?")));
    assert!(url.query().unwrap().ends_with("&client_id=skc_1"));
}
