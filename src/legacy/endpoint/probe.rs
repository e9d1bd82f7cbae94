//! A look at an HTTP endpoint: it is asked for people nobody is, and has to say so.

use async_trait::async_trait;
use uuid::Uuid;

use super::Endpoint;
use crate::{
    clock::{Clock, Deadline},
    config::UrlTemplate,
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
        let one = async |check, key, template: &Option<UrlTemplate>| {
            let Some(template) = template else { return not_set(check, key, notes) };
            match self.calls.one(template, &nobody, deadline).await {
                // Where nobody's answers are all there is to go by, they should not be anybody's.
                Ok(None)
                    if self.find_by_email.is_none() && self.is_nowhere(template, &nobody, deadline).await =>
                {
                    tell_nowhere(check, key, notes);
                }
                found => tell_nobody(check, key, found.map(|found| found.is_none()), notes),
            }
        };
        tokio::join!(
            one("find", "http.find", &self.find),
            one("find_by_id", "http.find_by_id", &self.find_by_id),
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

impl Endpoint {
    /// What cannot be asked is told where it is asked for in earnest.
    async fn is_nowhere(&self, template: &UrlTemplate, nobody: &str, deadline: Deadline) -> bool {
        self.calls.is_like_nowhere(template, nobody, deadline).await.unwrap_or(false)
    }
}

fn tell_nowhere(check: &'static str, key: &str, notes: &Notes) {
    notes.warn(
        check,
        key,
        "nobody is answered as an address is that is not served: nothing shows that the endpoint is there",
        "try the path with somebody who exists, and set `find_by_email`, whose answer is a list also for nobody; an \
         ingress in front of a service that is gone would say of everybody that they do not exist",
    );
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
            "the endpoint must compare the whole name and answer with one of `nobody`'s status codes else \
             (find_by_email: with an empty list): what it gives is taken for the person who signs in",
        ),
        Err(error) => {
            let fix = "check `auth`, the path, and that an unknown person is answered with one of `nobody`'s \
                       status codes (find_by_email: with an empty list)";
            tell(&error, check, key, fix, notes);
        }
    }
}
