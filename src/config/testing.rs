//! What the tests of this room share: a small good configuration, its environment, and folders that go away.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use super::Environment;

/// The least that is a configuration.
pub(crate) const MINIMAL: &str = r"
public:
  url: https://app.example.com
  allowed_hosts: [app.example.com]
upstream:
  url: https://inside.example.com
legacy:
  sources:
    - name: app
      upstream: {}
scalekit:
  environment_url: https://example.scalekit.com
  client_id: skc_1
  client_secret: {env: CLIENT_SECRET}
  default_organization: {external_id: main, display_name: Main}
rollout:
  cutover: 0%
  salt: {env: KEY}
session:
  keys: [{env: KEY}]
store:
  embedded: {path: state.redb}
telemetry:
  subject_key: {env: KEY}
";

/// Every variable the tests and the example files refer to; each value holds the word `canary`.
pub(crate) fn environment() -> Environment {
    environment_with(&[])
}

pub(crate) fn environment_with(more: &[(&str, &str)]) -> Environment {
    let key = "canary-canary-canary-canary-canary";
    let known = [
        ("KEY", key),
        ("CLIENT_SECRET", "canary"),
        ("SCALEKIT_CLIENT_SECRET", "canary"),
        ("OKTA_API_TOKEN", "canary"),
        ("STORMPATH_API_KEY_ID", "canary"),
        ("STORMPATH_API_KEY_SECRET", "canary"),
        ("LEGACY_USERS_TOKEN", "canary"),
        ("ROLLOUT_SALT", key),
        ("SESSION_KEY", key),
        ("SUBJECT_KEY", key),
        ("DEMO_KEY", key),
        ("VIEWER_TOKEN", "canary-viewer-token-canary-viewer-token"),
        ("OPERATOR_TOKEN", "canary-operator-token-canary-operator"),
        ("SENTINEL_PASSWORD", "canary"),
        ("REDIS_PASSWORD", "canary"),
    ];
    let pairs = known.iter().chain(more);
    Environment::new(pairs.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

/// A folder of one test.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("crossfade-config-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.0
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
