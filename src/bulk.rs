//! Room `bulk`.
