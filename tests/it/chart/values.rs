//! What the chart's values may be: the schema, the refusals, and the table in its README.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::Value;

use super::judge;
use crate::support::helm::{BOTH, CHART, case_file, cases};

#[test]
fn the_schema_is_one_and_every_value_file_fits_it() {
    let (schema, values) = (format!("{CHART}/values.schema.json"), format!("{CHART}/values.yaml"));
    judge("check-jsonschema", &["--check-metaschema", &schema]);
    judge("check-jsonschema", &["--schemafile", &schema, &values]);
    for case in cases() {
        // Alone, a file need not name what has a default.
        let file = case_file(&case);
        let text = fs::read_to_string(&file).unwrap();
        let given: Value = serde_saphyr::from_str(&text).unwrap();
        let mut all: Value = serde_saphyr::from_str(&fs::read_to_string(&values).unwrap()).unwrap();
        lay_over(&mut all, &given);
        let schema: Value = serde_json::from_str(&fs::read_to_string(&schema).unwrap()).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let problems: Vec<String> = validator.iter_errors(&all).map(|error| error.to_string()).collect();
        assert_eq!(problems, Vec::<String>::new(), "{case}");
    }
}

/// As Helm does it: maps are merged, everything else is replaced.
fn lay_over(below: &mut Value, above: &Value) {
    match (below, above) {
        (Value::Object(below), Value::Object(above)) => {
            for (name, value) in above {
                lay_over(below.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (below, above) => *below = above.clone(),
    }
}

#[test]
fn every_level_of_our_own_is_closed() {
    fn look(path: &str, schema: &Value, open: &mut Vec<String>) {
        for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            if inner["properties"].is_object() && inner["additionalProperties"] != false {
                open.push(path.clone());
            }
            look(&path, inner, open);
            look(&format!("{path}[]"), &inner["items"], open);
        }
    }
    let schema: Value =
        serde_json::from_str(&fs::read_to_string(Path::new(CHART).join("values.schema.json")).unwrap())
            .unwrap();
    assert_eq!(schema["additionalProperties"], false);
    let mut open = Vec::new();
    look("", &schema, &mut open);
    // Crossfade's own configuration is judged by Crossfade.
    assert_eq!(open, [".config", ".config.admin", ".config.public"]);
}

#[test]
fn what_cannot_work_is_refused_with_its_reason() {
    for (options, reason) in [
        ("replicaCount=2", "2 replicas cannot share the embedded store"),
        ("image.repository=", "image.repository: required"),
        ("config.admin.listen=127.0.0.1:9090", "config.admin.listen: \"127.0.0.1:9090\" is loopback"),
        ("config.public.listen=[::1]:8080", "config.public.listen: \"[::1]:8080\" is loopback"),
        ("config.public.listen=0.0.0.0:443", "a port from 1024 on"),
        ("config.public.listen=8080", "listen"),
        ("config.admin.listen=0.0.0.0:8080", "has the port of config.public.listen"),
        ("config.store.embedded.path=crossfade.redb", "is not in the volume"),
        ("config.public.limits.drain_wait=forever", "\"forever\" is no duration"),
        ("terminationGracePeriodSeconds=54", "54 is less than the 55 s"),
        (
            "terminationGracePeriodSeconds=60,config.public.limits.drain_timeout=1m",
            "60 is less than the 85 s",
        ),
        (
            "secrets=null",
            "for the file secrets/scalekit-client-secret: {file: scalekit-client-secret, secretName: ",
        ),
        ("secrets=null", "for the file secrets/session-key: "),
        ("secrets[0].file=another", "for the file secrets/scalekit-client-secret: "),
        ("secrets[1].file=scalekit-client-secret", "a file is given twice"),
        (
            "config.legacy.sources[0].okta.api_token.env=OKTA_TOKEN",
            "for the variable OKTA_TOKEN: {env: OKTA_TOKEN, secretName: ",
        ),
        ("extraEnv[0].name=A,extraEnv[1].name=A", "a variable is given twice"),
        ("secrets[0].value=hush", "value"),
        ("secrets[0].env=BOTH", "secrets"),
        ("httpRoute.enabled=true", "httpRoute.parentRefs: required"),
        ("ingress.enabled=true,config.public.allowed_hosts=null", "ingress.hosts: no name is known"),
        ("colour=red", "colour"),
        ("image.colour=red", "colour"),
        ("probes.liveness.colour=red", "colour"),
        ("service.type=ExternalName", "service"),
        ("image.digest=sha256:abc", "digest"),
    ] {
        for helm in BOTH {
            let rendered = helm.render(CHART, &[&case_file("embedded")], &["--set", options]);
            let Err(error) = rendered else { panic!("{options} is not refused by Helm {}", helm.major) };
            assert!(error.contains(reason), "Helm {} refuses {options}:\n{error}", helm.major);
        }
    }
    for (version, fits) in [("1.26.15", false), ("1.27.0-gke.100", true), ("1.40.0", true)] {
        let rendered = BOTH[1].render(CHART, &[&case_file("embedded")], &["--kube-version", version]);
        assert_eq!(rendered.is_ok(), fits, "{version}");
    }
}

/// Every value's path and default; a map or list without content is a value.
fn defaults(path: &str, value: &Value, found: &mut BTreeMap<String, Value>) {
    // These are told as a whole.
    let whole = ["resources.requests", "resources.limits", "probes.liveness", "probes.readiness"];
    match value.as_object().filter(|map| !map.is_empty() && !whole.contains(&path)) {
        Some(map) => {
            for (name, value) in map {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                defaults(&path, value, found);
            }
        }
        None => drop(found.insert(path.to_owned(), value.clone())),
    }
}

#[test]
fn the_read_me_names_every_value_with_its_default() {
    let read = |name: &str| fs::read_to_string(Path::new(CHART).join(name)).unwrap();
    let mut expected = BTreeMap::new();
    defaults("", &serde_saphyr::from_str(&read("values.yaml")).unwrap(), &mut expected);
    let text = read("README.md");
    let table = text.split("| value | default | meaning |").nth(1).expect("the table of values");
    let told: BTreeMap<String, Value> = table
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split("` |");
            let (path, default) = (cells.next()?, cells.next()?.trim().strip_prefix('`')?);
            Some((path.to_owned(), serde_json::from_str(default).unwrap()))
        })
        .collect();
    assert_eq!(told, expected);
}
