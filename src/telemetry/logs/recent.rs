//! The last audit events of this process, for whoever asks the admin API what just happened.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use serde_json::{Map, Value};

/// Some 2 MiB; what is older is in the log.
pub(crate) const KEPT_EVENTS: usize = 4_096;

/// One audit event as it was logged, with a number that grows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AuditEvent {
    pub(crate) number: u64,
    pub(crate) fields: Map<String, Value>,
}

struct Ring {
    events: VecDeque<AuditEvent>,
    next: u64,
}

/// Logging belongs to the whole process, and so does what it keeps.
static RING: Mutex<Ring> = Mutex::new(Ring { events: VecDeque::new(), next: 1 });

/// Keeps an event, and forgets the oldest one when there is no room.
pub(super) fn keep(fields: Map<String, Value>) {
    let mut ring = RING.lock().unwrap_or_else(PoisonError::into_inner);
    if ring.events.len() >= KEPT_EVENTS {
        ring.events.pop_front();
    }
    let number = ring.next;
    ring.next += 1;
    ring.events.push_back(AuditEvent { number, fields });
}

/// The newest events below a number, the newest one first.
pub(crate) fn recent_events(
    below: Option<u64>,
    most: usize,
    wanted: impl Fn(&Map<String, Value>) -> bool,
) -> Vec<AuditEvent> {
    let ring = RING.lock().unwrap_or_else(PoisonError::into_inner);
    let below = |event: &&AuditEvent| below.is_none_or(|below| event.number < below);
    let found = ring.events.iter().rev().filter(below).filter(|event| wanted(&event.fields));
    found.take(most).cloned().collect()
}
