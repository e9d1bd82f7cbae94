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

const DISPLAY_NAME_CHARS_MAX: usize = 200;
const EXTERNAL_ID_CHARS_MAX: usize = 255;

/// The organisations of one environment.
pub(super) struct Organizations {
    default: config::Organization,
    may_create: bool,
    /// By external id, with the monotonic reading at which each was learnt.
    known: Mutex<HashMap<String, (OrganizationId, Duration)>>,
    /// One creation at a time: two of ours must not race each other.
    creating: tokio::sync::Mutex<()>,
}

impl Organizations {
    pub(super) fn new(default: config::Organization, may_create: bool) -> Self {
        Self { default, may_create, known: Mutex::default(), creating: tokio::sync::Mutex::default() }
    }

    /// The organisation with this external id, or the default one; created where that is allowed.
    pub(super) async fn find(
        &self,
        api: &Api,
        external_id: Option<&str>,
        deadline: Deadline,
    ) -> Result<Option<OrganizationId>, Trouble> {
        let external_id = external_id.unwrap_or(&self.default.external_id);
        if let Some(id) = self.remembered(api, external_id) {
            return Ok(Some(id));
        }
        if !(1..=EXTERNAL_ID_CHARS_MAX).contains(&external_id.chars().count()) {
            let problem = "an organisation's external id has not 1 to 255 characters";
            return Err(Trouble::not_sent(ErrorClass::Permanent, problem));
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
            (false, false) => Ok(None),
        }
    }

    /// Asks anew next time: Scalekit said that an organisation does not exist.
    pub(super) fn forget(&self, id: &OrganizationId) {
        self.known().retain(|_, (known, _)| known != id);
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
        self.remember(api, external_id, &id);
        Ok(Some(id))
    }

    async fn create(
        &self,
        api: &Api,
        external_id: &str,
        deadline: Deadline,
    ) -> Result<OrganizationId, Trouble> {
        let turn = tokio::time::timeout(deadline.remaining(), self.creating.lock()).await;
        let Ok(_turn) = turn else {
            let class = ErrorClass::Transient { retry_after: None };
            return Err(Trouble::not_sent(class, "no time left while an organisation was being created"));
        };
        if let Some(id) = self.remembered(api, external_id) {
            return Ok(id);
        }
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
                self.remember(api, external_id, &id);
                Ok(id)
            }
            // Another replica was faster, or the answer was lost: whoever made it, it is the one that is meant.
            Err(trouble) => match self.look_up(api, external_id, deadline).await {
                Ok(Some(id)) => Ok(id),
                _ => Err(trouble),
            },
        }
    }

    fn remembered(&self, api: &Api, external_id: &str) -> Option<OrganizationId> {
        let now = api.clock.monotonic();
        let known = self.known();
        let (id, at) = known.get(external_id)?;
        (now.saturating_sub(*at) < REMEMBERED_FOR).then(|| id.clone())
    }

    fn remember(&self, api: &Api, external_id: &str, id: &OrganizationId) {
        let now = api.clock.monotonic();
        let mut known = self.known();
        if known.len() >= REMEMBERED_MAX {
            known.retain(|_, (_, at)| now.saturating_sub(*at) < REMEMBERED_FOR);
        }
        if known.len() >= REMEMBERED_MAX {
            known.clear();
        }
        known.insert(external_id.to_owned(), (id.clone(), now));
    }

    /// A poisoned lock still holds a whole map: nothing in this file panics half-way.
    fn known(&self) -> MutexGuard<'_, HashMap<String, (OrganizationId, Duration)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
