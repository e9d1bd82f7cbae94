//! Scalekit: its directory of users and organisations, and its sign-in.
//!
//! Three ways lead there, each with its own client, breaker and rate-limit pause, so that a limit on the management
//! API does not end sign-ins: [`client::Api`] for the directory (REST), with [`token::Tokens`] for its token, and
//! [`oidc::Provider`] for the code flow. Every failure is first sorted by whether the request may have been carried
//! out (`error`), because that alone decides whether a create may be tried again. Texts of errors never hold
//! personal data, tokens, bodies or addresses. Start reading at `client`, then `users` and `oidc`.

mod channel;
mod client;
mod discovery;
mod error;
mod id_token;
mod jwks;
mod oidc;
mod organizations;
mod probe;
mod profile;
mod refresh;
mod secret;
mod shelf;
mod token;
mod users;
mod wire;

use std::sync::Arc;

use async_trait::async_trait;
use url::Url;

pub(crate) use self::probe::Expected;

use self::{
    channel::Channel, client::Api, discovery::Discovery, error::Trouble, jwks::Jwks, oidc::Provider,
    organizations::Organizations, secret::ClientSecret, token::Tokens, users::Users,
};
use crate::{
    clock::{Deadline, SharedClock},
    config,
    identity::{CanonicalEmail, ExternalId, Secret},
    login::{
        CreateError, Directory, DirectoryError, DirectoryUser, NewUser, OrganizationId, Presence, UserId,
    },
    net::{ClientError, Dependencies},
    session::{
        Authorize, FlowSecrets, IdentityProvider, RefreshError, RefreshWith, Refreshed, SignInError, SignedIn,
    },
};

/// One Scalekit environment, or for sign-in any `OpenID` provider in its place.
pub(crate) struct Scalekit {
    api: Api,
    users: Users,
    organizations: Organizations,
    provider: Provider,
    client_secret: Arc<ClientSecret>,
}

/// The environment cannot be talked to at all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScalekitError {
    #[error("scalekit.environment_url cannot be extended by a path")]
    EnvironmentUrl,
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl Scalekit {
    /// Opens no connection yet.
    pub(crate) fn new(
        config: &config::Scalekit,
        redirect_uri: &Url,
        clock: SharedClock,
        dependencies: &Dependencies,
    ) -> Result<Self, ScalekitError> {
        let discovery = Discovery::new(&config.environment_url, clock.clone());
        let under = |path: &str| {
            Url::parse(&format!("{}{path}", discovery.issuer)).map_err(|_| ScalekitError::EnvironmentUrl)
        };
        let channel = |name, rate| Channel::new(name, (config.timeout, rate), clock.clone(), dependencies);
        let (id, secret) = (config.client_id.clone(), ClientSecret::new(config.client_secret.clone()));
        let api = Api {
            channel: channel("scalekit", config.rate)?,
            token_channel: channel("scalekit_token", None)?,
            tokens: Tokens::new(under("/oauth/token")?, id.clone(), Arc::clone(&secret), clock.clone()),
            clock: clock.clone(),
            base: under("/api/v1")?.into(),
        };
        let provider = Provider {
            channel: channel("scalekit_sign_in", None)?,
            jwks: Jwks::new(clock.clone()),
            discovery,
            clock,
            client_id: id,
            client_secret: Arc::clone(&secret),
            redirect_uri: redirect_uri.clone(),
            scope: config.scopes.join(" "),
        };
        Ok(Self {
            api,
            users: Users {
                default_roles: config.default_roles.clone(),
                lookup_by_external_id: config.lookup_by_external_id,
            },
            organizations: Organizations::new(
                config.default_organization.clone(),
                config.create_organizations,
            ),
            provider,
            client_secret: secret,
        })
    }

    /// Takes a new client secret into force; the old one is tried once more where the new one is refused.
    pub(crate) fn set_client_secret(&self, secret: &Secret) {
        self.client_secret.replace(secret);
    }
}

#[async_trait]
impl Directory for Scalekit {
    async fn find_by_external_id(
        &self,
        id: &ExternalId,
        deadline: Deadline,
    ) -> Result<Option<DirectoryUser>, DirectoryError> {
        let found = self.users.find_by_external_id(&self.api, id, deadline).await;
        found.map_err(|trouble| trouble.into_directory("find_by_external_id"))
    }

    async fn find_by_email(
        &self,
        email: &CanonicalEmail,
        deadline: Deadline,
    ) -> Result<Option<DirectoryUser>, DirectoryError> {
        let found = self.users.find_by_email(&self.api, email, deadline).await;
        found.map_err(|trouble| trouble.into_directory("find_by_email"))
    }

    async fn read_user(
        &self,
        id: &UserId,
        deadline: Deadline,
    ) -> Result<Option<DirectoryUser>, DirectoryError> {
        let found = self.users.read(&self.api, id, deadline).await;
        found.map_err(|trouble| trouble.into_directory("read_user"))
    }

    async fn create_user(&self, user: &NewUser, deadline: Deadline) -> Result<DirectoryUser, CreateError> {
        let created = self.users.create(&self.api, user, deadline).await;
        self.note_missing(&user.organization, created).map_err(|trouble| trouble.into_create("create_user"))
    }

    async fn link_user(
        &self,
        id: &UserId,
        user: &NewUser,
        deadline: Deadline,
    ) -> Result<DirectoryUser, DirectoryError> {
        let linked = self.users.link(&self.api, id, user, deadline).await;
        self.note_missing(&user.organization, linked).map_err(|trouble| trouble.into_directory("link_user"))
    }

    async fn anybody_named(
        &self,
        is_ours: &(dyn for<'id> Fn(&'id ExternalId) -> bool + Send + Sync),
        deadline: Deadline,
    ) -> Result<Presence, DirectoryError> {
        let found = self.users.anybody_named(&self.api, is_ours, deadline).await;
        found.map_err(|trouble| trouble.into_directory("list_users"))
    }

    async fn remove_membership(
        &self,
        organization: &OrganizationId,
        user: &UserId,
        deadline: Deadline,
    ) -> Result<(), DirectoryError> {
        let removed = self.users.remove_membership(&self.api, organization, user, deadline).await;
        removed.map_err(|trouble| trouble.into_directory("remove_membership"))
    }

    async fn organization(
        &self,
        external_id: Option<&str>,
        deadline: Deadline,
    ) -> Result<Option<OrganizationId>, DirectoryError> {
        let found = self.organizations.find(&self.api, external_id, deadline).await;
        found.map_err(|trouble| trouble.into_directory("organization"))
    }
}

impl Scalekit {
    /// A 404 may mean that the organisation is gone: the next sign-in asks for it again.
    fn note_missing<T>(
        &self,
        organization: &OrganizationId,
        result: Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        if let Err(trouble) = &result
            && trouble.status() == Some(404)
        {
            self.organizations.forget(organization);
        }
        result
    }
}

#[async_trait]
impl IdentityProvider for Scalekit {
    async fn authorize_url(&self, begin: Authorize<'_>, deadline: Deadline) -> Result<Url, SignInError> {
        self.provider.authorize_url(begin, deadline).await
    }

    async fn redeem(
        &self,
        code: &str,
        secrets: &FlowSecrets,
        issuer: Option<&str>,
        deadline: Deadline,
    ) -> Result<SignedIn, SignInError> {
        self.provider.redeem(code, secrets, issuer, deadline).await
    }

    async fn refresh(&self, with: RefreshWith<'_>, deadline: Deadline) -> Result<Refreshed, RefreshError> {
        self.provider.refresh(with, deadline).await
    }

    async fn end_session_url(
        &self,
        id_token_hint: Option<&str>,
        after: &Url,
        deadline: Deadline,
    ) -> Result<Url, SignInError> {
        self.provider.end_session_url(id_token_hint, after, deadline).await
    }
}

#[cfg(test)]
mod tests;
