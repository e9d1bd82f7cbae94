//! The world around two replicas' runs of the machine: Scalekit, the ledger, the driver, and what may go wrong.

use super::{
    super::{Creating, Phase},
    entry::{Age, Asked, Entry, Happens, Named, Shown, Standing, State, Told},
};

/// What Scalekit does with a create whose person exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Duplicate {
    /// 409 or 400, which are one event.
    Refused,
    /// 201 with the existing user, and a membership added to it.
    Existing,
    /// 500.
    Internal,
    /// A second user. Then the outcome window has to be long enough, and no process may sleep through one.
    NothingIsUnique,
}

/// Who has the person's e-mail before anything happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    Nobody,
    /// Their own older user, without an external id.
    Linkable,
    Stranger,
}

#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each of which may be so or not")]
pub(super) struct Setting {
    pub(super) duplicate: Duplicate,
    pub(super) before: Before,
    /// Look-ups show a new user only after a while.
    pub(super) lags: bool,
    /// Whether the person may be removed, and the store lost.
    pub(super) removes: bool,
    pub(super) loses: bool,
    /// A seeded mistake of the ledger: writes are never refused.
    pub(super) ignores_fences: bool,
    /// A seeded mistake of the driver: the store is not looked at before a create.
    pub(super) never_doubts: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct User {
    named: Named,
    is_member: bool,
    is_visible: bool,
}

/// What a run does next: store what the machine said, or execute it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum At {
    Store(Told),
    Execute(Told),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Run {
    standing: Standing,
    at: At,
    /// Proof and intent are in the ledger.
    has_stored_intent: bool,
    has_read_back: bool,
}

/// The ledger numbers its writes; only "the newest" and "older" matter, so the numbers are kept small.
const NEWEST: u8 = 5;
const OLDER: u8 = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each of which may be so or not")]
pub(super) struct World {
    row: Option<Entry>,
    runs: [Option<Run>; 2],
    users: [Option<User>; 2],
    /// Creates that nobody waits for any more and that may still be carried out.
    on_the_way: u8,
    /// A create was sent and nobody knows what came of it; its time is running.
    is_open: bool,
    is_in_doubt: bool,
    has_lost: bool,
    is_removed: bool,
    /// Who claimed last.
    owner: Option<u8>,
}

/// Where a world leads: by itself, or by somebody's fault.
pub(super) struct Next {
    pub(super) world: World,
    pub(super) is_fault: bool,
    pub(super) what: &'static str,
}

/// A promise that was broken.
pub(super) type Broken = &'static str;

impl World {
    pub(super) fn first(setting: Setting) -> Self {
        let named = match setting.before {
            Before::Nobody => None,
            Before::Linkable => Some(Named::Nobodys),
            Before::Stranger => Some(Named::Anothers),
        };
        let is_visible = !setting.lags || setting.duplicate == Duplicate::NothingIsUnique;
        Self {
            row: None,
            runs: [None; 2],
            users: [named.map(|named| User { named, is_member: false, is_visible }), None],
            on_the_way: 0,
            is_open: false,
            is_in_doubt: false,
            has_lost: false,
            is_removed: false,
            owner: None,
        }
    }

    /// Whether the person has what they can have.
    pub(super) fn is_finished(&self, setting: Setting) -> bool {
        let state = self.row.map(|row| row.state);
        match setting.before {
            Before::Stranger => matches!(state, Some(State::Conflict(_) | State::Tombstone)),
            _ => matches!(state, Some(State::Done | State::Tombstone)),
        }
    }

    /// What may never be, whatever led here.
    fn judge(&self) -> Result<(), Broken> {
        if self.users.iter().flatten().count() > 1 {
            return Err("a second user of one person");
        }
        if self.is_removed && self.row.is_some_and(|row| row.state != State::Tombstone) {
            return Err("a tombstone was left");
        }
        Ok(())
    }

    pub(super) fn next(&self, setting: Setting, asked: &mut Asked) -> Result<Vec<Next>, Broken> {
        let mut after = After { setting, asked, list: Vec::new() };
        for at in 0..2 {
            match self.runs[at] {
                None => self.begins(at, &mut after),
                Some(run) => self.goes_on(at, run, &mut after)?,
            }
        }
        self.time_passes(&mut after);
        for next in &mut after.list {
            next.world.number_anew(setting);
            next.world.judge()?;
        }
        Ok(after.list)
    }

    /// A proven person at one replica, or its sweeper: the claim, then the machine.
    fn begins(&self, at: usize, after: &mut After<'_>) {
        let row = self.row.unwrap_or(Entry {
            state: State::None,
            version: 0,
            fence: 0,
            claim: None,
            has_proof: false,
            is_known: false,
            sent: None,
            user: None,
            has_email_alias: false,
            user_alias: None,
        });
        if row.claim.is_some_and(|(_, end)| end == Age::Fresh) {
            return;
        }
        let holder = u8::try_from(at).unwrap();
        let claimed = Entry {
            claim: Some((holder, Age::Fresh)),
            version: row.version + 1,
            fence: row.fence + 1,
            ..row
        };
        let world = Self { row: Some(claimed), owner: Some(holder), ..*self };
        after.may(world, "killed with a claim");
        let allowed = if self.is_in_doubt { Creating::InDoubt } else { Creating::Allowed };
        let was_begun = row.has_proof && (row.sent.is_some() || row.state == State::Created);
        for creating in [Some(allowed), was_begun.then_some(Creating::LookUpOnly)].into_iter().flatten() {
            for (happens, is_fault) in [(Happens::Begin, false), (Happens::Failed, true)] {
                let standing = Standing { entry: claimed, phase: Phase::Looking, creating };
                let (standing, told) = after.asked.step(standing, happens);
                let run =
                    Run { standing, at: At::Store(told), has_stored_intent: false, has_read_back: false };
                after.list.push(Next { world: world.with(at, Some(run)), is_fault, what: "begins" });
            }
        }
    }

    fn goes_on(&self, at: usize, run: Run, after: &mut After<'_>) -> Result<(), Broken> {
        after.may(self.with(at, None), "killed, or its store is away");
        match run.at {
            At::Store(told) => self.stores(at, run, told, after),
            At::Execute(told) => self.executes(at, run, told, after),
        }
    }

    /// The driver stores the row before it does what the machine said.
    fn stores(&self, at: usize, run: Run, told: Told, after: &mut After<'_>) -> Result<(), Broken> {
        let entry = run.standing.entry;
        let stored = self.row.map_or((0, 0), |row| (row.version, row.fence));
        if stored != (entry.version, entry.fence) && !after.setting.ignores_fences {
            after.does(self.with(at, None), "its write is refused");
            return Ok(());
        }
        if self.owner != u8::try_from(at).ok() {
            return Err("a write with an old fence was taken");
        }
        let was_done = self.row.is_some_and(|row| row.state == State::Done);
        if entry.state == State::Done && !was_done && !run.has_read_back {
            return Err("DONE without a look at what was created");
        }
        if was_done && entry.state != State::Done {
            return Err("DONE was left");
        }
        let written = Entry { version: entry.version + 1, ..entry };
        let world = Self { row: Some(written), ..*self };
        after.may(world.with(at, None), "the answer to its write is lost");
        let next = Run {
            standing: Standing { entry: written, ..run.standing },
            at: At::Execute(told),
            has_stored_intent: entry.has_proof && entry.sent.is_some(),
            ..run
        };
        let next = if matches!(told, Told::Stop(_)) { None } else { Some(next) };
        after.does(world.with(at, next), "stores");
        Ok(())
    }

    fn executes(&self, at: usize, run: Run, told: Told, after: &mut After<'_>) -> Result<(), Broken> {
        let mut then = |world: Self, happens: Happens, is_fault: bool, what: &'static str| {
            let (standing, told) = after.asked.step(run.standing, happens);
            let has_read_back = matches!(happens, Happens::ReadBack(user) if user.named == Named::Ours);
            let run = Run { standing, at: At::Store(told), has_stored_intent: false, has_read_back };
            after.list.push(Next { world: world.with(at, Some(run)), is_fault, what });
        };
        if !matches!(told, Told::Create | Told::AwaitOutcome) {
            then(*self, Happens::Failed, true, "a call fails");
        }
        match told {
            Told::FindByExternalId => {
                then(*self, Happens::ByExternalId(self.visible(Named::Ours)), false, "looks by id");
            }
            Told::FindByEmail => then(*self, Happens::ByEmail(self.anybody()), false, "looks by e-mail"),
            Told::Create => return self.creates(at, run, after),
            Told::AwaitOutcome => match (self.visible(Named::Ours), run.standing.entry.sent) {
                (Some(user), sent) => {
                    then(*self, Happens::ByExternalId(Some(user)), false, "found at last");
                    if sent != Some(Age::Fresh) {
                        then(*self, Happens::OutcomeNotFound, true, "no look was answered in its time");
                    }
                }
                // It looks until the time is over.
                (None, Some(Age::Fresh)) => {}
                (None, _) => then(*self, Happens::OutcomeNotFound, false, "not found in time"),
            },
            Told::Link(id) => {
                let mut world = *self;
                let user = world.users[usize::from(id)].as_mut().unwrap();
                if user.named == Named::Anothers {
                    return Err("somebody else's user was linked");
                }
                (user.named, user.is_member) = (Named::Ours, true);
                let shown = world.shown(usize::from(id)).unwrap();
                then(world, Happens::Linked(shown), false, "links");
                then(world, Happens::Failed, true, "linked, and the answer is lost");
            }
            Told::ReadBack(id) => {
                let shown = self.shown(usize::from(id)).unwrap();
                then(*self, Happens::ReadBack(shown), false, "reads back");
            }
            Told::RemoveMembership(id) => {
                let mut world = *self;
                world.users[usize::from(id)].as_mut().unwrap().is_member = false;
                then(world, Happens::MembershipRemoved, false, "removes a membership");
                then(world, Happens::Failed, true, "removed, and the answer is lost");
            }
            Told::Stop(_) => {}
        }
        Ok(())
    }

    fn creates(&self, at: usize, run: Run, after: &mut After<'_>) -> Result<(), Broken> {
        let mut then = |world: Self, happens: Happens, is_fault: bool, what: &'static str| {
            let (standing, told) = after.asked.step(run.standing, happens);
            let run = Run { standing, at: At::Store(told), has_stored_intent: false, has_read_back: false };
            after.list.push(Next { world: world.with(at, Some(run)), is_fault, what });
        };
        if self.is_in_doubt && !after.setting.never_doubts {
            then(*self, Happens::InDoubt, false, "the store is in doubt");
            return Ok(());
        }
        if self.is_in_doubt || run.standing.creating != Creating::Allowed {
            return Err("a create that was not allowed");
        }
        if !run.has_stored_intent {
            return Err("a create without stored proof and intent");
        }
        // A process that slept through its own window cannot know, nor can others know of it; then uniqueness decides.
        let is_awake = run.standing.entry.sent == Some(Age::Fresh);
        if self.is_open && is_awake {
            return Err("a blind second create while the outcome of another is open");
        }
        let open = Self { is_open: self.is_open || is_awake, ..*self };
        // More than two late creates teach nothing that two do not.
        let later = (open.on_the_way < 2).then_some(Self { on_the_way: open.on_the_way + 1, ..open });
        let (carried_out, answer) = self.carries_out(after.setting);
        then(carried_out, answer, false, "creates");
        then(*self, Happens::CreateRefused, true, "a field is refused");
        then(*self, Happens::CreateNotDone, true, "not done");
        then(open, Happens::CreateUnknown, true, "the create is lost");
        if let Some(later) = later {
            then(later, Happens::CreateUnknown, true, "the create is late");
        }
        let unheard = Self { is_open: open.is_open, ..carried_out };
        then(unheard, Happens::CreateUnknown, true, "its answer is lost");
        after.may(unheard.with(at, None), "killed after its create");
        if let Some(later) = later {
            after.may(later.with(at, None), "killed while its create is on the way");
        }
        Ok(())
    }

    /// A create arrives at Scalekit.
    fn carries_out(&self, setting: Setting) -> (Self, Happens) {
        let mut world = *self;
        let exists = self.users.iter().position(Option::is_some);
        let free = self.users.iter().position(Option::is_none);
        match (exists, setting.duplicate, free) {
            (Some(_), Duplicate::Refused, _) => (world, Happens::CreateRefused),
            (Some(_), Duplicate::Internal, _) | (_, _, None) => (world, Happens::CreateUnknown),
            (Some(id), Duplicate::Existing, _) => {
                world.users[id].as_mut().unwrap().is_member = true;
                (world, Happens::Created(world.shown(id).unwrap()))
            }
            (None, ..) | (_, Duplicate::NothingIsUnique, _) => {
                let id = free.unwrap();
                world.users[id] =
                    Some(User { named: Named::Ours, is_member: true, is_visible: !setting.lags });
                (world, Happens::Created(world.shown(id).unwrap()))
            }
        }
    }

    /// What happens without anybody's doing, and what operators do.
    fn time_passes(&self, after: &mut After<'_>) {
        let setting = after.setting;
        if let Some(row) = self.row.filter(|row| row.claim.is_some_and(|(_, end)| end == Age::Fresh)) {
            let claim = row.claim.map(|(holder, _)| (holder, Age::Over));
            after.does(Self { row: Some(Entry { claim, ..row }), ..*self }, "a lease runs out");
        }
        let mut all_seen = *self;
        all_seen.users.iter_mut().flatten().for_each(|user| user.is_visible = true);
        if all_seen != *self {
            after.does(all_seen, "look-ups catch up");
        }
        if self.on_the_way > 0 {
            let arrived = Self { on_the_way: self.on_the_way - 1, ..*self };
            after.does(arrived, "a late create is lost");
            after.does(arrived.carries_out(setting).0, "a late create is carried out");
        }
        let is_asleep = |run: &Run| {
            matches!(run.at, At::Store(Told::Create) | At::Execute(Told::Create))
                && run.standing.entry.sent == Some(Age::Fresh)
        };
        let is_quiet =
            self.on_the_way == 0 && all_seen == *self && !self.runs.iter().flatten().any(is_asleep);
        let closed = self.windows_closed();
        if closed != *self && (setting.duplicate != Duplicate::NothingIsUnique || is_quiet) {
            after.does(closed, "a create's time is over");
        }
        let is_there = self.row.is_some_and(|row| row.state != State::Tombstone);
        if setting.removes && is_there {
            let remove = |row: Entry| Entry { state: State::Tombstone, version: row.version + 1, ..row };
            after.may(Self { row: self.row.map(remove), is_removed: true, ..*self }, "removed");
        }
        if setting.loses && !self.has_lost && self.row.is_some() {
            let lost = Self { row: None, owner: None, has_lost: true, is_in_doubt: true, ..*self };
            after.may(lost, "the store is emptied");
            let old = self.row.map(|row| Entry {
                state: State::Claimed,
                sent: None,
                user: None,
                user_alias: None,
                claim: None,
                version: NEWEST + 1,
                fence: NEWEST + 1,
                ..row
            });
            after.may(Self { row: old, ..lost }, "the store is an old copy");
        }
        // The operator waits until what was under way is over.
        if self.is_in_doubt
            && closed == *self
            && (setting.duplicate != Duplicate::NothingIsUnique || is_quiet)
        {
            after.does(Self { is_in_doubt: false, ..*self }, "an operator confirms");
        }
    }

    fn windows_closed(&self) -> Self {
        let close = |entry: Entry| Entry { sent: entry.sent.map(|_| Age::Over), ..entry };
        let mut world = Self { is_open: false, row: self.row.map(close), ..*self };
        for run in world.runs.iter_mut().flatten() {
            run.standing.entry = close(run.standing.entry);
        }
        world
    }

    fn with(&self, at: usize, run: Option<Run>) -> Self {
        let mut world = *self;
        world.runs[at] = run;
        world
    }

    fn shown(&self, id: usize) -> Option<Shown> {
        let user = self.users[id]?;
        Some(Shown { id: u8::try_from(id).unwrap(), named: user.named, is_member: user.is_member })
    }

    /// The user with this external id, if a look-up shows them.
    fn visible(&self, named: Named) -> Option<Shown> {
        let id = self.users.iter().position(|user| user.is_some_and(|u| u.is_visible && u.named == named))?;
        self.shown(id)
    }

    /// Whoever has the e-mail, if the search shows them.
    fn anybody(&self) -> Option<Shown> {
        self.shown(self.users.iter().position(|user| user.is_some_and(|user| user.is_visible))?)
    }

    /// A run whose next write will be refused does nothing any more but what it is doing: to walk on with it would
    /// only multiply the worlds.
    fn number_anew(&mut self, setting: Setting) {
        let newest = self.row.map(|row| (row.version, row.fence));
        let anew = |entry: &mut Entry| {
            let is = |current: Option<u8>, own: u8| if current == Some(own) { NEWEST } else { OLDER };
            entry.version = is(newest.map(|(version, _)| version), entry.version);
            entry.fence = is(newest.map(|(_, fence)| fence), entry.fence);
        };
        self.row.as_mut().into_iter().for_each(anew);
        for run in &mut self.runs {
            let Some(running) = run else { continue };
            anew(&mut running.standing.entry);
            let entry = running.standing.entry;
            if setting.ignores_fences || (entry.version, entry.fence) == (NEWEST, NEWEST) {
                continue;
            }
            let does = At::Execute(Told::Create);
            if !matches!(running.at, At::Execute(Told::Link(_) | Told::RemoveMembership(_)))
                && running.at != does
            {
                *run = None;
                continue;
            }
            let nobodys = Entry { state: State::Claimed, claim: None, user: None, user_alias: None, ..entry };
            running.standing.entry = nobodys;
        }
    }
}

struct After<'a> {
    setting: Setting,
    asked: &'a mut Asked,
    list: Vec<Next>,
}

impl After<'_> {
    fn does(&mut self, world: World, what: &'static str) {
        self.list.push(Next { world, is_fault: false, what });
    }

    fn may(&mut self, world: World, what: &'static str) {
        self.list.push(Next { world, is_fault: true, what });
    }
}
