//! A look at a Stormpath application: the key, the accounts it may search, and their groups.

use async_trait::async_trait;
use serde_json::Value;
use url::Url;

use super::{Stormpath, accounts::Account};
use crate::{
    clock::{Clock, Deadline},
    findings::Notes,
    legacy::probe::{Probe, tell},
    login::LegacyError,
    net::{Look, look},
};

const URL: &str = "stormpath.url";
const KEY: &str = "stormpath.api_key_secret";

const CONNECT_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(3);

#[async_trait]
impl Probe for Stormpath {
    async fn probe(&self, notes: &Notes, clock: &dyn Clock, deadline: Deadline) {
        let what = Look {
            url: self.api.address(),
            headers: Vec::new(),
            ca_file: None,
            connect_timeout: CONNECT_TIMEOUT,
        };
        match look(&what, clock, deadline).await {
            Ok(sight) => sight.tell(notes, URL),
            Err(unseen) => return unseen.tell(notes, URL),
        }
        let accounts = match self.first_accounts(deadline).await {
            Ok(Some(accounts)) => accounts,
            Ok(None) => {
                return notes.fail(
                    "application",
                    URL,
                    "there is no application at this address",
                    "set the application's own href, …/v1/applications/ID, and a key that belongs to it",
                );
            }
            Err(error) => {
                let fix = "set the id and the secret of an API key that may read this application's accounts";
                return tell(&error, "application", KEY, fix, notes);
            }
        };
        notes.ok("application", KEY, "the key may read its accounts");
        self.probe_groups(accounts.first(), notes, deadline).await;
    }
}

impl Stormpath {
    /// The first page of accounts; `None` where there is no such application.
    async fn first_accounts(&self, deadline: Deadline) -> Result<Option<Vec<Account>>, LegacyError> {
        #[derive(serde::Deserialize)]
        struct Page {
            items: Vec<Account>,
        }
        let url = limited(self.api.application(["accounts"])?);
        Ok(self.api.read::<Page>(url, deadline).await?.map(|page| page.items))
    }

    async fn probe_groups(&self, account: Option<&Account>, notes: &Notes, deadline: Deadline) {
        const CHECK: &str = "groups";
        if self.roles.0.is_empty() {
            return notes.skipped(CHECK, "roles", "not needed: no group gives a role");
        }
        let Some(account) = account else {
            return notes.skipped(CHECK, KEY, "not asked: there is no account to try it on");
        };
        let asked = async {
            let id = self.id_of(account)?;
            let Some(url) = self.api.account(&id, &["groups"])? else { return Ok(None) };
            self.api.read::<Value>(limited(url), deadline).await
        };
        match asked.await {
            Ok(_) => notes.ok(CHECK, KEY, "an account's groups can be read"),
            Err(error) => tell(&error, CHECK, KEY, "give the key the right to read groups", notes),
        }
    }
}

fn limited(mut url: Url) -> Url {
    url.query_pairs_mut().append_pair("limit", "1");
    url
}
