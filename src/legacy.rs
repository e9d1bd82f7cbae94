//! Room `legacy`.
