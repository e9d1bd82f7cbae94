//! Room `simulate`.

mod backstage;
mod okta;
