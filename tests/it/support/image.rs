//! The container image, built by buildah from the Dockerfile on stand-ins for its base images.
//!
//! In the short form of the tests the binary under test stands in for the stage that compiles; in the long form the
//! whole Dockerfile is run.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

use serde_json::Value;

use super::{
    parts::{ImageParts, parts},
    process,
    scratch::Scratch,
};

const PROJECT: &str = env!("CARGO_MANIFEST_DIR");

/// A built image.
pub(crate) struct Image {
    /// Its files.
    pub(crate) root: PathBuf,
    /// How it says it is run: `User`, `Entrypoint`, `Cmd`, …
    pub(crate) config: Value,
    _scratch: Scratch,
}

/// The image, built once.
pub(crate) fn image() -> &'static Image {
    static IMAGE: LazyLock<Image> = LazyLock::new(build);
    &IMAGE
}

fn build() -> Image {
    let parts = parts().image.as_ref().expect("no image can be run here: tests/install says why");
    let scratch = Scratch::new();
    let (root, id) = (scratch.path().join("root"), scratch.path().join("id"));
    let mut command = buildah(parts, &scratch);
    command.args(["bud", "--quiet", "--pull-never", "--format", "docker", "--layers=false", "--iidfile"]);
    command.arg(&id).arg("--output").arg(format!("type=local,dest={}", root.display()));
    if !parts.whole {
        let stage = scratch.path().join("build");
        fs::create_dir_all(stage.join("out/state")).unwrap();
        strip(&stage.join("out/crossfade"));
        command.arg("--build-context").arg(format!("build={}", stage.display()));
    }
    command.arg(PROJECT);
    process::run(command, "");
    let id = fs::read_to_string(id).unwrap();
    let mut inspect = buildah(parts, &scratch);
    inspect.args(["inspect", "--type", "image", &id]);
    let told: Value = serde_json::from_str(&process::run(inspect, "")).unwrap();
    // Its files are outside now; the store does not grow from run to run.
    let mut remove = buildah(parts, &scratch);
    remove.args(["rmi", &id]);
    process::run(remove, "");
    // The program's user has to get in.
    fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).unwrap();
    Image { root, config: told["Docker"]["config"].clone(), _scratch: scratch }
}

/// In a mount namespace of its own, with which its mounts end.
fn buildah(parts: &ImageParts, scratch: &Scratch) -> Command {
    let driver = fs::read_to_string(parts.store.join("driver")).unwrap();
    let mut command = process::command("unshare");
    command.args(["--mount", "--", "buildah", "--root"]).arg(parts.store.join("root"));
    command.arg("--runroot").arg(scratch.path().join("run"));
    command.env("BUILDAH_ISOLATION", "chroot").env("STORAGE_DRIVER", driver.trim());
    command
}

/// The binary under test without its symbols, which are most of it.
fn strip(to: &Path) {
    let mut command = process::command("strip");
    command.args(["--strip-all", "-o"]).arg(to).arg(env!("CARGO_BIN_EXE_crossfade"));
    process::run(command, "");
}
