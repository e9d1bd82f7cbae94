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
    pub(crate) nginx: PathBuf,
    pub(crate) haproxy: PathBuf,
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
    // A result, so that every test that asks hears the same reason.
    static PARTS: LazyLock<Result<Parts, String>> = LazyLock::new(read);
    PARTS.as_ref().unwrap_or_else(|reason| panic!("{reason}: run tests/run"))
}

fn read() -> Result<Parts, String> {
    #[expect(clippy::disallowed_methods, reason = "the tests' own setting, not the product's")]
    let file = env::var_os("CROSSFADE_TEST_PARTS").map(PathBuf::from);
    let file = file.ok_or("this test needs real parts (databases, a browser, Django)")?;
    let text =
        fs::read_to_string(&file).map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
    serde_json::from_str(&text).map_err(|error| format!("the list of parts is of another version ({error})"))
}
