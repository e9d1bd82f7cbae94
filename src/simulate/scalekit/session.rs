//! Sessions of the hosted login. Only a sign-in begins one; the API reads and ends them.

use serde_json::{Value, json};

use super::records::put;
use crate::clock::Timestamp;

/// How a session of the hosted login stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum SessionEnd {
    Expired,
    Revoked,
    Logout,
}

#[derive(Clone)]
pub(super) struct Session {
    pub(super) id: String,
    pub(super) user: String,
    pub(super) organization: String,
    pub(super) clients: Vec<(String, String)>,
    pub(super) user_agent: String,
    pub(super) created: Timestamp,
    pub(super) active: Timestamp,
    pub(super) idle_end: Timestamp,
    pub(super) absolute_end: Timestamp,
    pub(super) ended: Option<(SessionEnd, Timestamp)>,
}

impl Session {
    /// How it ended, if it did by `now`.
    pub(super) fn end_at(&self, now: Timestamp) -> Option<(SessionEnd, Timestamp)> {
        let last = self.idle_end.min(self.absolute_end);
        self.ended.or_else(|| (last <= now).then_some((SessionEnd::Expired, last)))
    }

    pub(super) fn status_at(&self, now: Timestamp) -> &'static str {
        match self.end_at(now) {
            None => "active",
            Some((SessionEnd::Expired, _)) => "expired",
            Some((SessionEnd::Revoked, _)) => "revoked",
            Some((SessionEnd::Logout, _)) => "logout",
        }
    }

    pub(super) fn to_json(&self, now: Timestamp) -> Value {
        let mut shown = self.revoked_json(now);
        if let Value::Object(members) = &mut shown {
            let clients = self.clients.iter().map(
                |(client, organization)| json!({ "client_id": client, "organization_id": organization }),
            );
            let device = json!({
                "user_agent": self.user_agent, "os": "", "os_version": "", "browser": "", "browser_version": "",
                "device_type": "", "ip": "127.0.0.1",
            });
            members.extend([
                ("organization_id".to_owned(), Value::from(self.organization.clone())),
                ("authenticated_organizations".to_owned(), json!([self.organization])),
                ("authenticated_clients".to_owned(), clients.collect()),
                ("device".to_owned(), device),
            ]);
        }
        shown
    }

    /// The shorter form of the answers to a revocation.
    pub(super) fn revoked_json(&self, now: Timestamp) -> Value {
        let mut shown = json!({
            "session_id": self.id,
            "user_id": self.user,
            "status": self.status_at(now),
            "created_at": self.created.to_string(),
            "updated_at": self.active.to_string(),
            "last_active_at": self.active.to_string(),
            "idle_expires_at": self.idle_end.to_string(),
            "absolute_expires_at": self.absolute_end.to_string(),
        });
        match self.end_at(now) {
            Some((SessionEnd::Logout, at)) => put(&mut shown, "logout_at", Some(at)),
            Some((_, at)) => put(&mut shown, "expired_at", Some(at)),
            None => {}
        }
        shown
    }
}
