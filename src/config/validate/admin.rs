//! Section `admin`.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use super::Check;
use crate::config::{Admin, AdminRole, AdminToken, Public, Rate, problem::At, raw};

/// Enough for a hand that slips, too few to guess with.
const WRONG_TOKENS: Rate = Rate { tries: 10, per: Duration::from_mins(1) };

/// Every call is compared with every token.
const MOST_TOKENS: usize = 64;

impl Check<'_> {
    pub(super) fn admin(&mut self, raw: Option<raw::Admin>, public: Option<&Public>) -> Admin {
        let at = At::section("admin");
        let raw = raw.unwrap_or_default();
        let default = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9090);
        let listen = raw.listen.unwrap_or(default);
        let public = public.map(|public| public.listen).filter(|public| public.port() != 0);
        if let Some(public) = public {
            let overlap =
                public.ip() == listen.ip() || public.ip().is_unspecified() || listen.ip().is_unspecified();
            if overlap && public.port() == listen.port() {
                self.problem(&at.key("listen"), "is the public listener: give it a port of its own");
            }
        }
        let tokens = self.admin_tokens(&at.key("tokens"), raw.tokens.unwrap_or_default());
        let wrong_tokens = self.rate(&at.key("wrong_tokens"), raw.wrong_tokens, WRONG_TOKENS);
        Admin { listen, tokens, wrong_tokens }
    }

    fn admin_tokens(&mut self, at: &At, raw: Vec<raw::AdminToken>) -> Vec<AdminToken> {
        if raw.len() > MOST_TOKENS {
            self.problem(at, format!("has more than {MOST_TOKENS} entries: remove some"));
        }
        let mut tokens: Vec<AdminToken> = Vec::new();
        for (n, entry) in raw.into_iter().enumerate() {
            let at = at.index(n);
            let name = self.required(&at.key("name"), entry.name);
            let name = name.and_then(|name| self.word(&at.key("name"), &name));
            let role = self.required(&at.key("role"), entry.role);
            let token = self.key(&at.key("token"), entry.token);
            if token.as_ref().is_some_and(|token| !token.expose().bytes().all(|b| b.is_ascii_graphic())) {
                self.problem(
                    &at.key("token"),
                    "has blanks or other than ASCII characters: make one with `openssl rand -base64 48`",
                );
            }
            let (Some(name), Some(role), Some(token)) = (name, role, token) else { continue };
            if tokens.iter().any(|known| known.name == name) {
                self.problem(&at.key("name"), "is there twice: audit events could not tell them apart");
            }
            if tokens.iter().any(|known| known.token == token) {
                self.problem(&at.key("token"), "is the same token as one before it: give each its own");
            }
            let role = match role {
                raw::AdminRole::Viewer => AdminRole::Viewer,
                raw::AdminRole::Operator => AdminRole::Operator,
            };
            tokens.push(AdminToken { name, role, token });
        }
        tokens
    }
}
