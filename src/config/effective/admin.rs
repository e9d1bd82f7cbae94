//! Section `admin`.

use std::path::Path;

use super::whole;
use crate::config::{
    Admin, AdminRole,
    raw::{self, Span},
};

pub(super) fn admin(admin: &Admin, raw: Option<&raw::Admin>, base: &Path) -> raw::Admin {
    let said = raw.and_then(|raw| raw.tokens.as_deref()).unwrap_or_default();
    let tokens = admin.tokens.iter().zip(said).map(|(token, said)| raw::AdminToken {
        name: Some(token.name.clone()),
        role: Some(match token.role {
            AdminRole::Viewer => raw::AdminRole::Viewer,
            AdminRole::Operator => raw::AdminRole::Operator,
        }),
        token: whole(said.token.as_ref(), base),
    });
    raw::Admin {
        listen: Some(admin.listen),
        tokens: Some(tokens.collect()),
        wrong_tokens: Some(raw::Rate {
            tries: Some(admin.wrong_tokens.tries),
            per: Some(Span(admin.wrong_tokens.per)),
        }),
    }
}
