//! A node in small: runs the pod that the chart describes from the image, with the volumes, secrets, variables,
//! arguments, user and probes that stand there. Resources, scheduling and the network policy are not its business.

use std::{
    cell::Cell,
    collections::BTreeMap,
    fs,
    os::unix::fs::{PermissionsExt as _, chown, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use super::{
    helm::Manifests,
    http::Visitor,
    image::Image,
    parts::parts,
    process::{self, Process},
    scratch::Scratch,
    wait,
};

/// The Secrets of the cluster: name and key give the value.
pub(crate) type Secrets = BTreeMap<(String, String), String>;

/// The volumes of one pod, which outlive it.
pub(crate) struct Node {
    image: &'static Image,
    scratch: Scratch,
    /// How often the projected volume was written.
    swaps: Cell<u32>,
}

/// A running pod.
pub(crate) struct Pod {
    pub(crate) process: Process,
    /// The program's process, seen from outside.
    pub(crate) pid: u32,
    environment: Vec<(String, String)>,
    user: (u32, u32),
}

impl Node {
    pub(crate) fn new(image: &'static Image) -> Self {
        Self { image, scratch: Scratch::new(), swaps: Cell::new(0) }
    }

    /// Where a volume's content is.
    pub(crate) fn volume(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Starts the pod and waits for its startup and readiness probes.
    pub(crate) fn start(&self, manifests: &Manifests, secrets: &Secrets) -> Pod {
        let (spec, container) = (manifests.pod(), container(manifests));
        let security = &spec["securityContext"];
        let id = |name: &str| u32::try_from(security[name].as_u64().expect(name)).unwrap();
        let (user, group, extra) = (id("runAsUser"), id("runAsGroup"), id("fsGroup"));
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
        self.project(manifests, secrets);
        self.claim(manifests, extra);

        let mut command = process::command(parts().image_scripts.join("contain"));
        command.arg(&self.image.root).args([user, group, extra].map(|id| id.to_string()));
        for mount in container["volumeMounts"].as_array().unwrap() {
            let text = |name: &str| mount[name].as_str().unwrap();
            command.arg(if mount["readOnly"] == true { "ro" } else { "rw" });
            command.arg(self.volume(text("name"))).arg(text("mountPath"));
        }
        command.arg("--");
        assert!(container["command"].is_null(), "the image's own entry point is used");
        for part in [&self.image.config["Entrypoint"], &container["args"]] {
            command.args(part.as_array().unwrap().iter().map(|word| word.as_str().unwrap()));
        }
        let environment = self.environment(container, secrets);
        command.env_clear().envs(environment.iter().cloned());
        let mut process = Process::start("pod", command);
        // It prints once it listens.
        process.line(0);
        let pid = innermost(process.id());
        for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
            let path = container[probe]["httpGet"]["path"].as_str().unwrap();
            let visitor = Visitor::of(([127, 0, 0, 1], port(container, "admin")).into());
            wait::until("the probe is answered", || {
                assert!(process.is_running(), "the pod ended:\n{}", process.said());
                (visitor.get(path).status == 200).then_some(())
            });
        }
        Pod { process, pid, environment, user: (user, group) }
    }

    fn environment(&self, container: &Value, secrets: &Secrets) -> Vec<(String, String)> {
        let given = container["env"].as_array().unwrap().iter().map(|variable| {
            let value = match (&variable["value"], &variable["valueFrom"]["secretKeyRef"]) {
                (Value::String(value), _) => value.clone(),
                (_, reference) => secret(secrets, &reference["name"], &reference["key"]),
            };
            (variable["name"].as_str().unwrap().to_owned(), value)
        });
        let of_image = self.image.config["Env"].as_array().unwrap().iter().map(|pair| {
            let (name, value) = pair.as_str().unwrap().split_once('=').unwrap();
            (name.to_owned(), value.to_owned())
        });
        of_image.chain(given).collect()
    }

    /// Writes the projected volume as a kubelet does: a new folder, then one swap of the link `..data`.
    pub(crate) fn project(&self, manifests: &Manifests, secrets: &Secrets) {
        let spec = manifests.pod();
        let group = u32::try_from(spec["securityContext"]["fsGroup"].as_u64().unwrap()).unwrap();
        let volumes = spec["volumes"].as_array().unwrap();
        let [volume] = volumes.as_slice() else { panic!("more volumes than the projected one") };
        let folder = self.volume(volume["name"].as_str().unwrap());
        let number = self.swaps.replace(self.swaps.get() + 1);
        let data = folder.join(format!("..data-{number}"));
        let mode = u32::try_from(volume["projected"]["defaultMode"].as_u64().unwrap()).unwrap();
        for source in volume["projected"]["sources"].as_array().unwrap() {
            let (of_map, of_secret) = (&source["configMap"], &source["secret"]);
            let from = if of_map.is_null() { of_secret } else { of_map };
            for item in from["items"].as_array().unwrap() {
                let content = if of_map.is_null() {
                    secret(secrets, &from["name"], &item["key"])
                } else {
                    let map = manifests.get("ConfigMap", from["name"].as_str().unwrap());
                    map["data"][item["key"].as_str().unwrap()].as_str().unwrap().to_owned()
                };
                write(&data.join(item["path"].as_str().unwrap()), &content, mode, group);
            }
        }
        for entry in fs::read_dir(&data).unwrap() {
            let link = folder.join(entry.unwrap().file_name());
            if !link.is_symlink() {
                symlink(Path::new("..data").join(link.file_name().unwrap()), &link).unwrap();
            }
        }
        symlink(data.file_name().unwrap(), folder.join("..data_tmp")).unwrap();
        fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
        if let Some(before) = number.checked_sub(1) {
            fs::remove_dir_all(folder.join(format!("..data-{before}"))).unwrap();
        }
    }

    /// The volume of the claim: the group's, as `fsGroup` makes it.
    fn claim(&self, manifests: &Manifests, group: u32) {
        for claim in manifests.workload()["spec"]["volumeClaimTemplates"].as_array().into_iter().flatten() {
            let folder = self.volume(claim["metadata"]["name"].as_str().unwrap());
            fs::create_dir_all(&folder).unwrap();
            chown(&folder, Some(0), Some(group)).unwrap();
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o2775)).unwrap();
        }
    }
}

impl Pod {
    /// Asks it to stop, as a kubelet does, and gives its exit code.
    pub(crate) fn terminate(&mut self) -> Option<i32> {
        self.ask_to_stop();
        self.process.wait().code()
    }

    pub(crate) fn ask_to_stop(&self) {
        let mut kill = Command::new("kill");
        kill.args(["-s", "TERM", &self.pid.to_string()]);
        process::run(kill, "");
    }

    /// Runs another command of the image in the pod, like `kubectl exec`: its exit code and standard error.
    pub(crate) fn exec(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.pid.to_string(), "--mount", "--pid", "--ipc", "--uts", "--root"]);
        command.args([format!("--setuid={}", self.user.0), format!("--setgid={}", self.user.1)]);
        command.arg("--").args(arguments).env_clear().envs(self.environment.iter().cloned());
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }

    /// A line of `/proc/PID/status`.
    pub(crate) fn status(&self, name: &str) -> String {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("no {name} in {status}"))
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// How each of its mounts is mounted: the place and the options.
    pub(crate) fn mounts(&self) -> BTreeMap<String, String> {
        let mounts = fs::read_to_string(format!("/proc/{}/mountinfo", self.pid)).unwrap();
        let read = |line: &str| {
            let fields: Vec<&str> = line.split(' ').collect();
            (fields[4].to_owned(), fields[5].to_owned())
        };
        mounts.lines().map(read).collect()
    }
}

pub(crate) fn container(manifests: &Manifests) -> &Value {
    let containers = manifests.pod()["containers"].as_array().unwrap();
    assert!(containers.len() == 1 && manifests.pod()["initContainers"].is_null());
    &containers[0]
}

fn port(container: &Value, name: &str) -> u16 {
    let ports = container["ports"].as_array().unwrap();
    let port = ports.iter().find(|port| port["name"] == name).expect("a port of this name");
    u16::try_from(port["containerPort"].as_u64().unwrap()).unwrap()
}

fn secret(secrets: &Secrets, name: &Value, key: &Value) -> String {
    let place = (name.as_str().unwrap().to_owned(), key.as_str().unwrap().to_owned());
    secrets.get(&place).unwrap_or_else(|| panic!("no Secret has {place:?}")).clone()
}

fn write(file: &Path, content: &str, mode: u32, group: u32) {
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, content).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
    chown(file, Some(0), Some(group)).unwrap();
}

/// The last of a line of processes, each the only child of the one before.
fn innermost(mut pid: u32) -> u32 {
    loop {
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        let mut children = children.split_whitespace();
        let Some(child) = children.next() else { return pid };
        assert!(children.next().is_none(), "{pid} has several children");
        pid = child.parse().unwrap();
    }
}
