//! The files in `config/`: each can be used as it is, fits the schema, and shows what is in force.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::config::{
    Environment, Loaded, load, schema,
    testing::{environment, environment_with},
};

fn examples() -> Vec<PathBuf> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/config");
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|end| end == "yaml")).collect();
    paths.sort();
    paths
}

fn environment_of(path: &Path) -> Environment {
    let url = match path.file_stem().unwrap().to_str().unwrap() {
        "postgres" => "postgres://reader:canary@db/app",
        "mariadb" => "mysql://reader:canary@db/shop",
        "sqlite" => "sqlite:/var/lib/wiki/db.sqlite?mode=ro",
        _ => return environment(),
    };
    environment_with(&[("DATABASE_URL", url)])
}

fn loaded(path: &Path) -> Loaded {
    load(path, &environment_of(path)).unwrap_or_else(|problems| panic!("{}\n{problems}", path.display()))
}

#[test]
fn every_example_can_be_used_and_shown() {
    assert_eq!(examples().len(), 10);
    for path in examples() {
        let loaded = loaded(&path);
        let shown = loaded.effective();
        assert!(!shown.contains("canary"), "{shown}");
        let again = crate::config::parse(&shown, path.parent().unwrap(), &environment_of(&path));
        let again = again.unwrap_or_else(|problems| panic!("{problems}\n{shown}"));
        assert_eq!(again.effective(), shown, "{}", path.display());
    }
}

#[test]
fn every_example_migrates_nobody_yet_and_vouches_for_nobody() {
    for path in examples() {
        let config = loaded(&path).config;
        assert_eq!(config.rollout.dial.migrate().get(), 0, "{}", path.display());
        assert!(config.legacy.sources.iter().all(|source| source.assume_verified.is_none()));
    }
}

#[test]
fn only_sources_without_a_flag_are_warned_of() {
    for path in examples() {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let nobody =
            loaded(&path).warnings.iter().filter(|w| w.0.text.starts_with("nobody from this source")).count();
        assert_eq!(nobody, usize::from(matches!(name.as_str(), "okta" | "postgres")), "{name}");
    }
}

#[test]
fn every_example_fits_the_schema_and_a_wrong_one_does_not() {
    let schema = schema();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let as_json = |text: &str| serde_saphyr::from_str::<serde_json::Value>(text).unwrap();
    for path in examples() {
        let text = fs::read_to_string(&path).unwrap();
        let errors: Vec<_> = validator.iter_errors(&as_json(&text)).map(|error| error.to_string()).collect();
        assert_eq!(errors, Vec::<String>::new(), "{}", path.display());
        for (from, to) in [
            ("rollout:\n", "rollout:\n  colour: red\n"),
            ("{env: ROLLOUT_SALT}", "literal"),
            ("cutover: 0%", "cutover: 101"),
            ("default_organization:", "x-organization:"),
        ] {
            if text.contains(from) {
                assert!(!validator.is_valid(&as_json(&text.replace(from, to))), "{to} in {}", path.display());
            }
        }
    }
}

#[test]
fn the_schema_describes_every_section() {
    let schema = schema();
    let properties = schema["properties"].as_object().unwrap();
    assert_eq!(properties.len(), 14);
    for (name, section) in properties {
        assert!(section["description"].as_str().is_some_and(|text| !text.is_empty()), "{name}: {section}");
    }
    assert_eq!(schema["additionalProperties"], false);
}
