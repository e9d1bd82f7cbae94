//! Users and their memberships.

use std::collections::HashSet;

use reqwest::Method;

use super::{
    channel::read,
    client::Api,
    error::{Carried, Trouble},
    profile,
    wire::{OneUser, UpdateUser, Users as Page},
};
use crate::{
    clock::Deadline,
    identity::{CanonicalEmail, ExternalId},
    login::{DirectoryUser, ErrorClass, MembershipStatus, NewUser, OrganizationId, Presence, UserId},
};

/// Search takes queries of 3 to 100 characters and gives at most 30 users a page.
const QUERY_CHARS_MIN: usize = 3;
const QUERY_CHARS_MAX: usize = 100;
const PAGE_SIZE: &str = "30";

/// The list of users gives at most so many a page.
const LIST_PAGE_SIZE: &str = "100";

/// More pages than this are too many to be sure of; the answer is then an error, never "nobody".
const PAGES_MAX: usize = 10;

/// Explicit on every call that has it: the server's default sends a mail and leaves the membership pending.
const NO_INVITATION: (&str, &str) = ("send_invitation_email", "false");

/// The users of one environment.
pub(super) struct Users {
    pub(super) default_roles: Vec<String>,
    pub(super) lookup_by_external_id: bool,
}

impl Users {
    /// By the exact route, or by search where the server may lack it: a 404 would mean either.
    pub(super) async fn find_by_external_id(
        &self,
        api: &Api,
        id: &ExternalId,
        deadline: Deadline,
    ) -> Result<Option<DirectoryUser>, Trouble> {
        profile::check_external_id(id)?;
        if !self.lookup_by_external_id {
            return self.search_external_id(api, id, deadline).await;
        }
        let call = api.call(Method::GET, "/users:external/{}", &[id.as_str()], &[])?;
        let found = one_or_none(api.send(&call, deadline).await)?;
        match found {
            Some(user) if user.external_id.as_ref() != Some(id) => {
                Err(Trouble::garbage("answered with another user than asked for"))
            }
            found => Ok(found),
        }
    }

    async fn search_external_id(
        &self,
        api: &Api,
        id: &ExternalId,
        deadline: Deadline,
    ) -> Result<Option<DirectoryUser>, Trouble> {
        if id.as_str().chars().count() < QUERY_CHARS_MIN {
            let problem = "external ids below 3 characters cannot be searched for; set \
                           scalekit.lookup_by_external_id, or a longer external_id template";
            return Err(Trouble::not_sent(ErrorClass::Misconfigured, problem));
        }
        search(api, id.as_str(), deadline, |user| user.external_id.as_ref() == Some(id)).await
    }

    pub(super) async fn find_by_email(
        &self,
        api: &Api,
        email: &CanonicalEmail,
        deadline: Deadline,
    ) -> Result<Option<DirectoryUser>, Trouble> {
        search(api, email.as_str(), deadline, |user| user.email.as_ref() == Some(email)).await
    }

    pub(super) async fn read(
        &self,
        api: &Api,
        id: &UserId,
        deadline: Deadline,
    ) -> Result<Option<DirectoryUser>, Trouble> {
        let call = api.call(Method::GET, "/users/{}", &[&id.0], &[])?;
        match one_or_none(api.send(&call, deadline).await)? {
            Some(user) if user.id != *id => {
                Err(Trouble::garbage("answered with another user than asked for"))
            }
            found => Ok(found),
        }
    }

    /// The list of users is read from its beginning; what lies beyond so many pages is not known.
    pub(super) async fn anybody_named(
        &self,
        api: &Api,
        is_ours: &(dyn for<'id> Fn(&'id ExternalId) -> bool + Send + Sync),
        deadline: Deadline,
    ) -> Result<Presence, Trouble> {
        let mut page_token: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let mut parameters = vec![("page_size", LIST_PAGE_SIZE)];
            if let Some(token) = &page_token {
                parameters.push(("page_token", token));
            }
            let call = api.call(Method::GET, "/users", &[], &parameters)?;
            let (users, next) = read::<Page>(&api.send(&call, deadline).await?)?.read()?;
            if users.iter().filter_map(|user| user.external_id.as_ref()).any(is_ours) {
                return Ok(Presence::Somebody);
            }
            match next {
                None => return Ok(Presence::Nobody),
                Some(token) if Some(&token) == page_token.as_ref() => {
                    return Err(Trouble::garbage("the list of users leads in a circle"));
                }
                Some(token) => page_token = Some(token),
            }
        }
        Ok(Presence::CannotTell)
    }

    /// Sent at most once, unless a 401 says that nothing was done.
    pub(super) async fn create(
        &self,
        api: &Api,
        user: &NewUser,
        deadline: Deadline,
    ) -> Result<DirectoryUser, Trouble> {
        let body = profile::create_user(user, &self.default_roles)?;
        let path = "/organizations/{}/users";
        let call =
            api.call(Method::POST, path, &[&user.organization.0], &[NO_INVITATION])?.with_body(&body)?;
        read::<OneUser>(&api.send(&call, deadline).await?)?.read()
    }

    /// Our external id, then the membership; each only where it is missing. The user's own facts stay as they are:
    /// whether an update of `metadata` merges or replaces is not documented.
    pub(super) async fn link(
        &self,
        api: &Api,
        id: &UserId,
        new: &NewUser,
        deadline: Deadline,
    ) -> Result<DirectoryUser, Trouble> {
        profile::check_external_id(&new.external_id)?;
        let user = self.read_present(api, id, deadline).await?;
        match &user.external_id {
            Some(theirs) if *theirs != new.external_id => {
                return Err(Trouble::permanent("the user has another external id"));
            }
            Some(_) => {}
            None => {
                let body = UpdateUser { external_id: new.external_id.as_str() };
                let call = api.call(Method::PATCH, "/users/{}", &[&id.0], &[])?.with_body(&body)?;
                api.send(&call, deadline).await?;
            }
        }
        match status_in(&user, &new.organization) {
            // Taken out by a directory or an operator: not ours to bring back (truth 5).
            Some(MembershipStatus::Active | MembershipStatus::Inactive) => {}
            _ => self.join(api, id, new, deadline).await?,
        }
        self.read_present(api, id, deadline).await
    }

    async fn join(&self, api: &Api, id: &UserId, new: &NewUser, deadline: Deadline) -> Result<(), Trouble> {
        let body = profile::membership(new, &self.default_roles)?;
        let path = "/memberships/organizations/{}/users/{}";
        let ids = [new.organization.0.as_str(), &id.0];
        let call = api.call(Method::POST, path, &ids, &[NO_INVITATION])?.with_body(&body)?;
        match api.send(&call, deadline).await {
            Ok(_) => Ok(()),
            // Perhaps a member already, by an earlier try of ours: only a look can tell.
            Err(trouble) if matches!(trouble.status(), Some(400 | 409)) => {
                let user = self.read_present(api, id, deadline).await?;
                let is_member = status_in(&user, &new.organization).is_some();
                if is_member { Ok(()) } else { Err(trouble) }
            }
            Err(trouble) => Err(trouble),
        }
    }

    /// 400 and 404 are both seen for a membership that is not there; of the first, only a look can tell.
    pub(super) async fn remove_membership(
        &self,
        api: &Api,
        organization: &OrganizationId,
        id: &UserId,
        deadline: Deadline,
    ) -> Result<(), Trouble> {
        let path = "/memberships/organizations/{}/users/{}";
        let call = api.call(Method::DELETE, path, &[&organization.0, &id.0], &[])?;
        let Err(trouble) = api.send(&call, deadline).await else { return Ok(()) };
        match trouble.status() {
            Some(404) => Ok(()),
            Some(400) => {
                let user = self.read(api, id, deadline).await?;
                let is_gone = user.is_none_or(|user| status_in(&user, organization).is_none());
                if is_gone { Ok(()) } else { Err(trouble) }
            }
            _ => Err(trouble),
        }
    }

    async fn read_present(
        &self,
        api: &Api,
        id: &UserId,
        deadline: Deadline,
    ) -> Result<DirectoryUser, Trouble> {
        let user = self.read(api, id, deadline).await?;
        user.ok_or_else(|| Trouble::permanent("the user does not exist any more"))
    }
}

fn status_in(user: &DirectoryUser, organization: &OrganizationId) -> Option<MembershipStatus> {
    user.memberships.iter().find(|m| m.organization == *organization).map(|m| m.status)
}

/// A single user; `None` for 404.
fn one_or_none(answer: Result<crate::net::Answer, Trouble>) -> Result<Option<DirectoryUser>, Trouble> {
    match answer {
        Ok(answer) => read::<OneUser>(&answer)?.read().map(Some),
        Err(Trouble { carried: Carried::Refused(status), .. }) if status.as_u16() == 404 => Ok(None),
        Err(trouble) => Err(trouble),
    }
}

/// The one user that `is_meant`, out of everybody search finds.
///
/// Whether search compares by substring, prefix or whole value is not documented, so it only narrows and
/// `is_meant` decides. A text above 100 characters is searched for by its first 100: a server that compares whole
/// values will not find it, and create is then refused as a duplicate. Every page is read even after a match,
/// because a second one means that nobody can say who is meant.
async fn search(
    api: &Api,
    text: &str,
    deadline: Deadline,
    is_meant: impl Fn(&DirectoryUser) -> bool,
) -> Result<Option<DirectoryUser>, Trouble> {
    let query: String = text.chars().take(QUERY_CHARS_MAX).collect();
    let mut found: Option<DirectoryUser> = None;
    let mut page_token: Option<String> = None;
    let mut seen = HashSet::new();
    for _ in 0..PAGES_MAX {
        let mut parameters = vec![("query", query.as_str()), ("page_size", PAGE_SIZE)];
        if let Some(token) = &page_token {
            parameters.push(("page_token", token));
        }
        let call = api.call(Method::GET, "/users:search", &[], &parameters)?;
        let (users, next) = read::<Page>(&api.send(&call, deadline).await?)?.read()?;
        for user in users.into_iter().filter(&is_meant) {
            match &found {
                Some(first) if first.id != user.id => {
                    return Err(Trouble::permanent("search finds several users where one was expected"));
                }
                _ => found = Some(user),
            }
        }
        match next {
            None => return Ok(found),
            Some(token) if !seen.insert(token.clone()) => {
                return Err(Trouble::garbage("search leads in a circle"));
            }
            Some(token) => page_token = Some(token),
        }
    }
    Err(Trouble::permanent("search finds too many users to be sure"))
}
