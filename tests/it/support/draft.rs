//! An example file with a test's own addresses and settings put in.

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
