//! Several replicas of the built program on one real Redis, attacked from outside: crowds at one account, lost
//! answers, replicas that die at every step or under load, rolling restarts, and what all replicas must know of each
//! other's sessions, counts and calls (REL-02, REL-05, REL-06, REL-32, SEC-41).
//!
//! What is true is asked at the Scalekit stand-in: who exists there, and how many creates it accepted.

mod crossings;
mod crowd;
mod deaths;
mod load;
mod rates;
mod rolling;
mod shared;

/// One person may try as often as a test does, and nobody is sent away because others are hashed first.
/// Ten thousand connections of one client on a busy machine are slow to say what they want.
const NO_LIMITS: [(&str, &str); 8] = [
    ("CROSSFADE_GUESSING__ACCOUNT__FAILURES", "1000"),
    ("CROSSFADE_LEGACY__HASH_QUEUE", "20000"),
    ("CROSSFADE_PUBLIC__LIMITS__CONNECTIONS", "20000"),
    ("CROSSFADE_PUBLIC__LIMITS__CONNECTIONS_PER_ADDRESS", "20000"),
    ("CROSSFADE_PUBLIC__LIMITS__IN_FLIGHT", "20000"),
    ("CROSSFADE_PUBLIC__LIMITS__HEAD_TIMEOUT", "4m"),
    ("CROSSFADE_PUBLIC__LIMITS__BODY_PAUSE", "4m"),
    ("CROSSFADE_TELEMETRY__LOG", "warn"),
];

/// The lease and what has to fit into it, scaled down: a dead replica's claim ends soon.
const SHORT_LEASE: [(&str, &str); 4] = [
    ("CROSSFADE_MIGRATION__SCALEKIT_BUDGET", "1s"),
    ("CROSSFADE_MIGRATION__OUTCOME_BUDGET", "1500ms"),
    ("CROSSFADE_MIGRATION__LEASE", "2600ms"),
    ("CROSSFADE_SCALEKIT__TIMEOUT", "800ms"),
];
