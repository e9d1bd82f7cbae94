//! What is different while the store is in doubt (truth 8), and the looks that tell.

use std::sync::Arc;

use super::{Journeys, callback::BORN_NEW_SOURCE};
use crate::{
    clock::Deadline,
    config::HandOff,
    identity::{ExternalId, LegacyId, LoginName, PersonKey, SourceName},
    login::{
        Alias, Asker, Basis, DirectoryUser, Doubt, HandOver, Ledger as _, LedgerError, Origin, Presence, Row,
        RowState, Settings, StoreStanding,
    },
    rollout::{self, Facts, Forced, Known, Lane},
};

impl Journeys {
    /// Looks at the store, and tells what changed; gives the removed people whom it had lost and has again. To be called
    /// again and again.
    pub(crate) async fn look_at_store(&self) -> Result<Vec<Row>, LedgerError> {
        let doubt = self.look_at_epoch().await?;
        // One that was reached anew may have lost somebody, too, though nobody doubts it.
        let may_lack = doubt.is_some() || !self.trust.settles_in().is_zero();
        let compared = self.ledger.compare(may_lack, self.clock.now()).await?;
        for key in &compared.unreadable {
            self.witness.unreadable(key);
        }
        self.witness.removed_again(compared.again.len());
        Ok(compared.again)
    }

    async fn look_at_epoch(&self) -> Result<Option<Doubt>, LedgerError> {
        let mut doubt = self.trust.look().await?;
        if doubt == Some(Doubt::NotAskedYet) {
            doubt = self.first_look().await?;
        }
        if self.trust.tell(doubt) {
            self.witness.doubted(doubt);
        }
        Ok(doubt)
    }

    /// To be waited for before anybody moves or is let in on the store's word that they are not removed: where it may
    /// have lost something a moment ago, other replicas may know what, and are given the time to write it back.
    pub(super) async fn settled(&self) -> Result<(), LedgerError> {
        if !self.trust.settles() {
            return Ok(());
        }
        self.trust.look().await?;
        let wait = self.trust.settles_in();
        if !wait.is_zero() {
            self.clock.sleep(wait).await;
        }
        Ok(())
    }

    /// Whether a person has been removed since their row was last read.
    pub(crate) async fn is_removed(&self, key: &PersonKey) -> Result<bool, LedgerError> {
        Ok(self.ledger.row(key).await?.is_some_and(|row| row.state == RowState::Tombstone))
    }

    /// How the store stands, for operators.
    pub(crate) fn store_standing(&self) -> StoreStanding {
        self.trust.standing()
    }

    /// An operator takes the store as it is: from now on people are created again.
    pub(crate) async fn confirm_store(&self) -> Result<StoreStanding, LedgerError> {
        let standing = self.trust.confirm().await?;
        // Who was removed is for the next look, which also ends their sessions.
        self.look_at_epoch().await?;
        Ok(standing)
    }

    /// A store without an epoch: a first installation, or one that lost everything? Scalekit knows.
    async fn first_look(&self) -> Result<Option<Doubt>, LedgerError> {
        if self.trust.is_new() {
            // People are here, who were written before stores had epochs; not those who signed in while it was away and
            // came back empty.
            if !self.trust.was_blind() && !self.ledger.is_empty().await? {
                return self.trust.begin(None).await;
            }
            // Said in the store before anybody signs in: the rows of those who do, until Scalekit was asked, are not
            // taken for people of an earlier version, here or at another replica.
            let doubt = self.trust.begin(Some(Doubt::NotAskedYet)).await?;
            if doubt != Some(Doubt::NotAskedYet) {
                return Ok(doubt);
            }
        }
        let settings = self.settings.load_full();
        let is_ours = |id: &ExternalId| {
            settings.sources.iter().any(|(name, rules)| rules.external_id.could_be(name, id))
        };
        let deadline = Deadline::within(settings.migration.outcome_budget);
        match self.directory.anybody_named(&is_ours, deadline).await {
            Ok(Presence::Nobody) => self.trust.begin(None).await,
            Ok(Presence::Somebody | Presence::CannotTell) => {
                self.trust.begin(Some(Doubt::PeopleAtScalekit)).await
            }
            Err(error) => {
                self.witness.unavailable("first_look", &error);
                Ok(Some(Doubt::NotAskedYet))
            }
        }
    }

    /// In doubt, a name without a row may be that of somebody born new, for whom there is no legacy door. Scalekit is
    /// asked for the exact address, so many times a second and no more, once no legacy store knows the name.
    pub(super) async fn recognise(
        &self,
        settings: &Arc<Settings>,
        name: &LoginName,
        asker: Asker,
    ) -> Option<Row> {
        self.trust.doubt()?;
        let email = name.email()?;
        let chain = self.chain.load_full();
        let deadline = Deadline::within(settings.migration.legacy_budget);
        if !matches!(chain.find(name, deadline).await, Ok(None)) {
            return None;
        }
        let search = chain.search(email, deadline).await.ok()?;
        if !settings.may_be_new(&search) {
            return None;
        }
        if !self.trust.may_look_up(asker) {
            return None;
        }
        let deadline = Deadline::within(settings.migration.scalekit_budget);
        let found = self.directory.find_by_email(email, deadline).await;
        let found = found.map_err(|error| self.witness.unavailable("recognise", &error)).ok()??;
        // One with an external id was moved here from a legacy store.
        if found.external_id.is_some() {
            return None;
        }
        self.born_new_row(settings, name, &found)
    }

    /// What the lost row said of the way in. It is not written: the callback does that once Scalekit has named them.
    fn born_new_row(&self, settings: &Settings, name: &LoginName, user: &DirectoryUser) -> Option<Row> {
        let key = PersonKey { source: SourceName::parse(BORN_NEW_SOURCE)?, id: LegacyId::parse(&user.id.0)? };
        let external_id = ExternalId::received(user.id.0.clone());
        let mut row = Row::fresh(key, settings.salt.bucket(name), external_id, self.clock.now());
        row.state = RowState::Done;
        row.origin = Origin::BornNew;
        row.user = Some(user.id.clone());
        row.crossed_at = Some(self.clock.now());
        row.add_alias(Alias::Typed(name.canonical().to_owned()));
        Some(row)
    }

    /// While the ledger cannot be asked: whether a sign-in by this name, on the device of somebody who crossed, has to wait
    /// for it. Whom the dial has sent back has a legacy door again, and whoever was born new has none (truth 7).
    pub(crate) fn waits_for_ledger(
        &self,
        device: &PersonKey,
        name: &LoginName,
        forced: Option<&Forced>,
    ) -> bool {
        let settings = self.settings.load();
        let facts = Facts {
            known: if device.source.as_str() == BORN_NEW_SOURCE { Known::BornNew } else { Known::Crossed },
            forced,
            names: std::slice::from_ref(name),
            organization: None,
            bucket: settings.salt.bucket(name),
        };
        rollout::weigh(&settings.dial, &facts).decision.lane == Lane::New
    }

    /// In doubt, a device that belongs to somebody born new is believed: a legacy form would be of no use to them.
    pub(super) fn device_in_doubt(&self, key: &PersonKey) -> Option<HandOver> {
        self.trust.doubt()?;
        (key.source.as_str() == BORN_NEW_SOURCE).then(|| HandOver {
            hand_off: HandOff::Hosted,
            login_hint: None,
            key: key.clone(),
            migrated_now: false,
            basis: Basis::Device,
            crossed: true,
        })
    }
}
