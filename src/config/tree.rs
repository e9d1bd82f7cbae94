//! The file as a tree of values with their positions, before anything is known of their meaning.
//!
//! Reading goes in two steps so that every problem can be told together: a value that does not fit is reported,
//! switched off in the tree, and the rest is read again (see [`read`]).

mod deserializer;
mod parse;

pub(super) use parse::parse;

use std::fmt;

use serde::de::DeserializeOwned;

use super::problem::{Position, Problem};

/// No file has more problems than somebody reads.
const MOST_PROBLEMS: usize = 200;

/// One value of the file.
pub(super) struct Node {
    pub(super) position: Option<Position>,
    /// Reported and out of the way; read as if it were not there.
    off: bool,
    pub(super) kind: Kind,
}

pub(super) enum Kind {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(String),
    /// A value from the environment: text that is read as whatever is asked for.
    Given(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

pub(super) struct Entry {
    pub(super) key: String,
    pub(super) value: Node,
}

/// One step from a value to one inside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

impl Node {
    pub(super) fn new(kind: Kind) -> Self {
        Self { position: None, off: false, kind }
    }

    fn child(&mut self, step: &Step) -> Option<&mut Self> {
        match (&mut self.kind, step) {
            (Kind::List(items), Step::Index(index)) => items.get_mut(*index),
            (Kind::Map(entries), Step::Key(key)) => {
                entries.iter_mut().find(|entry| entry.key == *key).map(|entry| &mut entry.value)
            }
            _ => None,
        }
    }

    /// Puts a text from the environment at a path; levels that are not there yet come to be.
    ///
    /// `Err` names the first level at which that is impossible.
    pub(super) fn give(&mut self, path: &[String], text: &str) -> Result<(), String> {
        let Some((first, rest)) = path.split_first() else {
            *self = Self::new(Kind::Given(text.to_owned()));
            return Ok(());
        };
        if matches!(self.kind, Kind::Null) {
            self.kind = Kind::Map(Vec::new());
        }
        match &mut self.kind {
            Kind::Map(entries) => {
                if !entries.iter().any(|entry| entry.key == *first) {
                    entries.push(Entry { key: first.clone(), value: Self::new(Kind::Null) });
                }
                let entry = entries.iter_mut().find(|entry| entry.key == *first);
                entry.map_or_else(|| Err(first.clone()), |entry| entry.value.give(rest, text))
            }
            Kind::List(items) => {
                let item = first.parse::<usize>().ok().and_then(|index| items.get_mut(index));
                item.map_or_else(|| Err(first.clone()), |item| item.give(rest, text))
            }
            _ => Err(first.clone()),
        }
    }

    /// All texts that stand under a key of this name, anywhere.
    pub(super) fn texts_under(&self, name: &str) -> Vec<&str> {
        let mut found = Vec::new();
        match &self.kind {
            Kind::List(items) => found.extend(items.iter().flat_map(|item| item.texts_under(name))),
            Kind::Map(entries) => {
                for entry in entries {
                    match &entry.value.kind {
                        Kind::Text(text) | Kind::Given(text) if entry.key == name => {
                            found.push(text.as_str());
                        }
                        _ => found.extend(entry.value.texts_under(name)),
                    }
                }
            }
            _ => {}
        }
        found
    }

    /// Where the value at a path stands, or the nearest one around it that has a position. Positions in a list
    /// count only values that were not switched off, as the reader saw them; the true path comes back, too.
    pub(super) fn locate(&self, path: &str) -> (String, Option<Position>) {
        let (mut node, mut position) = (Some(self), None);
        let mut told: Vec<Step> = Vec::new();
        for step in steps(path) {
            let (step, next) = match (node.map(|node| &node.kind), step) {
                (Some(Kind::List(items)), Step::Index(index)) => {
                    let seen = items.iter().enumerate().filter(|(_, item)| !item.off).nth(index);
                    (Step::Index(seen.map_or(index, |(index, _)| index)), seen.map(|(_, item)| item))
                }
                (Some(Kind::Map(entries)), Step::Key(key)) => {
                    let next = entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value);
                    (Step::Key(key), next)
                }
                (_, step) => (step, None),
            };
            told.push(step);
            node = next;
            position = node.and_then(|node| node.position).or(position);
        }
        (spell(&told), position)
    }
}

/// Reads the tree as a `T` that can do without any of its values. What does not fit is reported and left out.
pub(super) fn read<T: DeserializeOwned + Default>(tree: &mut Node, problems: &mut Vec<Problem>) -> T {
    while problems.len() < MOST_PROBLEMS {
        let failure = match T::deserialize(deserializer::Reader::new(tree)) {
            Ok(value) => return value,
            Err(failure) => failure,
        };
        let path = failure.path();
        let mut position = tree.position;
        let culprit = path.iter().try_fold(&mut *tree, |node, step| {
            let child = node.child(step)?;
            position = child.position.or(position);
            Some(child)
        });
        let mended = culprit.is_some_and(|node| !std::mem::replace(&mut node.off, true));
        let path = spell(&path);
        // A choice whose content was switched off has nothing left to choose: that was told already.
        if !problems.iter().any(|told| is_within(&told.path, &path)) {
            problems.push(Problem { path, text: failure.text, position });
        }
        if !mended {
            break;
        }
    }
    T::default()
}

/// Whether a problem at `path` merely follows from one already told at `told`: the same value, or one inside it.
pub(super) fn is_within(path: &str, told: &str) -> bool {
    path.strip_prefix(told).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

fn spell(path: &[Step]) -> String {
    use fmt::Write as _;
    path.iter().fold(String::new(), |mut text, step| {
        let _ = match step {
            Step::Key(key) if text.is_empty() => write!(text, "{key}"),
            Step::Key(key) => write!(text, ".{key}"),
            Step::Index(index) => write!(text, "[{index}]"),
        };
        text
    })
}

/// The steps of a path as [`spell`] writes it. Keys that hold dots or brackets are split wrongly; then a position is
/// less exact, and nothing else.
fn steps(path: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for part in path.split(['.', '[']).filter(|part| !part.is_empty()) {
        let index = part.strip_suffix(']').and_then(|number| number.parse().ok());
        steps.push(index.map_or_else(|| Step::Key(part.to_owned()), Step::Index));
    }
    steps
}
