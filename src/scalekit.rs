//! Room `scalekit`.
