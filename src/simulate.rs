//! Room `simulate`.

mod app;
mod backstage;
mod okta;
