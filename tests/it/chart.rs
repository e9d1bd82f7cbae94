//! The chart, rendered by both Helms and held to what judges charts; `image` runs what it renders.

mod values;

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use serde_json::{Value, json};

use crate::support::{
    crossfade::{crossfade, crossfade_with},
    helm::{BOTH, CHART, Helm, Manifests, case_file, cases, kind, name},
    parts::parts,
    pod::container,
    process,
    scratch::Scratch,
};

fn rendered(case: &str) -> Manifests {
    BOTH[1].render(CHART, &[&case_file(case)], &[]).unwrap_or_else(|error| panic!("{case}: {error}"))
}

/// Runs one of the chart's judges; what it printed, when it is content.
fn judge(program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(parts().chart_tools.join(program));
    let output = command.args(arguments).output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "{program} {arguments:?}:\n{said}");
    said
}

#[test]
fn both_helms_find_nothing_and_render_the_same() {
    assert_eq!(cases(), ["embedded", "everything", "replicas", "tls"]);
    for case in cases() {
        let file = case_file(&case);
        let [one, other] = BOTH.map(|helm| {
            let version = helm.run(&["version", "--template", "{{.Version}}"]).unwrap();
            assert!(version.starts_with(&format!("v{}.", helm.major)), "{version}");
            helm.run(&["lint", "--strict", CHART, "-f", file.to_str().unwrap()])
                .unwrap_or_else(|error| panic!("{case}: {error}"));
            helm.render(CHART, &[&file], &[]).unwrap()
        });
        assert_eq!(one, other, "{case}");
    }
}

#[test]
fn every_resource_fits_its_schema() {
    let scratch = Scratch::new();
    let (mut files, mut foreign, mut expected) = (Vec::new(), Vec::new(), BTreeSet::new());
    for case in cases() {
        let manifests = rendered(&case);
        let (others, own): (Vec<Value>, Vec<Value>) = manifests
            .0
            .into_iter()
            .partition(|resource| ["HTTPRoute", "ServiceMonitor"].contains(&kind(resource)));
        let file = format!("{case}.yaml");
        expected.extend(own.iter().map(|own| (file.clone(), kind(own).to_lowercase(), name(own).to_owned())));
        // A list of JSON documents is YAML, too.
        let text: Vec<String> = own.iter().map(|resource| format!("---\n{resource}\n")).collect();
        files.push(scratch.write(&file, &text.concat()).to_str().unwrap().to_owned());
        foreign.extend(others);
    }
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    for version in ["1.27", "1.35", "1.37"] {
        let said = judge("kubernetes-validate", &[&["-k", version, "--strict"], files.as_slice()].concat());
        let passed: BTreeSet<_> = said.lines().filter_map(passed).collect();
        // A kind without a schema would only be warned about.
        assert_eq!(passed, expected, "{version}: {said}");
    }
    let mut command = process::command(&parts().node);
    command.arg(parts().chart_scripts.join("judge.mjs"));
    let judged: Value = serde_json::from_str(&process::run(command, &json!(foreign).to_string())).unwrap();
    assert_eq!(
        judged,
        json!([{ "kind": "HTTPRoute", "name": "harbour-crossfade" },
        { "kind": "ServiceMonitor", "name": "harbour-crossfade" }])
    );
}

/// `INFO PATH/FILE passed for resource KIND/NAME against …`
fn passed(line: &str) -> Option<(String, String, String)> {
    let (file, rest) = line.split_once(" passed for resource ")?;
    let (kind, name) = rest.split_once(' ')?.0.split_once('/')?;
    Some((file.rsplit('/').next()?.to_owned(), kind.to_owned(), name.to_owned()))
}

#[test]
fn the_linters_find_nothing() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    judge("hadolint", &[project.join("Dockerfile").to_str().unwrap()]);
    let rules = "{extends: default, rules: {document-start: disable, line-length: {max: 120}}}";
    let files = ["Chart.yaml", "values.yaml", "ci"].map(|file| format!("{CHART}/{file}"));
    judge("yamllint", &["--strict", "-d", rules, &files[0], &files[1], &files[2]]);
}

#[test]
fn the_build_context_holds_only_what_is_built() {
    let ignored = include_str!("../../.dockerignore");
    let lines = ignored.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    assert_eq!(lines.collect::<Vec<_>>(), ["*", "!Cargo.toml", "!Cargo.lock", "!src"]);
}

#[test]
fn the_chart_is_of_the_same_version_as_the_program() {
    let chart: Value =
        serde_saphyr::from_str(&fs::read_to_string(Path::new(CHART).join("Chart.yaml")).unwrap()).unwrap();
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
    let dockerfile = include_str!("../../Dockerfile");
    assert!(dockerfile.contains(concat!("ARG VERSION=", env!("CARGO_PKG_VERSION"), "\n")));
}

/// Cases whose configuration this Crossfade knows.
const CHECKED: [&str; 4] = ["embedded", "everything", "replicas", "tls"];

#[test]
fn the_rendered_configuration_is_the_given_one_and_passes_the_programs_own_check() {
    let (_, schema, _) = crossfade(&["schema"]);
    let validator = jsonschema::validator_for(&serde_json::from_str(&schema).unwrap()).unwrap();
    for case in CHECKED {
        let manifests = rendered(case);
        let config: Value = serde_saphyr::from_str(manifests.configuration()).unwrap();
        let problems: Vec<String> = validator.iter_errors(&config).map(|error| error.to_string()).collect();
        assert_eq!(problems, Vec::<String>::new(), "{case}");

        let values: Value = serde_saphyr::from_str(&fs::read_to_string(case_file(case)).unwrap()).unwrap();
        let mut expected = values["config"].clone();
        let mut default = |pointer: [&str; 2], value: Value| {
            let section = &mut expected[pointer[0]];
            if section[pointer[1]].is_null() {
                section[pointer[1]] = value;
            }
        };
        default(["public", "listen"], json!("0.0.0.0:8080"));
        default(["admin", "listen"], json!("0.0.0.0:9090"));
        if case == "replicas" {
            expected["store"]["redis"]["replicas"] = json!(3);
        } else {
            default(["store", "embedded"], json!({ "path": "/var/lib/crossfade/crossfade.redb" }));
        }
        assert_eq!(config, expected, "{case}");

        // As it is mounted: beside its secrets, and a certificate where extraVolumeMounts put it.
        let folder = Scratch::new();
        let text = manifests.configuration().replace("/etc/crossfade-extra", folder.path().to_str().unwrap());
        let file = folder.write("config.yaml", &text);
        folder.write("ca.pem", include_str!("../fixtures/tls/ca.pem"));
        fs::create_dir(folder.path().join("tls")).unwrap();
        folder.write("tls/tls.crt", include_str!("../fixtures/tls/localhost.pem"));
        folder.write("tls/tls.key", include_str!("../fixtures/tls/localhost.key"));
        fs::create_dir(folder.path().join("secrets")).unwrap();
        let canary = "only-for-tests-and-long-enough-for-a-key-";
        let mut variables = Vec::new();
        for given in values["secrets"].as_array().unwrap() {
            match (given["file"].as_str(), given["env"].as_str()) {
                (Some(file), None) => {
                    folder.write(&format!("secrets/{file}"), &format!("{canary}{file}"));
                }
                (None, Some(variable)) => variables.push((variable, canary)),
                _ => panic!("{given}"),
            }
        }
        if case == "everything" {
            variables.push(("SUBJECT_KEY", canary));
        }
        let (code, out, err) = crossfade_with(&["check", "--config", file.to_str().unwrap()], &variables);
        assert_eq!(code, Some(0), "{case}: {err}");
        assert!(!out.contains(canary), "{case}");
    }
}

#[test]
fn a_pod_is_as_restricted_as_the_standard_asks() {
    for case in cases() {
        let manifests = rendered(&case);
        let (pod, container) = (manifests.pod(), container(&manifests));
        assert_eq!(
            pod["securityContext"],
            json!({ "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
                "fsGroupChangePolicy": "OnRootMismatch", "seccompProfile": { "type": "RuntimeDefault" } }),
            "{case}"
        );
        assert_eq!(
            container["securityContext"],
            json!({ "allowPrivilegeEscalation": false, "privileged": false, "readOnlyRootFilesystem": true,
                "runAsNonRoot": true, "capabilities": { "drop": ["ALL"] } }),
            "{case}"
        );
        assert_eq!(pod["automountServiceAccountToken"], false, "{case}");
        for forbidden in ["hostNetwork", "hostPID", "hostIPC", "initContainers", "shareProcessNamespace"] {
            assert!(pod[forbidden].is_null(), "{case}: {forbidden}");
        }
        assert!(container["ports"].as_array().unwrap().iter().all(|port| port["hostPort"].is_null()));
        for volume in pod["volumes"].as_array().unwrap() {
            assert!(volume["hostPath"].is_null(), "{case}: {volume}");
        }
        let account = manifests.0.iter().find(|resource| kind(resource) == "ServiceAccount");
        assert_eq!(account.is_none(), case == "replicas");
        assert!(account.is_none_or(|account| account["automountServiceAccountToken"] == false));
        for place in ["requests", "limits"] {
            assert!(container["resources"][place]["memory"].is_string(), "{case}: {place}");
        }
    }
}

#[test]
fn secrets_are_only_referred_to() {
    for case in cases() {
        let manifests = rendered(&case);
        assert!(manifests.names().iter().all(|(kind, _)| *kind != "Secret"), "{case}");
        for variable in container(&manifests)["env"].as_array().unwrap() {
            let name = variable["name"].as_str().unwrap();
            let plain = name.starts_with("CROSSFADE_");
            assert_eq!(variable["value"].is_string(), plain, "{case}: {variable}");
            assert_eq!(
                variable["valueFrom"]["secretKeyRef"]["name"].is_string(),
                !plain,
                "{case}: {variable}"
            );
        }
    }
    let manifests = rendered("everything");
    let sources = &manifests.pod()["volumes"][0]["projected"]["sources"];
    let files: Vec<(&str, &str)> = sources.as_array().unwrap()[1..]
        .iter()
        .map(|source| {
            (
                source["secret"]["name"].as_str().unwrap(),
                source["secret"]["items"][0]["path"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        files,
        [
            ("scalekit", "secrets/scalekit-client-secret"),
            ("crossfade", "secrets/rollout-salt"),
            ("crossfade", "secrets/session-key"),
            ("crossfade", "secrets/session-key-old")
        ]
    );
    let manifests = rendered("tls");
    let sources = manifests.pod()["volumes"][0]["projected"]["sources"].as_array().unwrap();
    let tls = &sources.last().unwrap()["secret"];
    assert_eq!(
        *tls,
        json!({ "name": "app-tls", "items": [{ "key": "tls.crt", "path": "tls/tls.crt" },
        { "key": "tls.key", "path": "tls/tls.key" }] })
    );
    assert_eq!(manifests.get("Service", "r-crossfade")["spec"]["ports"][0]["appProtocol"], "https");
}

#[test]
fn probes_ask_the_admin_listener_and_a_stop_gets_the_time_it_takes() {
    for (case, public, admin, grace) in
        [("embedded", 8080, 9090, 55), ("everything", 8081, 9191, 300), ("replicas", 8080, 9090, 55)]
    {
        let manifests = rendered(case);
        let container = container(&manifests);
        assert_eq!(
            container["ports"],
            json!([{ "name": "public", "containerPort": public, "protocol": "TCP" },
                { "name": "admin", "containerPort": admin, "protocol": "TCP" }])
        );
        for (probe, path) in
            [("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")]
        {
            // A pod that waits for Redis, or reads a large file, is unready and never begun anew.
            assert_eq!(container[probe]["httpGet"], json!({ "path": path, "port": "admin" }), "{case}");
        }
        assert!(container["lifecycle"].is_null());
        assert_eq!(manifests.pod()["terminationGracePeriodSeconds"], grace, "{case}");
    }
    // 1500 ms and 2 m, then 15 s and 5 s.
    let reckoned = ["--set", "terminationGracePeriodSeconds=0"];
    let manifests = BOTH[0].render(CHART, &[&case_file("everything")], &reckoned).unwrap();
    assert_eq!(manifests.pod()["terminationGracePeriodSeconds"], 142);
    assert_eq!(container(&manifests)["startupProbe"]["failureThreshold"], 151, "of 2 s each");
}

#[test]
fn the_embedded_store_gets_one_pod_with_a_volume() {
    let manifests = rendered("embedded");
    let set = manifests.get("StatefulSet", "r-crossfade");
    assert_eq!(set["spec"]["replicas"], 1);
    assert!(manifests.find("Service", set["spec"]["serviceName"].as_str().unwrap()).is_some());
    let claim = &set["spec"]["volumeClaimTemplates"][0];
    assert_eq!(
        claim["spec"],
        json!({ "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } })
    );
    let mounts = &container(&manifests)["volumeMounts"];
    assert_eq!(mounts[1], json!({ "name": claim["metadata"]["name"], "mountPath": "/var/lib/crossfade" }));
    assert!(manifests.find("PodDisruptionBudget", "r-crossfade").is_none());

    let manifests = rendered("tls");
    assert!(manifests.workload()["spec"]["volumeClaimTemplates"].is_null());
    assert_eq!(
        manifests.pod()["volumes"][1],
        json!({ "name": "state", "persistentVolumeClaim": { "claimName": "ledger" } })
    );

    let manifests = rendered("replicas");
    let deployment = manifests.get("Deployment", "r-crossfade");
    assert_eq!(deployment["spec"]["replicas"], 3);
    assert_eq!(
        deployment["spec"]["strategy"]["rollingUpdate"],
        json!({ "maxSurge": 1, "maxUnavailable": 0 })
    );
    let mounts: Vec<&str> = container(&manifests)["volumeMounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|mount| mount["name"].as_str().unwrap())
        .collect();
    assert_eq!(mounts, ["config", "authorities"], "no volume for a store");
    assert_eq!(manifests.get("PodDisruptionBudget", "r-crossfade")["spec"]["maxUnavailable"], "34%");
    assert_eq!(manifests.pod()["topologySpreadConstraints"][0]["topologyKey"], "kubernetes.io/hostname");
}

#[test]
fn replicas_are_told_how_many_they_are_unless_somebody_says_otherwise() {
    for (options, expected) in [
        ("replicaCount=5", json!(5)),
        ("replicaCount=5,config.store.redis.replicas=4", json!(4)),
        ("replicaCount=0", Value::Null),
    ] {
        for helm in BOTH {
            let manifests = helm.render(CHART, &[&case_file("replicas")], &["--set", options]).unwrap();
            let config: Value = serde_saphyr::from_str(manifests.configuration()).unwrap();
            assert_eq!(config["store"]["redis"]["replicas"], expected, "{options}");
        }
    }
    // A Cluster, and a single Redis, are handed on as they are.
    for (shape, at) in
        [("cluster.urls={rediss://a.example.com}", "cluster"), ("url=rediss://a.example.com", "url")]
    {
        let options = format!("config.store.redis.sentinel=null,config.store.redis.{shape}");
        let manifests = BOTH[0].render(CHART, &[&case_file("replicas")], &["--set", &options]).unwrap();
        let config: Value = serde_saphyr::from_str(manifests.configuration()).unwrap();
        let redis = &config["store"]["redis"];
        assert!(redis["sentinel"].is_null() && !redis[at].is_null(), "{redis}");
        assert_eq!(manifests.workload()["kind"], "Deployment");
    }
}

/// What Helm prints at the end. It does that with a cluster only: here the notes are made a part of a resource.
fn notes(helm: Helm, case: &str, options: &str) -> String {
    let folder = Scratch::new();
    let mut copy = Command::new("cp");
    copy.args(["-r", CHART]).arg(folder.path());
    process::run(copy, "");
    let templates = folder.path().join("crossfade/templates");
    let text = fs::read_to_string(templates.join("NOTES.txt")).unwrap();
    fs::write(templates.join("_notes.tpl"), format!("{{{{- define \"notes\" -}}}}\n{text}{{{{- end -}}}}"))
        .unwrap();
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: the-notes}\n\
               data:\n  notes: |-\n    {{- include \"notes\" . | nindent 4 }}\n";
    fs::write(templates.join("the-notes.yaml"), map).unwrap();
    let chart = folder.path().join("crossfade");
    let manifests = helm.render(chart.to_str().unwrap(), &[&case_file(case)], &["--set", options]).unwrap();
    manifests.get("ConfigMap", "the-notes")["data"]["notes"].as_str().unwrap().to_owned()
}

#[test]
fn the_notes_say_how_the_dial_is_turned_here() {
    let by_helm = "--reuse-values --set config.rollout.migrate=5%";
    for (case, options, expected) in [
        ("embedded", "tls.secretName=", by_helm),
        ("replicas", "tls.secretName=", "--token-file /etc/crossfade/secrets/operator-token"),
        ("replicas", "config.rollout.source=file", by_helm),
        ("replicas", "config.rollout.source=flagd", "by its feature flags at flagd"),
    ] {
        for helm in BOTH {
            let notes = notes(helm, case, options);
            assert!(notes.contains(expected), "{case} {options}:\n{notes}");
            assert_eq!(notes.matches("\n\n3. Turn the dial").count(), 1, "{notes}");
        }
    }
}

#[test]
fn nothing_but_the_admin_service_leads_to_the_admin_listener() {
    for case in cases() {
        let manifests = rendered(&case);
        for service in manifests.0.iter().filter(|resource| kind(resource) == "Service") {
            let admin = name(service).ends_with("-admin");
            let ports = service["spec"]["ports"].as_array().unwrap();
            assert!(ports.iter().all(|port| (port["targetPort"] == "admin") == admin), "{case}: {service}");
            assert!(!admin || service["spec"]["type"] == "ClusterIP", "{case}: {service}");
        }
    }
    let manifests = rendered("everything");
    let ingress = manifests.get("Ingress", "harbour-crossfade");
    let rules = ingress["spec"]["rules"].as_array().unwrap();
    let hosts: Vec<&str> = rules.iter().map(|rule| rule["host"].as_str().unwrap()).collect();
    assert_eq!(hosts, ["app.example.com", "www.example.com"]);
    let public = json!({ "name": "harbour-crossfade", "port": { "name": "public" } });
    assert!(rules.iter().all(|rule| rule["http"]["paths"][0]["backend"]["service"] == public));
    let route = manifests.get("HTTPRoute", "harbour-crossfade");
    assert_eq!(
        route["spec"]["rules"][0]["backendRefs"],
        json!([{ "name": "harbour-crossfade", "port": 8443 }])
    );

    let policy = rendered("embedded");
    let policy = policy.get("NetworkPolicy", "r-crossfade");
    assert_eq!(policy["spec"]["policyTypes"], json!(["Ingress"]));
    assert_eq!(policy["spec"]["ingress"], json!([{ "ports": [{ "port": "public", "protocol": "TCP" }] }]));
    let policy = &manifests.get("NetworkPolicy", "harbour-crossfade")["spec"];
    let from = |space: &str| json!([{ "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": space } } }]);
    assert_eq!(
        (&policy["ingress"][0]["from"], &policy["ingress"][1]["from"]),
        (&from("gateways"), &from("monitoring"))
    );
    assert_eq!(policy["ingress"][1]["ports"], json!([{ "port": "admin", "protocol": "TCP" }]));
    assert_eq!(policy["egress"].as_array().unwrap().len(), 2);
}

/// Whether all labels of a selector are among these.
fn selects(selector: &Value, labels: &Value) -> bool {
    let selector = selector.as_object().expect("a selector");
    !selector.is_empty() && selector.iter().all(|(name, value)| labels[name] == *value)
}

#[test]
fn selectors_meet_their_pods_and_never_change() {
    for case in cases() {
        let manifests = rendered(&case);
        let workload = &manifests.workload()["spec"];
        let pods = &workload["template"]["metadata"]["labels"];
        assert!(selects(&workload["selector"]["matchLabels"], pods), "{case}");
        for resource in &manifests.0 {
            let spec = &resource["spec"];
            match kind(resource) {
                "Service" => assert!(selects(&spec["selector"], pods), "{case}"),
                "NetworkPolicy" => assert!(selects(&spec["podSelector"]["matchLabels"], pods), "{case}"),
                "PodDisruptionBudget" => assert!(selects(&spec["selector"]["matchLabels"], pods), "{case}"),
                "ServiceMonitor" => {
                    let admin = manifests.get("Service", "harbour-crossfade-admin");
                    let public = manifests.get("Service", "harbour-crossfade");
                    let wanted = &spec["selector"]["matchLabels"];
                    assert!(selects(wanted, &admin["metadata"]["labels"]));
                    assert!(!selects(wanted, &public["metadata"]["labels"]));
                }
                _ => {}
            }
        }
    }
    // What Kubernetes never lets a release change stays the same over versions, labels and a turned dial.
    let folder = Scratch::new();
    let mut copy = Command::new("cp");
    copy.args(["-r", CHART]).arg(folder.path());
    process::run(copy, "");
    let chart = folder.path().join("crossfade");
    let next =
        fs::read_to_string(chart.join("Chart.yaml")).unwrap().replace("ersion: 0.1.0", "ersion: 7.8.9");
    fs::write(chart.join("Chart.yaml"), next).unwrap();
    let changed = ["--set", "commonLabels.new=yes-please,podLabels.newer=too,config.rollout.migrate=50%"];
    let render = |helm: Helm, chart: &str, options: &[&str]| {
        helm.render(chart, &[&case_file("embedded")], options).unwrap()
    };
    for helm in BOTH {
        let (before, after) = (render(helm, CHART, &[]), render(helm, chart.to_str().unwrap(), &changed));
        assert_eq!(after.workload()["metadata"]["labels"]["app.kubernetes.io/version"], "7.8.9");
        assert_eq!(after.workload()["spec"]["template"]["metadata"]["labels"]["newer"], "too");
        for fixed in ["selector", "serviceName", "volumeClaimTemplates"] {
            assert_eq!(before.workload()["spec"][fixed], after.workload()["spec"][fixed], "{fixed}");
        }
        // A new chart of the same program, or a turned dial, replaces no pod.
        let dial = render(helm, CHART, &["--set", "config.rollout.migrate=50%"]);
        assert_ne!(dial.configuration(), before.configuration());
        assert_eq!(dial.workload(), before.workload());
        let asked = |percent: &str| {
            let options = format!("rolloutOnConfigChange=true,config.rollout.migrate={percent}");
            render(helm, CHART, &["--set", &options]).workload()["spec"]["template"].clone()
        };
        assert_ne!(asked("1%"), asked("2%"));
        assert_eq!(asked("1%"), asked("1%"));
    }
}

#[test]
fn the_notes_name_the_next_commands() {
    // Helm 3 asks a cluster first.
    let [_, helm] = BOTH;
    let notes = |case: &str, options: &[&str]| {
        let file = case_file(case);
        let arguments =
            ["install", "r", CHART, "--dry-run=client", "-n", "harbour", "-f", file.to_str().unwrap()];
        let said = helm.run(&[&arguments, options].concat()).unwrap();
        said.split("NOTES:").nth(1).expect("notes").to_owned()
    };
    let plain = notes("embedded", &[]);
    for line in [
        "kubectl -n harbour rollout status statefulset/r-crossfade",
        "kubectl -n harbour port-forward service/r-crossfade-admin 9090:9090 &",
        "curl http://127.0.0.1:9090/readyz",
        "helm upgrade r CHART -n harbour --reuse-values --set config.rollout.migrate=5%",
    ] {
        assert!(plain.contains(line), "{line} is not in {plain}");
    }
    assert!(!plain.contains("is empty"), "{plain}");
    let exposed =
        notes("embedded", &["--set", "service.type=LoadBalancer,config.public.trusted_proxies=null"]);
    assert!(exposed.contains("config.public.trusted_proxies is empty"), "{exposed}");
    let watched = notes("embedded", &["--set", "serviceMonitor.enabled=true"]);
    assert!(watched.contains("networkPolicy.adminFrom is empty"), "{watched}");
    assert!(notes("replicas", &[]).contains("rollout status deployment/r-crossfade"));
}
