//! Lists of people from a store that keeps the names of each stage in order.

use std::{collections::BTreeSet, future::Future};

use crate::{
    identity::PersonKey,
    login::{LedgerError, People, PeopleFilter, Row, Stage},
};

/// How many rows are looked at for one part of a list: what is rare among many takes several parts, and none takes
/// long.
const MOST_LOOKED_AT: usize = 5_000;

/// How many are read at a time.
const AT_A_TIME: usize = 250;

/// Names of one stage in order, from the first one after a name; both may be bounded to a source.
pub(super) struct Span {
    pub(super) stage: Stage,
    /// Exclusive, or the first name of the source.
    pub(super) after: Option<String>,
    /// What all names begin with: `crm:`, or nothing.
    pub(super) prefix: String,
    pub(super) limit: usize,
}

/// What is stored under one of several names: that one of them cannot be read keeps nobody from the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Row(Box<Row>),
    Nothing,
    Unreadable,
}

impl Found {
    /// Of a row that was read by itself.
    pub(super) fn of(read: Result<Option<Row>, LedgerError>) -> Result<Self, LedgerError> {
        match read {
            Ok(Some(row)) => Ok(Self::Row(Box::new(row))),
            Ok(None) => Ok(Self::Nothing),
            Err(LedgerError::Unreadable(_)) => Ok(Self::Unreadable),
            Err(error) => Err(error),
        }
    }
}

/// The ledger's word of a row that cannot be read, by the name that it is stored under.
pub(super) fn unreadable(name: &str) -> LedgerError {
    PersonKey::parse(name).map_or_else(
        || LedgerError::Unavailable("a row that cannot be read has a name that is none".into(), None),
        LedgerError::Unreadable,
    )
}

/// Puts a part of a list together.
pub(super) async fn list<Names, Rows>(
    filter: &PeopleFilter,
    after: Option<&PersonKey>,
    limit: usize,
    names: impl Fn(Span) -> Names,
    rows: impl Fn(Vec<String>) -> Rows,
) -> Result<People, LedgerError>
where
    Names: Future<Output = Result<Vec<String>, LedgerError>>,
    Rows: Future<Output = Result<Vec<Found>, LedgerError>>,
{
    let prefix = filter.source.as_ref().map(|source| format!("{source}:")).unwrap_or_default();
    let mut last = after.map(ToString::to_string);
    let mut people = People::default();
    let mut looked_at = 0;
    loop {
        let mut next = BTreeSet::new();
        let mut is_cut = false;
        for stage in filter.wanted() {
            let (after, prefix) = (last.clone(), prefix.clone());
            let found = names(Span { stage, after, prefix, limit: AT_A_TIME }).await?;
            is_cut |= found.len() >= AT_A_TIME;
            next.extend(found);
        }
        // Beyond the shortest full stage there may be names that were not read.
        let next: Vec<String> = next.into_iter().take(AT_A_TIME).collect();
        let is_last = !is_cut && next.len() < AT_A_TIME;
        looked_at += next.len();
        let found = rows(next.clone()).await?;
        for (name, found) in next.into_iter().zip(found) {
            match found {
                Found::Row(row) if filter.takes(&row) => people.rows.push(*row),
                Found::Row(_) | Found::Nothing => {}
                Found::Unreadable => people.unreadable.extend(PersonKey::parse(&name)),
            }
            last = Some(name);
            if people.rows.len() + people.unreadable.len() >= limit {
                people.next = last.as_deref().and_then(PersonKey::parse);
                return Ok(people);
            }
        }
        if is_last {
            return Ok(people);
        }
        if looked_at >= MOST_LOOKED_AT {
            people.next = last.as_deref().and_then(PersonKey::parse);
            return Ok(people);
        }
    }
}
