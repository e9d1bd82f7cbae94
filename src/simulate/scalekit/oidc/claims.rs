//! What the tokens say.

use std::{io, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

use super::{Keys, keys::unsigned, tickets::Right};
use crate::{
    clock::Timestamp,
    simulate::scalekit::{
        failure::Failure,
        records::User,
        settings::{IdTokenFault, Settings},
        world::World,
    },
};

/// Everything the claims are drawn from.
pub(super) struct Subject<'a> {
    pub(super) issuer: &'a str,
    pub(super) right: &'a Right,
    pub(super) world: &'a World,
    pub(super) user: &'a User,
    pub(super) now: Timestamp,
}

impl<'a> Subject<'a> {
    /// The user of the right's session, as long as the user is there and a member.
    pub(super) fn find(
        issuer: &'a str,
        right: &'a Right,
        world: &'a World,
        now: Timestamp,
    ) -> Result<Self, Failure> {
        let session = world.sessions.get(&right.session);
        let session = session.filter(|session| session.end_at(now).is_none());
        let user = world.user(&session.ok_or_else(|| Failure::not_found("session"))?.user)?;
        user.membership(&right.organization).ok_or_else(|| Failure::not_found("membership"))?;
        Ok(Self { issuer, right, world, user, now })
    }

    /// What both tokens say.
    fn common(&self, life: Duration) -> Map<String, Value> {
        let mut claims = Map::from_iter([
            ("iss".to_owned(), Value::from(self.issuer)),
            ("aud".to_owned(), json!([self.right.client])),
            ("sub".to_owned(), Value::from(self.user.id.clone())),
            ("oid".to_owned(), Value::from(self.right.organization.clone())),
            ("sid".to_owned(), Value::from(self.right.session.clone())),
            ("client_id".to_owned(), Value::from(self.right.client.clone())),
            ("iat".to_owned(), Value::from(self.now.seconds())),
            ("exp".to_owned(), Value::from(self.now.after(life).seconds())),
        ]);
        let organization = self.world.organizations.get(&self.right.organization);
        if let Some(external) = organization.and_then(|org| org.external_id.clone()) {
            claims.insert("xoid".into(), Value::from(external));
        }
        claims
    }

    pub(super) fn access_token(&self, keys: &Keys, settings: &Settings, id: &str) -> io::Result<String> {
        let mut claims = self.common(Duration::from_secs(settings.access_token_secs));
        let membership = self.user.membership(&self.right.organization);
        let roles = membership.map(|membership| membership.roles.clone()).unwrap_or_default();
        let granted = roles.iter().filter_map(|name| self.world.role(name));
        let permissions: Vec<&String> = granted.flat_map(|role| &role.permissions).collect();
        claims.insert("nbf".into(), Value::from(self.now.seconds()));
        claims.insert("jti".into(), Value::from(id));
        claims.insert("scope".into(), Value::from(self.right.scope.clone()));
        claims.insert("permissions".into(), json!(permissions));
        claims.insert("roles".into(), json!(roles));
        if let Some(external) = &self.user.external_id {
            claims.insert("xuid".into(), Value::from(external.clone()));
        }
        keys.sign(&Value::Object(claims))
    }

    /// The ID token, with whatever the settings have go wrong with it. `code` is the one it was redeemed for.
    pub(super) fn id_token(
        &self,
        keys: &Keys,
        settings: &Settings,
        access_token: &str,
        code: Option<&str>,
    ) -> io::Result<String> {
        let mut claims = self.common(Duration::from_secs(settings.id_token_secs));
        claims.insert("azp".into(), Value::from(self.right.client.clone()));
        claims.insert("amr".into(), json!([self.right.connection]));
        claims.insert("email".into(), Value::from(self.user.email.clone()));
        claims.insert("email_verified".into(), Value::from(self.user.email_verified));
        claims.insert("at_hash".into(), Value::from(half_hash(access_token)));
        if let Some(code) = code {
            claims.insert("c_hash".into(), Value::from(half_hash(code)));
        }
        if let Some(nonce) = &self.right.nonce {
            claims.insert("nonce".into(), Value::from(nonce.clone()));
        }
        for name in ["name", "given_name", "family_name", "picture", "locale"] {
            let text = self.user.profile.text(name);
            if !text.is_empty() {
                claims.insert(name.into(), Value::from(text));
            }
        }
        self.spoiled(claims, keys, settings)
    }

    fn spoiled(
        &self,
        mut claims: Map<String, Value>,
        keys: &Keys,
        settings: &Settings,
    ) -> io::Result<String> {
        match settings.id_token {
            IdTokenFault::None
            | IdTokenFault::AlgNone
            | IdTokenFault::ForeignKey
            | IdTokenFault::NoKid
            | IdTokenFault::UnknownKid
            | IdTokenFault::PublicKeyAsSecret
            | IdTokenFault::Garbage => {}
            IdTokenFault::WrongSub => {
                claims.insert("sub".into(), Value::from("usr_999999999999999999"));
            }
            IdTokenFault::WrongAzp => {
                claims.insert("azp".into(), Value::from("skc_999999999999999999"));
            }
            IdTokenFault::NoAzp => {
                claims.insert("aud".into(), json!([self.right.client, "skc_999999999999999999"]));
                claims.remove("azp");
            }
            IdTokenFault::NotYetValid => {
                claims.insert("nbf".into(), Value::from(self.now.seconds() + 3_600));
            }
            IdTokenFault::FromTheFuture => {
                claims.insert("iat".into(), Value::from(self.now.seconds() + 3_600));
            }
            IdTokenFault::WrongAtHash => {
                claims.insert("at_hash".into(), Value::from(half_hash("another token")));
            }
            IdTokenFault::NoSubject => {
                claims.remove("sub");
            }
            IdTokenFault::NoExpiry => {
                claims.remove("exp");
            }
            IdTokenFault::WrongNonce => {
                claims.insert("nonce".into(), Value::from("another-nonce"));
            }
            IdTokenFault::NoNonce => {
                claims.remove("nonce");
            }
            IdTokenFault::WrongAud => {
                claims.insert("aud".into(), json!(["skc_999999999999999999"]));
                claims.insert("azp".into(), Value::from("skc_999999999999999999"));
            }
            IdTokenFault::WrongIss => {
                claims.insert("iss".into(), Value::from("https://another.example"));
            }
            IdTokenFault::Expired => {
                let past = self.now.seconds().saturating_sub(3_600);
                claims.insert("iat".into(), Value::from(past.saturating_sub(settings.id_token_secs)));
                claims.insert("exp".into(), Value::from(past));
            }
            IdTokenFault::EmailUnverified => {
                claims.insert("email_verified".into(), Value::from(false));
            }
        }
        let claims = Value::Object(claims);
        match settings.id_token {
            IdTokenFault::AlgNone => Ok(unsigned(&json!({ "alg": "none", "typ": "JWT" }), &claims) + "."),
            IdTokenFault::ForeignKey => keys.sign_with_foreign_key(&claims),
            IdTokenFault::NoKid => keys.sign_under(&json!({ "alg": "RS256", "typ": "JWT" }), &claims),
            IdTokenFault::UnknownKid => keys.sign_under(
                &json!({ "alg": "RS256", "typ": "JWT", "kid": "snk_999999999999999999" }),
                &claims,
            ),
            IdTokenFault::PublicKeyAsSecret => Ok(keys.sign_with_public_key(&claims)),
            IdTokenFault::Garbage => Ok("an.id-token".to_owned()),
            _ => keys.sign(&claims),
        }
    }
}

/// The left half of the SHA-256 hash (OIDC Core §3.1.3.6).
fn half_hash(text: &str) -> String {
    let hash = digest(&SHA256, text.as_bytes());
    URL_SAFE_NO_PAD.encode(hash.as_ref().get(..16).unwrap_or_default())
}
