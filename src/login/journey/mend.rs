//! Somebody who is DONE and whose user at Scalekit is not what it was: deleted there, or with another address.
//!
//! Only an operator has that mended, never a sign-in: a person whom the directory removed must not come back by
//! themselves (truth 5).

use super::{Journeys, NotDone};
use crate::{
    clock::Deadline,
    identity::VerifiedEmail,
    login::{Alias, DirectoryUser, Ledger as _, Origin, Row, RowState, eligibility},
};

impl Journeys {
    /// The row as it is to be, by what Scalekit says of the person's user now.
    pub(super) async fn mended(&self, row: Row) -> Result<Row, NotDone> {
        let deadline = Deadline::within(self.settings.load().migration.scalekit_budget);
        let user = match &row.user {
            Some(id) => self.directory.read_user(id, deadline).await?,
            None => None,
        };
        match user {
            Some(user) if row.origin == Origin::BornNew || is_theirs(&row, &user) => {
                self.with_new_address(row, &user).await
            }
            _ => Ok(without_user(row)),
        }
    }

    /// The user is theirs. Their address counts where the legacy side says the same: it may be anybody's otherwise.
    async fn with_new_address(&self, mut row: Row, user: &DirectoryUser) -> Result<Row, NotDone> {
        if row.origin == Origin::BornNew
            || user.email.as_ref() == row.email.as_ref().map(VerifiedEmail::email)
        {
            return Err(NotDone::UserIsThere);
        }
        let settings = self.settings.load_full();
        let deadline = Deadline::within(settings.migration.legacy_budget);
        let record = self.chain.load_full().read(&row.key.source, &row.key.id, deadline).await?;
        let (Some(record), Some(rules)) = (record, settings.sources.get(&row.key.source)) else {
            return Err(NotDone::AddressDiffers);
        };
        let accepted = &settings.migration.mfa_accepted_organizations;
        let judged = eligibility::judge(&record, None, &row.external_id, rules, accepted);
        let Some(email) = judged.ok().filter(|email| user.email.as_ref() == Some(email.email())) else {
            return Err(NotDone::AddressDiffers);
        };
        let alias = Alias::Email(email.email().clone());
        if self.ledger.find(&alias).await?.is_some_and(|other| other.key != row.key) {
            return Err(NotDone::AddressDiffers);
        }
        row.aliases.retain(|alias| !matches!(alias, Alias::Email(_)));
        row.add_alias(alias);
        (row.email, row.record) = (Some(email), Some(record));
        Ok(row)
    }
}

fn is_theirs(row: &Row, user: &DirectoryUser) -> bool {
    user.external_id.as_ref() == Some(&row.external_id)
}

/// They have no user any more. Whoever crossed stays so, and no legacy password opens anything for them (REL-08): what
/// links them to another user is their mailbox.
fn without_user(mut row: Row) -> Row {
    row.aliases.retain(|alias| !matches!(alias, Alias::User(_)));
    Row { state: RowState::None, user: None, create_sent_at: None, ..row }
}
