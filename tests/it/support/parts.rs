//! Where the real parts are on this machine, as `tests/install` wrote it down.

use std::{env, fs, path::PathBuf, sync::LazyLock};

use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parts {
    /// The folder of `postgres`, `initdb` and `psql`.
    pub(crate) postgres: PathBuf,
    pub(crate) mariadbd: PathBuf,
    pub(crate) mariadb_install_db: PathBuf,
    /// The command line client.
    pub(crate) mariadb: PathBuf,
    pub(crate) chromium: PathBuf,
    /// A Python that has Django.
    pub(crate) python: PathBuf,
    pub(crate) node: PathBuf,
    /// The Django project's folder.
    pub(crate) django: PathBuf,
    /// The folder of the OpenID provider and the browser driver.
    pub(crate) node_scripts: PathBuf,
}

/// The parts; a test that needs one fails here when they were not installed.
pub(crate) fn parts() -> &'static Parts {
    static PARTS: LazyLock<Parts> = LazyLock::new(|| {
        #[expect(clippy::disallowed_methods, reason = "the tests' own setting, not the product's")]
        let file = env::var_os("CROSSFADE_TEST_PARTS")
            .expect("this test needs real parts (databases, a browser, Django): run tests/run");
        let text = fs::read_to_string(&file).unwrap_or_else(|error| {
            panic!("{} cannot be read ({error}): run tests/run", PathBuf::from(&file).display())
        });
        serde_json::from_str(&text).expect("the list of parts is of another version: run tests/run")
    });
    &PARTS
}
