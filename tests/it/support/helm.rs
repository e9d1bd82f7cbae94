//! The project's chart, rendered by Helm of both major versions, and what it renders to.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use super::{parts::parts, scratch::Scratch};

pub(crate) const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/helm/crossfade");

/// The Kubernetes version that is rendered for.
pub(crate) const KUBERNETES: &str = "1.35.0";

/// The value files that come with the chart, by name without ending.
pub(crate) fn cases() -> Vec<String> {
    let files = fs::read_dir(Path::new(CHART).join("ci")).unwrap();
    let mut names: Vec<String> =
        files.map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

pub(crate) fn case_file(name: &str) -> PathBuf {
    Path::new(CHART).join("ci").join(name).with_extension("yaml")
}

/// One of the two Helms.
#[derive(Clone, Copy)]
pub(crate) struct Helm {
    pub(crate) major: u8,
}

pub(crate) const BOTH: [Helm; 2] = [Helm { major: 3 }, Helm { major: 4 }];

impl Helm {
    /// Runs it to its end: standard output, or what it said against it.
    pub(crate) fn run(self, arguments: &[&str]) -> Result<String, String> {
        let program = if self.major == 3 { &parts().helm3 } else { &parts().helm4 };
        let home = Scratch::new();
        let mut command = Command::new(program);
        for kind in ["CACHE", "CONFIG", "DATA"] {
            command.env(format!("HELM_{kind}_HOME"), home.path().join(kind));
        }
        // Nothing here may talk to a cluster.
        command.env_remove("KUBECONFIG").env("HOME", home.path());
        let output = command.args(arguments).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        if output.status.success() {
            Ok(text(output.stdout))
        } else {
            Err(format!("{}{}", text(output.stdout), text(output.stderr)))
        }
    }

    /// Renders a chart with value files and further options.
    pub(crate) fn render(self, chart: &str, values: &[&Path], options: &[&str]) -> Result<Manifests, String> {
        let mut arguments =
            vec!["template", "r", chart, "--namespace", "harbour", "--kube-version", KUBERNETES];
        for file in values {
            arguments.extend(["-f", file.to_str().unwrap()]);
        }
        self.run(&[&arguments, options].concat()).map(|text| Manifests::read(&text))
    }
}

/// Rendered resources, in the order of their kinds and names.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Manifests(pub(crate) Vec<Value>);

impl Manifests {
    pub(crate) fn read(text: &str) -> Self {
        let documents: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
        let mut resources: Vec<Value> = documents.into_iter().filter(|value| !value.is_null()).collect();
        resources.sort_by_key(|resource| (kind(resource).to_owned(), name(resource).to_owned()));
        assert!(!resources.is_empty(), "nothing was rendered");
        Self(resources)
    }

    pub(crate) fn find(&self, kind: &str, name: &str) -> Option<&Value> {
        self.0.iter().find(|resource| self::kind(resource) == kind && self::name(resource) == name)
    }

    pub(crate) fn get(&self, kind: &str, name: &str) -> &Value {
        self.find(kind, name).unwrap_or_else(|| panic!("no {kind} {name} among {:?}", self.names()))
    }

    /// What runs the pods.
    pub(crate) fn workload(&self) -> &Value {
        let runs = |resource: &&Value| ["StatefulSet", "Deployment"].contains(&kind(resource));
        let mut found = self.0.iter().filter(runs);
        let workload = found.next().expect("a workload");
        assert!(found.next().is_none(), "two workloads");
        workload
    }

    pub(crate) fn pod(&self) -> &Value {
        &self.workload()["spec"]["template"]["spec"]
    }

    /// The file `config.yaml` that the pod is given.
    pub(crate) fn configuration(&self) -> &str {
        let map = self.0.iter().find(|resource| kind(resource) == "ConfigMap").expect("a ConfigMap");
        map["data"]["config.yaml"].as_str().unwrap()
    }

    pub(crate) fn names(&self) -> Vec<(&str, &str)> {
        self.0.iter().map(|resource| (kind(resource), name(resource))).collect()
    }
}

pub(crate) fn kind(resource: &Value) -> &str {
    resource["kind"].as_str().expect("a kind")
}

pub(crate) fn name(resource: &Value) -> &str {
    resource["metadata"]["name"].as_str().expect("a name")
}
