//! The process environment as a value: overrides of single settings and the texts that secrets refer to.

use std::collections::BTreeMap;

const PREFIX: &str = "CROSSFADE_";

/// Variables that are ours and no settings: for the commands that talk to a running instance, for tests, for logs.
const RESERVED: [&str; 4] =
    ["CROSSFADE_ADMIN_URL", "CROSSFADE_ADMIN_TOKEN", "CROSSFADE_FAILPOINT", "CROSSFADE_LOG"];

/// Environment variables, read once. Its `Debug` tells no values: secrets are among them.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Environment(BTreeMap<String, String>);

/// Reads the process environment: the one place that does. Variables that are not UTF-8 count as not set.
pub(crate) fn environment() -> Environment {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    Environment(std::env::vars_os().filter_map(text).collect())
}

impl Environment {
    #[cfg(any(test, feature = "simulate"))]
    pub(crate) fn new(values: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(values.into_iter().collect())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The step at which a test wants the process to die (feature `failpoints`).
    pub(crate) fn failpoint(&self) -> Option<&str> {
        self.get("CROSSFADE_FAILPOINT").filter(|name| !name.is_empty())
    }

    /// Variables that may be meant as overrides: ours by their prefix and not reserved.
    pub(super) fn overrides(&self) -> impl Iterator<Item = Override<'_>> {
        self.0.iter().filter_map(|(name, value)| {
            let rest = name.strip_prefix(PREFIX).filter(|_| !RESERVED.contains(&name.as_str()))?;
            Some(Override { name, rest, value })
        })
    }
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// One variable that begins with `CROSSFADE_`.
#[derive(Clone, Copy)]
pub(super) struct Override<'a> {
    pub(super) name: &'a str,
    rest: &'a str,
    pub(super) value: &'a str,
}

impl Override<'_> {
    /// The path it names: levels are separated by two underscores. `None` when there is only one level, which no
    /// setting has.
    pub(super) fn path(&self) -> Option<Vec<String>> {
        let path: Vec<String> = self.rest.split("__").map(str::to_ascii_lowercase).collect();
        (path.len() > 1).then_some(path)
    }

    /// Whether Kubernetes made the variable: it adds some for every Service, also for one named `crossfade…`.
    pub(super) fn is_service_link(&self) -> bool {
        let address = self.value.starts_with("tcp://") || self.value.starts_with("udp://");
        let rest = self.rest;
        let has = |word: &str| rest.contains(word) || rest.starts_with(word.trim_start_matches('_'));
        address || has("_SERVICE_HOST") || has("_SERVICE_PORT") || has("_PORT_")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        Environment::new(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn overrides_are_ours_and_not_reserved() {
        let environment = environment(&[
            ("PATH", "/bin"),
            ("CROSSFADE_ADMIN_TOKEN", "t"),
            ("CROSSFADE_FAILPOINT", "after_create"),
            ("CROSSFADE_ROLLOUT__CUTOVER", "5%"),
        ]);
        let paths: Vec<_> = environment.overrides().map(|o| o.path()).collect();
        assert_eq!(paths, [Some(vec!["rollout".to_owned(), "cutover".to_owned()])]);
        assert_eq!(environment.failpoint(), Some("after_create"));
    }

    #[test]
    fn what_kubernetes_adds_for_a_service_is_known() {
        let environment = environment(&[
            ("CROSSFADE_SERVICE_HOST", "10.0.0.1"),
            ("CROSSFADE_ADMIN_SERVICE_PORT_HTTP", "80"),
            ("CROSSFADE_PORT", "tcp://10.0.0.1:80"),
            ("CROSSFADE_PORT_8080_TCP_PROTO", "tcp"),
        ]);
        assert!(environment.overrides().all(|o| o.is_service_link()));
    }

    #[test]
    fn debug_tells_names_only() {
        assert_eq!(format!("{:?}", environment(&[("A", "canary")])), r#"{"A"}"#);
    }
}
