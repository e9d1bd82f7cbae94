//! An example file with a test's own addresses and settings put in, and a scene's configuration with another store or for
//! one more process.

use std::net::SocketAddr;

use super::ports;

/// Fails where the text has changed, so that no test goes on with half of its settings.
pub(crate) struct Draft(pub(crate) String);

impl Draft {
    pub(crate) fn of(example: &str) -> Self {
        Self(example.to_owned())
    }

    #[must_use]
    pub(crate) fn put(self, old: &str, new: &str) -> Self {
        assert_eq!(self.0.matches(old).count(), 1, "the example has not exactly one {old:?}");
        Self(self.0.replace(old, new))
    }

    #[must_use]
    pub(crate) fn put_everywhere(self, old: &str, new: &str) -> Self {
        assert!(self.0.contains(old), "the example has no {old:?}");
        Self(self.0.replace(old, new))
    }
}

/// The configuration with another store in the place of the file.
pub(crate) fn in_place_of_the_file(section: &str, configuration: &str) -> String {
    let embedded = configuration.lines().find(|line| line.starts_with("  embedded:")).unwrap();
    Draft::of(configuration).put(embedded, &format!("  {section}")).0
}

/// The same for one more process of the site at `public`, which browsers reach by its own address.
pub(crate) fn elsewhere(public: SocketAddr, configuration: &str) -> String {
    let other = SocketAddr::from(([127, 0, 0, 1], ports::free()));
    Draft::of(configuration)
        .put(&format!("listen: {public}"), &format!("listen: {other}"))
        .put(&format!("allowed_hosts: [{public}]"), &format!("allowed_hosts: ['{public}', '{other}']"))
        .0
}
