//! Organisations by their external id.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use reqwest::Method;

use super::{channel::read, client::Api, error::Trouble, wire};
use crate::{
    clock::Deadline,
    config,
    login::{ErrorClass, OrganizationId},
};

/// How many organisations are remembered, and for how long: one that was deleted is asked for again.
const REMEMBERED_MAX: usize = 4096;
const REMEMBERED_FOR: Duration = Duration::from_mins(10);

/// How long an organisation that does not exist is not asked for again.
const UNKNOWN_FOR: Duration = Duration::from_secs(30);

/// Look-ups of one organisation wait for each other, so that a thousand first sign-ins cost one call.
const TURNS: usize = 32;

const DISPLAY_NAME_CHARS_MAX: usize = 200;
const EXTERNAL_ID_CHARS_MAX: usize = 255;

/// The organisations of one environment.
pub(super) struct Organizations {
    default: config::Organization,
    may_create: bool,
    known: Mutex<HashMap<String, Known>>,
    turns: [tokio::sync::Mutex<()>; TURNS],
}

/// What was learnt of one external id; `None`: there is no such organisation.
#[derive(Clone)]
struct Known {
    id: Option<OrganizationId>,
    /// Monotonic reading.
    until: Duration,
}

impl Organizations {
    pub(super) fn new(default: config::Organization, may_create: bool) -> Self {
        Self { default, may_create, known: Mutex::default(), turns: Default::default() }
    }

    /// The organisation with this external id, or the default one; created where that is allowed.
    pub(super) async fn find(
        &self,
        api: &Api,
        external_id: Option<&str>,
        deadline: Deadline,
    ) -> Result<Option<OrganizationId>, Trouble> {
        let external_id = external_id.unwrap_or(&self.default.external_id);
        if let Some(known) = self.remembered(api, external_id) {
            return Ok(known.id);
        }
        if !(1..=EXTERNAL_ID_CHARS_MAX).contains(&external_id.chars().count()) {
            let problem = "an organisation's external id has not 1 to 255 characters";
            return Err(Trouble::not_sent(ErrorClass::Permanent, problem));
        }
        let turn = self.turn(external_id);
        let Ok(_turn) = tokio::time::timeout(deadline.remaining(), turn.lock()).await else {
            let class = ErrorClass::Transient { retry_after: None };
            return Err(Trouble::not_sent(class, "no time left while another look-up was under way"));
        };
        if let Some(known) = self.remembered(api, external_id) {
            return Ok(known.id);
        }
        if let Some(id) = self.look_up(api, external_id, deadline).await? {
            return Ok(Some(id));
        }
        let is_default = external_id == self.default.external_id;
        match (self.may_create, is_default) {
            (true, _) => self.create(api, external_id, deadline).await.map(Some),
            (false, true) => {
                let problem = format!(
                    "the default organisation (external id {external_id:?}) does not exist; create it, or set \
                     scalekit.create_organizations"
                );
                Err(Trouble::not_sent(ErrorClass::Misconfigured, problem))
            }
            (false, false) => {
                self.remember(api, external_id, None);
                Ok(None)
            }
        }
    }

    /// The default organisation, if it is there; never made here.
    pub(super) async fn default_there(
        &self,
        api: &Api,
        deadline: Deadline,
    ) -> Result<Option<OrganizationId>, Trouble> {
        self.look_up(api, &self.default.external_id, deadline).await
    }

    pub(super) fn default_external_id(&self) -> &str {
        &self.default.external_id
    }

    pub(super) fn may_create(&self) -> bool {
        self.may_create
    }

    /// Asks anew next time: Scalekit said that an organisation does not exist.
    pub(super) fn forget(&self, id: &OrganizationId) {
        self.known().retain(|_, known| known.id.as_ref() != Some(id));
    }

    async fn look_up(
        &self,
        api: &Api,
        external_id: &str,
        deadline: Deadline,
    ) -> Result<Option<OrganizationId>, Trouble> {
        let call = api.call(Method::GET, "/organizations:external/{}", &[external_id], &[])?;
        let answer = match api.send(&call, deadline).await {
            Err(trouble) if trouble.status() == Some(404) => return Ok(None),
            answer => answer?,
        };
        let id = read::<wire::OneOrganization>(&answer)?.read(external_id)?;
        self.remember(api, external_id, Some(&id));
        Ok(Some(id))
    }

    async fn create(
        &self,
        api: &Api,
        external_id: &str,
        deadline: Deadline,
    ) -> Result<OrganizationId, Trouble> {
        let is_default = external_id == self.default.external_id;
        let name = if is_default { &self.default.display_name } else { external_id };
        let display_name: String = name.chars().take(DISPLAY_NAME_CHARS_MAX).collect();
        let body = wire::CreateOrganization { display_name: &display_name, external_id };
        let call = api.call(Method::POST, "/organizations", &[], &[])?.with_body(&body)?;
        let created = match api.send(&call, deadline).await {
            Ok(answer) => read::<wire::OneOrganization>(&answer).and_then(|one| one.read(external_id)),
            Err(trouble) => Err(trouble),
        };
        match created {
            Ok(id) => {
                self.remember(api, external_id, Some(&id));
                Ok(id)
            }
            // Another replica was faster, or the answer was lost: whoever made it, it is the one that is meant.
            Err(trouble) => match self.look_up(api, external_id, deadline).await {
                Ok(Some(id)) => Ok(id),
                _ => Err(trouble),
            },
        }
    }

    fn remembered(&self, api: &Api, external_id: &str) -> Option<Known> {
        let now = api.clock.monotonic();
        self.known().get(external_id).filter(|known| now < known.until).cloned()
    }

    fn remember(&self, api: &Api, external_id: &str, id: Option<&OrganizationId>) {
        let now = api.clock.monotonic();
        let until = now + if id.is_some() { REMEMBERED_FOR } else { UNKNOWN_FOR };
        let mut known = self.known();
        if known.len() >= REMEMBERED_MAX {
            known.retain(|_, known| now < known.until);
        }
        if known.len() >= REMEMBERED_MAX {
            known.clear();
        }
        known.insert(external_id.to_owned(), Known { id: id.cloned(), until });
    }

    /// The lock of this external id, shared with few others.
    fn turn(&self, external_id: &str) -> &tokio::sync::Mutex<()> {
        let hash = external_id.bytes().fold(0_usize, |hash, b| hash.wrapping_mul(31).wrapping_add(b.into()));
        let [first, ..] = &self.turns;
        self.turns.get(hash % TURNS).unwrap_or(first)
    }

    /// A poisoned lock still holds a whole map: nothing in this file panics half-way.
    fn known(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
