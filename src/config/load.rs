//! From a file, or its text, to a [`Loaded`] configuration.

use std::{
    fs,
    path::{Path, PathBuf},
};

use aws_lc_rs::digest;

use super::{
    Config, Environment, Problems, Warning, effective,
    problem::{Position, Problem},
    raw::Raw,
    tree::{self, Node},
    validate::{Check, reason},
};

/// A configuration that may be used, with what is worth knowing about it.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    pub(crate) warnings: Vec<Warning>,
    /// The file with all defaults filled in; it holds references to secrets, never their content.
    effective: Raw,
    pub(super) seen: Seen,
}

impl Loaded {
    /// The complete configuration in force as YAML, in the file's own shape: it can be loaded again. Secrets are
    /// references with the comment `REDACTED`; paths are whole.
    pub(crate) fn effective(&self) -> String {
        // Plain data with text keys: the serialiser has nothing to refuse.
        serde_saphyr::to_string(&self.effective)
            .unwrap_or_else(|error| format!("# cannot be shown: {error}\n"))
    }

    /// The same as a JSON value, for programs.
    pub(crate) fn effective_json(&self) -> serde_json::Value {
        serde_json::to_value(&self.effective).unwrap_or_default()
    }

    #[cfg(test)]
    pub(super) fn effective_raw(&self) -> &Raw {
        &self.effective
    }
}

/// What one look at a configuration gave, good or bad.
#[derive(Debug)]
pub(crate) struct Examined {
    pub(crate) outcome: Result<Loaded, Problems>,
    /// The `hash_format` of each source that has one: room `hash` knows whether they can be used.
    pub(crate) hash_formats: Vec<HashFormatSetting>,
    /// Files that hold secrets, and who may read them is worth a look.
    pub(crate) secret_files: Vec<SecretFile>,
    /// Files that were read besides the configuration itself.
    pub(super) files: Vec<PathBuf>,
    pub(super) seen: Seen,
}

/// A file that holds a secret.
#[derive(Clone, Debug)]
pub(crate) struct SecretFile {
    /// The setting that names it.
    pub(crate) place: String,
    pub(crate) path: PathBuf,
}

/// One source's `hash_format`, and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct HashFormatSetting {
    pub(crate) path: String,
    pub(crate) position: Option<Position>,
    pub(crate) settings: serde_json::Value,
}

/// Reads and validates a file. Relative paths in it are relative to its folder.
pub(crate) fn load(path: &Path, environment: &Environment) -> Result<Loaded, Problems> {
    examine(path, environment).outcome
}

/// Validates a text as if it stood in a file in `base`.
#[cfg(any(test, feature = "simulate"))]
pub(crate) fn parse(text: &str, base: &Path, environment: &Environment) -> Result<Loaded, Problems> {
    examine_text(text, base, environment).outcome
}

/// Like [`load`], for those who want to know more than the outcome.
pub(crate) fn examine(path: &Path, environment: &Environment) -> Examined {
    match fs::read_to_string(path) {
        Ok(text) => examine_text(&text, &folder(path), environment),
        Err(error) => {
            let text = format!("cannot read {}: {}", path.display(), reason(&error));
            let mut seen = Sight::new();
            seen.add(text.as_bytes());
            Examined::refused(Problems::one("", text), seen)
        }
    }
}

/// The folder a file is in, whole, so that nothing depends on where the process stands later.
pub(super) fn folder(path: &Path) -> PathBuf {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    whole.parent().map_or_else(PathBuf::new, Path::to_owned)
}

fn examine_text(text: &str, base: &Path, environment: &Environment) -> Examined {
    let mut check = Check::new(environment, base);
    check.seen.add(text.as_bytes());
    let mut tree = match tree::parse(text) {
        Ok(tree) => tree,
        Err(problem) => return Examined::refused(Problems(vec![problem]), check.seen),
    };
    let given = apply_overrides(&mut tree, environment, &mut check);
    let mut told = Vec::new();
    let raw: Raw = tree::read(&mut tree, &mut told);
    let config = check.config(raw.clone());

    // What was switched off while reading looks missing afterwards: told once is enough.
    let locate = |problem: Problem| {
        let (path, position) = tree.locate(&problem.path);
        Problem { path, position, ..problem }
    };
    let follows =
        |problem: &Problem| told.iter().any(|told: &Problem| tree::is_within(&problem.path, &told.path));
    let checked = std::mem::take(&mut check.problems).into_iter().map(locate);
    let checked: Vec<Problem> = checked.filter(|problem| !follows(problem)).collect();
    let mut problems: Vec<Problem> = told.into_iter().chain(checked).collect();
    for (path, name) in given {
        for problem in problems.iter_mut().filter(|problem| tree::is_within(&problem.path, &path)) {
            problem.text = format!("{} (from the variable {name})", problem.text);
        }
    }
    problems.sort_by_key(|problem| problem.position);
    let warnings = check.warnings.into_iter().map(|warning| Warning(locate(warning.0))).collect();
    let hash_formats = hash_formats(&raw, &tree);
    let seen = check.seen.finish();
    let outcome = match config {
        Some(config) if problems.is_empty() => {
            let effective = effective::fill(&config, &raw, base);
            Ok(Loaded { config, warnings, effective, seen: seen.clone() })
        }
        _ => Err(Problems(problems)),
    };
    Examined { outcome, hash_formats, secret_files: check.secret_files, files: check.files, seen }
}

fn hash_formats(raw: &Raw, tree: &Node) -> Vec<HashFormatSetting> {
    let sources = raw.legacy.iter().flat_map(|legacy| legacy.sources.iter().flatten()).enumerate();
    let settings = sources.flat_map(|(n, source)| {
        let file = source.hash_file.as_ref().and_then(|file| file.hash_format.clone());
        let sql = source.sql.as_ref().and_then(|sql| sql.hash_format.clone());
        [("hash_file", file), ("sql", sql)].into_iter().filter_map(move |(kind, settings)| {
            Some((format!("legacy.sources[{n}].{kind}.hash_format"), settings?))
        })
    });
    let located = settings.map(|(path, settings)| {
        let (path, position) = tree.locate(&path);
        HashFormatSetting { path, position, settings }
    });
    located.collect()
}

/// Puts single values from the environment into the tree; returns their paths with the variables' names.
fn apply_overrides(
    tree: &mut Node,
    environment: &Environment,
    check: &mut Check<'_>,
) -> Vec<(String, String)> {
    let referred: Vec<String> = tree.texts_under("env").into_iter().map(str::to_owned).collect();
    let mut given = Vec::new();
    for variable in environment.overrides() {
        if variable.is_service_link() || referred.iter().any(|name| name == variable.name) {
            continue;
        }
        let Some(path) = variable.path() else {
            check.warnings.push(Warning(Problem::new(
                variable.name,
                "changes nothing: two underscores separate the levels of a setting, as in \
                 CROSSFADE_ROLLOUT__CUTOVER",
            )));
            continue;
        };
        match tree.give(&path, variable.value) {
            Ok(()) => given.push((path.join("."), variable.name.to_owned())),
            Err(level) => check.problems.push(Problem::new(
                variable.name,
                format!("names no setting: there is nothing at `{level}`"),
            )),
        }
    }
    given
}

/// Stands for everything that was read: equal ones mean that nothing changed.
pub(super) type Seen = Vec<u8>;

/// Collects what is read while it is read, so that it stands for exactly that.
pub(super) struct Sight(digest::Context);

impl Sight {
    pub(super) fn new() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }

    pub(super) fn add(&mut self, bytes: &[u8]) {
        // The length keeps two neighbours from being read as two others.
        self.0.update(&bytes.len().to_be_bytes());
        self.0.update(bytes);
    }

    fn finish(self) -> Seen {
        self.0.finish().as_ref().to_vec()
    }
}

impl Examined {
    fn refused(problems: Problems, seen: Sight) -> Self {
        Self {
            outcome: Err(problems),
            hash_formats: Vec::new(),
            secret_files: Vec::new(),
            files: Vec::new(),
            seen: seen.finish(),
        }
    }
}
