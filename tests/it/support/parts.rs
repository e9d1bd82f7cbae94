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
    pub(crate) redis_server: PathBuf,
    pub(crate) nginx: PathBuf,
    pub(crate) haproxy: PathBuf,
    pub(crate) chromium: PathBuf,
    pub(crate) openssl: PathBuf,
    pub(crate) curl: PathBuf,
    /// A Python that has Django.
    pub(crate) python: PathBuf,
    /// A Python that has Scalekit's SDK.
    pub(crate) python_of_sdk: PathBuf,
    /// The program that asks an API what its document promises; `None` in a list of an earlier version.
    #[serde(default)]
    pub(crate) schemathesis: Option<PathBuf>,
    pub(crate) node: PathBuf,
    /// The Django project's folder.
    pub(crate) django: PathBuf,
    /// The folder of the script that drives Scalekit's SDK for Python.
    pub(crate) sdk: PathBuf,
    /// The folder of the OpenID provider, the browser driver and the script for Scalekit's SDK for Node.
    pub(crate) node_scripts: PathBuf,
    /// Helm of both major versions.
    pub(crate) helm3: PathBuf,
    pub(crate) helm4: PathBuf,
    /// The folder of the programs that judge a chart: `kubernetes-validate` and others.
    pub(crate) chart_tools: PathBuf,
    /// The folder of the script that judges the resources that are not Kubernetes' own.
    pub(crate) chart_scripts: PathBuf,
    /// `None` where no image can be built and run.
    pub(crate) image: Option<ImageParts>,
    /// The folder of the scripts that run an image.
    pub(crate) image_scripts: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ImageParts {
    /// The store of the stand-in base images.
    pub(crate) store: PathBuf,
    /// The image is built by the whole Dockerfile: the long form of the tests.
    pub(crate) whole: bool,
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
