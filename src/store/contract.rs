//! What every store has to keep, as suites that each implementation passes.

mod counts;
mod flags;
mod import;
mod people;
mod rates;
mod redis;
mod removals;
mod servers;
mod shapes;
mod sweeps;

use std::time::Duration;

use futures_util::future::join_all;

use crate::{
    clock::Timestamp,
    identity::{CanonicalEmail, ExternalId, LegacyId, PersonKey, SourceName},
    login::{
        Alias, ClaimAnswer, Doubt, EpochStore, Flags as _, Ledger, LedgerError, Mark, Origin, PeopleFilter,
        Put, Row, RowState, Stage, UserId,
    },
    rollout::Bucket,
    session::{Digest, Flow, FlowStore, Renewal, Session, SessionFacts, SessionStore, Settled, Whose},
    store::{Embedded, Meta},
};

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
const LEASE: Duration = Duration::from_secs(30);

fn fresh(id: &str) -> Row {
    let key = PersonKey { source: SourceName::parse("crm").unwrap(), id: LegacyId::parse(id).unwrap() };
    Row::fresh(key, Bucket::test(42), ExternalId::received(id.into()), NOW)
}

fn email(address: &str) -> Alias {
    Alias::Email(CanonicalEmail::parse(address).unwrap())
}

async fn claimed(ledger: &dyn Ledger, id: &str) -> Row {
    match ledger.claim(&fresh(id), LEASE, NOW).await.unwrap() {
        ClaimAnswer::Granted(row) => *row,
        ClaimAnswer::Held(row) => panic!("held: {row:?}"),
    }
}

/// The contract of [`Ledger`].
pub(super) async fn ledger(ledger: &dyn Ledger) {
    assert!(ledger.is_empty().await.unwrap());
    assert_eq!(ledger.row(&fresh("a").key).await.unwrap(), None);

    // One claim at a time; the fencing number only grows.
    let first = claimed(ledger, "a").await;
    assert!(!ledger.is_empty().await.unwrap());
    assert!(matches!(ledger.claim(&fresh("a"), LEASE, NOW).await.unwrap(), ClaimAnswer::Held(_)));
    let later = NOW.after(LEASE + Duration::from_millis(1));
    let ClaimAnswer::Granted(second) = ledger.claim(&fresh("a"), LEASE, later).await.unwrap() else {
        panic!("an expired claim is free")
    };
    assert!(second.fence > first.fence);

    // A write with an old fencing number or version is refused, and changes nothing.
    let stale = Row { state: RowState::Done, ..first };
    assert!(matches!(ledger.write(&stale).await, Err(LedgerError::Overtaken)));
    let mut row = *second;
    row.state = RowState::Claimed;
    row.aliases = vec![Alias::Typed("ann".into()), email("ann@example.com")];
    let written = ledger.write(&row).await.unwrap();
    assert_eq!(written.version, row.version + 1);
    assert!(matches!(ledger.write(&row).await, Err(LedgerError::Overtaken)));
    assert_eq!(ledger.row(&row.key).await.unwrap(), Some(written.clone()));

    // Aliases lead to the row, one kind is never another, and two people never share one.
    assert_eq!(ledger.find(&email("ann@example.com")).await.unwrap(), Some(written.clone()));
    assert_eq!(ledger.find(&Alias::Typed("ann@example.com".into())).await.unwrap(), None);
    let mut other = claimed(ledger, "b").await;
    other.aliases = vec![Alias::Typed("bob".into()), email("ann@example.com")];
    assert!(matches!(ledger.write(&other).await, Err(LedgerError::AliasTaken)));
    assert_eq!(ledger.find(&Alias::Typed("bob".into())).await.unwrap(), None);

    // A written row has exactly the aliases it names.
    let moved = Row { aliases: vec![Alias::Typed("ann".into())], ..written };
    let moved = ledger.write(&moved).await.unwrap();
    assert_eq!(ledger.find(&email("ann@example.com")).await.unwrap(), None);
    assert!(ledger.write(&other).await.is_ok());
    assert_eq!(ledger.find(&Alias::Typed("ann".into())).await.unwrap(), Some(moved.clone()));
    names_change_hands(ledger).await;
    marks(ledger, moved).await;
}

/// The contract of a claim where very many ask for it at once, at however many processes: one has it, and all others see
/// whose it is.
pub(super) async fn contenders(ledgers: &[&dyn Ledger]) {
    const EACH: usize = 20;
    for round in 0..5 {
        let wanted = fresh(&format!("wanted-{round}"));
        let all = ledgers.iter().cycle().take(EACH * ledgers.len());
        let answers = join_all(all.map(|ledger| ledger.claim(&wanted, LEASE, NOW))).await;
        let (mut granted, mut held) = (Vec::new(), Vec::new());
        for answer in answers {
            match answer.unwrap() {
                ClaimAnswer::Granted(row) => granted.push(*row),
                ClaimAnswer::Held(row) => held.push(*row),
            }
        }
        assert_eq!(granted.len(), 1, "round {round}");
        assert!(
            held.len() == EACH * ledgers.len() - 1 && held.iter().all(|row| *row == granted[0]),
            "{held:?}"
        );
        ledgers[0].write(&granted[0]).await.unwrap();
    }
}

/// A name is freed by a write of the row that has it and bound by a write of another; whoever knows an older row of
/// either neither takes it back nor takes it away.
async fn names_change_hands(ledger: &dyn Ledger) {
    let desk = Alias::Typed("desk".into());
    let named = Row { aliases: vec![desk.clone()], claim: None, ..claimed(ledger, "former").await };
    let former = ledger.write(&named).await.unwrap();
    let next = claimed(ledger, "next").await;
    let wants = Row { aliases: vec![desk.clone()], ..next };
    assert!(matches!(ledger.write(&wants).await, Err(LedgerError::AliasTaken)));
    let freed = Row { aliases: Vec::new(), ..former.clone() };
    ledger.write(&freed).await.unwrap();
    assert_eq!(ledger.find(&desk).await.unwrap(), None);
    let taken = ledger.write(&wants).await.unwrap();
    assert_eq!(ledger.find(&desk).await.unwrap().as_ref(), Some(&taken));
    // Both of the former row's later writes: one that has not seen the change, and one that has.
    assert!(matches!(ledger.write(&former).await, Err(LedgerError::Overtaken)));
    let seen = ledger.row(&former.key).await.unwrap().unwrap();
    let back = Row { aliases: vec![desk.clone()], ..seen };
    assert!(matches!(ledger.write(&back).await, Err(LedgerError::AliasTaken)));
    // Removed in between: the freeing comes too late, and the name stays closed.
    let gone = ledger.write(&Row { state: RowState::Tombstone, claim: None, ..taken.clone() }).await.unwrap();
    let late = Row { aliases: Vec::new(), ..taken };
    assert!(matches!(ledger.write(&late).await, Err(LedgerError::Overtaken)));
    assert_eq!(ledger.find(&desk).await.unwrap().as_ref(), Some(&gone));
    ledger.write(&Row { state: RowState::None, aliases: Vec::new(), ..gone }).await.unwrap();
}

/// Rows are found by what is still to be done with them, in the order of their keys, from any of them on.
async fn marks(ledger: &dyn Ledger, ann: Row) {
    let marked = async |mark, after: Option<&Row>, limit| {
        let keys = ledger.marked(mark, after.map(|row| &row.key), limit).await.unwrap();
        keys.into_iter().map(|key| key.id.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(marked(Mark::Open, None, 9).await, ["a"], "claimed");
    let mut other = claimed(ledger, "c:d").await;
    assert_eq!(marked(Mark::Open, None, 9).await, ["a"], "a claim alone is not a migration");
    other.state = RowState::Created;
    let mut other = ledger.write(&other).await.unwrap();
    assert_eq!(marked(Mark::Open, None, 9).await, ["a", "c:d"]);
    assert_eq!(marked(Mark::Open, None, 1).await, ["a"]);
    assert_eq!(marked(Mark::Open, Some(&ann), 9).await, ["c:d"]);
    assert!(marked(Mark::Open, Some(&other), 9).await.is_empty());
    other.state = RowState::Tombstone;
    ledger.write(&other).await.unwrap();
    ledger.write(&Row { state: RowState::Done, ..ann }).await.unwrap();
    assert!(marked(Mark::Open, None, 9).await.is_empty());
    assert_eq!(marked(Mark::Removed, None, 9).await, ["c:d"]);
    assert_eq!(ledger.how_many(Mark::Removed).await.unwrap(), 1);
    assert_eq!(ledger.how_many(Mark::Open).await.unwrap(), 0);
}

/// The contract of rows that cannot be read: they are no others' business, and are named. `garble` makes one.
pub(super) async fn unreadable(ledger: &dyn Ledger, garble: impl AsyncFn(&PersonKey)) {
    let mut rows = Vec::new();
    for id in ["a", "b", "c"] {
        let row = claimed(ledger, id).await;
        let aliases = vec![Alias::Typed(format!("{id}-typed")), email(&format!("{id}@example.com"))];
        let row = Row { state: RowState::Created, claim: None, aliases, ..row };
        rows.push(ledger.write(&row).await.unwrap());
    }
    let key = rows[1].key.clone();
    let all = async || ledger.list(&PeopleFilter::default(), None, 9).await.unwrap();
    let marked = async |mark| ledger.marked(mark, None, 9).await.unwrap();
    assert!(matches!(ledger.write_over(&rows[1]).await, Err(LedgerError::Overtaken)), "it can be read");
    assert!(matches!(ledger.write_over(&fresh("nobody")).await, Err(LedgerError::Overtaken)));
    garble(&key).await;
    let names_it =
        |error: Option<LedgerError>| matches!(error, Some(LedgerError::Unreadable(of)) if of == key);
    assert!(names_it(ledger.row(&key).await.err()));
    assert!(names_it(ledger.find(&email("b@example.com")).await.err()));
    assert!(names_it(ledger.claim(&fresh("b"), LEASE, NOW).await.err()));
    let people = all().await;
    assert_eq!((people.rows, people.unreadable), (vec![rows[0].clone(), rows[2].clone()], vec![key.clone()]));
    let first = ledger.list(&PeopleFilter::default(), None, 2).await.unwrap();
    assert_eq!((first.rows.len(), &first.unreadable, first.next), (1, &vec![key.clone()], Some(key.clone())));
    assert_eq!(ledger.counts().await.unwrap().in_stage(Stage::Created), 3);
    assert_eq!(marked(Mark::Open).await.len(), 3);

    // Whatever it said, all names that led there lead to what is put in its place.
    let grave = Row { state: RowState::Tombstone, aliases: vec![Alias::Typed("bob".into())], ..fresh("b") };
    let taken = Row { aliases: rows[0].aliases.clone(), ..grave.clone() };
    assert!(matches!(ledger.write_over(&taken).await, Err(LedgerError::AliasTaken)));
    let grave = ledger.write_over(&grave).await.unwrap();
    assert_eq!(ledger.row(&key).await.unwrap().as_ref(), Some(&grave));
    for alias in [Alias::Typed("bob".into()), Alias::Typed("b-typed".into()), email("b@example.com")] {
        assert_eq!(ledger.find(&alias).await.unwrap().as_ref(), Some(&grave), "{alias:?}");
    }
    assert_eq!(marked(Mark::Removed).await, [key]);
    assert_eq!(marked(Mark::Open).await, [rows[0].key.clone(), rows[2].key.clone()]);
    let people = all().await;
    assert_eq!((people.rows.len(), people.unreadable.len()), (3, 0));
    let counts = ledger.counts().await.unwrap();
    assert_eq!((counts.in_stage(Stage::Created), counts.in_stage(Stage::Tombstone), counts.all()), (2, 1, 3));
    ledger.write(&grave).await.unwrap();
}

/// The contract of [`EpochStore`].
pub(super) async fn epochs(store: &dyn EpochStore) {
    let longest = Duration::from_secs(2);
    let put = |id: &str, doubt, confirms| Put { id: id.into(), beat: 7, doubt, confirms };
    assert_eq!(store.beat(longest, NOW).await.unwrap(), None);
    store.put_epoch(None, put("a", None, false), NOW).await.unwrap();
    // Whoever comes second changes nothing.
    store.put_epoch(None, put("b", None, false), NOW).await.unwrap();
    let first = store.beat(longest, NOW.after(Duration::from_hours(1))).await.unwrap().unwrap();
    assert_eq!((first.id.as_str(), first.doubt, first.confirmed_at), ("a", None, None));
    assert!((8..=2007).contains(&first.beat), "a pause counts no more than a look: {}", first.beat);
    let second = store.beat(longest, NOW).await.unwrap().unwrap();
    assert!(second.beat > first.beat && second.at >= first.at, "whatever the clock does, it grows");
    store.remember(&second).await;

    let doubted = put("a", Some(Doubt::RolledBack), false);
    store.put_epoch(Some(&second), doubted, NOW).await.unwrap();
    store.put_epoch(Some(&second), put("late", None, false), NOW).await.unwrap();
    let there = store.beat(longest, NOW).await.unwrap().unwrap();
    assert_eq!((there.id.as_str(), there.doubt), ("a", Some(Doubt::RolledBack)));
    store.put_epoch(Some(&there), put("a", None, true), NOW).await.unwrap();
    let there = store.beat(longest, NOW).await.unwrap().unwrap();
    assert_eq!((there.id.as_str(), there.doubt, there.confirmed_at.is_some()), ("a", None, true));
}

/// A sign-in under way that ends at [`NOW`].
fn a_flow() -> Flow {
    Flow {
        browser: Digest::of("browser"),
        secrets: "sealed".into(),
        return_to: "/".into(),
        key: None,
        ends_at: NOW,
    }
}

fn a_session(user: &str, ends_in: u64) -> Session {
    let ends = NOW.after(Duration::from_secs(ends_in));
    Session {
        key: fresh("a").key,
        origin: Origin::Legacy,
        user: UserId(user.into()),
        scalekit_session: None,
        facts: SessionFacts::default(),
        tokens: "sealed".into(),
        created_at: NOW,
        last_seen: NOW,
        ends_at: ends,
        idle_ends_at: ends,
        renewal: Renewal::default(),
    }
}

/// Ends all sessions of everybody: which they were.
async fn all_removed(store: &impl SessionStore) -> Vec<Digest> {
    let mut ended = Vec::new();
    store.remove_all(&mut |ids| ended.extend_from_slice(ids)).await.unwrap();
    ended
}

/// The contract of [`SessionStore`] and [`FlowStore`].
pub(super) async fn sessions(store: &(impl SessionStore + FlowStore)) {
    let id = |name: &str| Digest::of(name);
    for (name, user, ends_in) in
        [("a", "usr_1", 10), ("b", "usr_1", 10), ("c", "usr_2", 10), ("d", "usr_3", 1)]
    {
        store.put(&id(name), &a_session(user, ends_in)).await.unwrap();
    }
    assert_eq!(store.get(&id("a")).await.unwrap(), Some(a_session("usr_1", 10)));
    assert_eq!(store.get(&id("nobody's")).await.unwrap(), None);

    // Use moves the idle end, never back, and brings nobody back.
    let (later, end) = (NOW.after(Duration::from_secs(1)), NOW.after(Duration::from_secs(20)));
    store.touch(&id("c"), later, end).await.unwrap();
    store.touch(&id("c"), NOW, NOW).await.unwrap();
    let touched = store.get(&id("c")).await.unwrap().unwrap();
    assert_eq!((touched.last_seen, touched.idle_ends_at), (later, end));
    assert!(store.remove(&id("c")).await.unwrap().is_some());
    store.touch(&id("c"), later, end).await.unwrap();
    assert_eq!(store.get(&id("c")).await.unwrap(), None);

    let mut ended = store.remove_all_of(&Whose::User(UserId("usr_1".into()))).await.unwrap();
    ended.sort_unstable_by(|one, two| one.as_str().cmp(two.as_str()));
    let mut both = [id("a"), id("b")];
    both.sort_unstable_by(|one, two| one.as_str().cmp(two.as_str()));
    assert_eq!(ended, both);
    assert_eq!(store.get(&id("b")).await.unwrap(), None);
    assert_eq!(store.ended(vec![id("a"), id("d")], NOW).await.unwrap(), [id("a")]);
    assert_eq!(store.ended(vec![id("d")], NOW.after(Duration::from_secs(1))).await.unwrap(), [id("d")]);
    assert_eq!(store.sweep(NOW.after(Duration::from_secs(5))).await.unwrap(), 1);
    assert_eq!(store.get(&id("d")).await.unwrap(), None);

    // A flow is taken once.
    let flow = a_flow();
    store.put_flow(&id("state"), &flow).await.unwrap();
    assert_eq!(store.take_flow(&id("state")).await.unwrap(), Some(flow));
    assert_eq!(store.take_flow(&id("state")).await.unwrap(), None);
}

/// The contract of [`SessionStore`] where tokens are refreshed and sessions are ended for somebody.
pub(super) async fn refreshes(store: &impl SessionStore) {
    let id = |name: &str| Digest::of(name);
    let after = |seconds| NOW.after(Duration::from_secs(seconds));
    let due = |at| Session { renewal: Renewal::due(at), ..a_session("usr_1", 600) };
    let claim = async |name: &str, now| store.claim_refresh(&id(name), LEASE, now).await.unwrap();
    let settle = async |name: &str, fence, settled: &Settled| {
        store.settle_refresh(&id(name), fence, settled).await.unwrap()
    };
    for (name, at) in [("due", Some(after(10))), ("never", None), ("other", Some(NOW))] {
        store.put(&id(name), &due(at)).await.unwrap();
    }

    // Due, and only then; by one.
    assert_eq!(claim("never", after(500)).await, None);
    assert_eq!(claim("nobody's", after(500)).await, None);
    assert_eq!(claim("due", after(9)).await, None);
    let first = claim("due", after(10)).await.unwrap();
    assert_eq!((first.renewal.fence, first.renewal.is_unsure), (1, false));
    assert_eq!(claim("due", after(10)).await, None);
    assert_eq!(claim("due", after(39)).await, None);

    // A claim whose holder is gone is granted again, with a doubt; what the first one brings comes too late.
    let second = claim("due", after(40)).await.unwrap();
    assert_eq!((second.renewal.fence, second.renewal.is_unsure), (2, true));
    let late = Settled::Renewed { tokens: "late".into(), facts: SessionFacts::default(), due_at: after(500) };
    assert!(!settle("due", 1, &late).await);
    assert!(!settle("due", 1, &Settled::Ended).await);
    let touched = after(50);
    store.touch(&id("due"), touched, after(650)).await.unwrap();

    // A failure keeps everything and comes again.
    assert!(settle("due", 2, &Settled::Later { due_at: after(60), is_unsure: false }).await);
    assert!(!settle("due", 2, &Settled::Later { due_at: after(61), is_unsure: false }).await, "once");
    let kept = store.get(&id("due")).await.unwrap().unwrap();
    assert_eq!((kept.tokens.as_str(), kept.renewal.failures), ("sealed", 1));
    assert_eq!(claim("due", after(59)).await, None);

    // New tokens and facts; what a use wrote meanwhile stays.
    let third = claim("due", after(60)).await.unwrap();
    let facts = SessionFacts { groups: vec!["new".into()], ..SessionFacts::default() };
    let renewed = Settled::Renewed { tokens: "new".into(), facts: facts.clone(), due_at: after(100) };
    assert!(settle("due", third.renewal.fence, &renewed).await);
    let session = store.get(&id("due")).await.unwrap().unwrap();
    assert_eq!((session.tokens.as_str(), &session.facts), ("new", &facts));
    assert_eq!((session.last_seen, session.idle_ends_at), (touched, after(650)));
    assert_eq!(session.renewal, Renewal { fence: 3, ..Renewal::due(Some(after(100))) });

    // Tokens alone are kept, and tried again.
    let fourth = claim("due", after(100)).await.unwrap().renewal.fence;
    let only = Settled::TokensOnly { tokens: "newer".into(), due_at: after(105) };
    assert!(settle("due", fourth, &only).await);
    let session = store.get(&id("due")).await.unwrap().unwrap();
    assert_eq!((session.tokens.as_str(), &session.facts, session.renewal.failures), ("newer", &facts, 1));

    // The end; a session that is over or gone is refreshed by nobody.
    let fifth = claim("due", after(105)).await.unwrap().renewal.fence;
    assert!(settle("due", fifth, &Settled::Ended).await);
    assert_eq!(store.get(&id("due")).await.unwrap(), None);
    assert!(!settle("due", fifth, &renewed).await);
    assert_eq!(claim("other", after(600)).await, None, "over");

    // One claim for all who ask at once.
    store.put(&id("race"), &due(Some(NOW))).await.unwrap();
    let asked = (0..50).map(|_| claim("race", NOW));
    let granted = futures_util::future::join_all(asked).await.into_iter().flatten().count();
    assert_eq!(granted, 1);

    // By the ledger's name, too, and everybody's.
    let mut another = due(None);
    another.key.id = LegacyId::parse("another").unwrap();
    store.put(&id("another"), &another).await.unwrap();
    let whose = Whose::Person(another.key.clone());
    assert_eq!(store.remove_all_of(&whose).await.unwrap(), [id("another")]);
    assert_eq!(store.remove_all_of(&whose).await.unwrap(), []);
    store.remove(&id("never")).await.unwrap();
    assert_eq!(store.remove_all_of(&Whose::User(UserId("usr_1".into()))).await.unwrap().len(), 2);
    store.put(&id("a"), &due(None)).await.unwrap();
    store.put(&id("b"), &another).await.unwrap();
    assert_eq!(all_removed(store).await.len(), 2);
    assert_eq!(store.remove_all_of(&whose).await.unwrap(), []);
}

/// The contract of [`Meta`].
pub(super) async fn meta(store: &dyn Meta) {
    assert_eq!(store.meta("salt").await.unwrap(), None);
    assert_eq!(store.meta_or_insert("salt", b"a".to_vec()).await.unwrap(), b"a");
    assert_eq!(store.meta_or_insert("salt", b"b".to_vec()).await.unwrap(), b"a");
    store.set_meta("salt", vec![0, 255]).await.unwrap();
    assert_eq!(store.meta("salt").await.unwrap(), Some(vec![0, 255]));
    assert_eq!(store.meta("key").await.unwrap(), None);

    // Compared and set at once.
    let swap = async |old: Option<&[u8]>, new: &[u8]| {
        store.swap_meta("swapped", old.map(<[u8]>::to_vec), new.to_vec()).await.unwrap()
    };
    assert!(!swap(Some(b"a"), b"b").await && swap(None, &[0, 255]).await && !swap(None, b"b").await);
    assert!(!swap(Some(b"a"), b"b").await && swap(Some(&[0, 255]), b"c").await);
    assert_eq!(store.meta("swapped").await.unwrap(), Some(b"c".to_vec()));
}

/// A file of this test's own.
fn file(name: &str) -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("crossfade-{name}-{}.redb", std::process::id()));
    let _ = std::fs::remove_file(&path);
    path
}

#[tokio::test]
async fn the_embedded_store_keeps_the_ledger_contract() {
    let path = file("contract");
    ledger(&Embedded::open(&path, "one").unwrap()).await;
    std::fs::remove_file(&path).unwrap();
}

#[tokio::test]
async fn the_embedded_store_grants_one_of_many_contenders_a_claim() {
    let path = file("contenders");
    let store = Embedded::open(&path, "one").unwrap();
    contenders(&[&store, &store, &store]).await;
    std::fs::remove_file(&path).unwrap();
}

#[tokio::test]
async fn the_embedded_store_keeps_the_contract_of_rows_that_cannot_be_read() {
    let path = file("unreadable");
    let store = Embedded::open(&path, "one").unwrap();
    unreadable(&store, async |key| store.garble(key)).await;
    std::fs::remove_file(&path).unwrap();
}

#[tokio::test]
async fn the_embedded_store_keeps_the_epoch_contract_and_remembers_beside_the_file() {
    let path = file("epoch");
    let store = Embedded::open(&path, "one").unwrap();
    assert_eq!(store.remembered().await, None);
    epochs(&store).await;
    drop(store);
    std::fs::remove_file(&path).unwrap();
    let anew = Embedded::open(&path, "two").unwrap();
    assert_eq!(anew.beat(LEASE, NOW).await.unwrap(), None);
    assert_eq!(anew.remembered().await.unwrap().id, "a");
    let beside = path.with_extension("redb.seen");
    std::fs::write(&beside, "half a li").unwrap();
    assert_eq!(anew.remembered().await, None, "what cannot be read is as good as none");
    std::fs::remove_file(&path).unwrap();
    std::fs::remove_file(&beside).unwrap();
}

#[tokio::test]
async fn the_embedded_store_keeps_the_session_contract() {
    let path = file("sessions");
    sessions(&Embedded::open(&path, "one").unwrap()).await;
    std::fs::remove_file(&path).unwrap();
}

#[tokio::test]
async fn the_embedded_store_keeps_the_refresh_contract() {
    let path = file("refreshes");
    refreshes(&Embedded::open(&path, "one").unwrap()).await;
    std::fs::remove_file(&path).unwrap();
}

#[tokio::test]
async fn the_embedded_store_keeps_the_flags_contract() {
    let path = file("flags");
    flags::flags(&Embedded::open(&path, "one").unwrap()).await;
    let store = Embedded::open(&path, "two").unwrap();
    flags::damaged_flags(&store, async |version, record| store.put_raw_flags(version, record).await).await;
    drop(store);
    assert!(Embedded::open(&path, "two").unwrap().flags().await.unwrap().is_some(), "a restart keeps it");
    std::fs::remove_file(&path).unwrap();
}

#[tokio::test]
async fn a_restarted_process_does_not_wait_for_its_own_old_claim() {
    let path = file("restart");
    let row = claimed(&Embedded::open(&path, "one").unwrap(), "a").await;
    let again = claimed(&Embedded::open(&path, "two").unwrap(), "a").await;
    assert!(again.fence > row.fence);
    std::fs::remove_file(&path).unwrap();
}

#[tokio::test]
async fn a_file_belongs_to_one_process() {
    let path = file("in-use");
    let first = Embedded::open(&path, "one").unwrap();
    let second = Embedded::open(&path, "two").err().unwrap();
    assert!(second.to_string().contains("in use by another process"), "{second}");
    drop(first);
    std::fs::remove_file(&path).unwrap();
}

#[tokio::test]
async fn the_embedded_store_keeps_the_contract_of_its_own_values() {
    let path = file("meta");
    meta(&Embedded::open(&path, "one").unwrap()).await;
    std::fs::remove_file(&path).unwrap();
}
