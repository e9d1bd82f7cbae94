//! A look at an HTTP endpoint: it is asked for people nobody is, and has to say so.

use async_trait::async_trait;
use uuid::Uuid;

use super::Endpoint;
use crate::{
    clock::{Clock, Deadline},
    findings::Notes,
    legacy::probe::{Probe, tell},
    login::LegacyError,
    net::{Look, look},
};

const CONNECT_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(3);

#[async_trait]
impl Probe for Endpoint {
    async fn probe(&self, notes: &Notes, clock: &dyn Clock, deadline: Deadline) {
        let what = Look {
            url: self.calls.address(),
            headers: Vec::new(),
            ca_file: None,
            connect_timeout: CONNECT_TIMEOUT,
        };
        match look(&what, clock, deadline).await {
            Ok(sight) => sight.tell(notes, "http.url"),
            Err(unseen) => return unseen.tell(notes, "http.url"),
        }
        let nobody = format!("nobody-{}", Uuid::now_v7());
        let address = format!("{nobody}@crossfade.invalid");
        tokio::join!(
            async {
                let Some(template) = &self.find else { return not_set("find", "http.find", notes) };
                let found = self.calls.one(template, &nobody, deadline).await;
                tell_nobody("find", "http.find", found.map(|found| found.is_none()), notes);
            },
            async {
                let Some(template) = &self.find_by_id else {
                    return not_set("find_by_id", "http.find_by_id", notes);
                };
                let found = self.calls.one(template, &nobody, deadline).await;
                tell_nobody("find_by_id", "http.find_by_id", found.map(|found| found.is_none()), notes);
            },
            async {
                let Some(template) = &self.find_by_email else {
                    return not_set("find_by_email", "http.find_by_email", notes);
                };
                let found = self.calls.list(template, &address, deadline).await;
                tell_nobody("find_by_email", "http.find_by_email", found.map(|all| all.is_empty()), notes);
            },
        );
        notes.skipped("check", "http.check", "not tried: it would be a guess at somebody's password");
    }
}

fn not_set(check: &'static str, key: &str, notes: &Notes) {
    notes.skipped(check, key, "not set");
}

fn tell_nobody(check: &'static str, key: &str, is_nobody: Result<bool, LegacyError>, notes: &Notes) {
    match is_nobody {
        Ok(true) => notes.ok(check, key, "somebody who does not exist is not there"),
        Ok(false) => notes.fail(
            check,
            key,
            "gives a person for a name that nobody has",
            "the endpoint must compare the whole name and answer with one of `nobody`'s status codes else: what it \
             gives is taken for the person who signs in",
        ),
        Err(error) => {
            let fix = "check `auth`, the path, and that an unknown person is answered with one of `nobody`'s \
                       status codes";
            tell(&error, check, key, fix, notes);
        }
    }
}
