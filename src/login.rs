//! Room `login`.
