//! The sidecar: one container in four places, and when the policy that injects it is there.

use serde_json::{Value as Json, json};

use crate::helm::{FULL, HELMS, documents, of_kind, only, read, render, root, run, tool, try_render, yaml};
use crate::objects;

const V1: &str = "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy";
const BETA: &str = "admissionregistration.k8s.io/v1beta1/MutatingAdmissionPolicy";

/// The notes that Helm would print.
fn notes(helm: &str, values: &Json, options: &[&str]) -> String {
    let print = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: notes}\ndata: {notes: {{ include (print $.Template.BasePath \"/NOTES.txt\") . | toJson }} }";
    let objects = try_render(helm, &[values, &json!({"extraObjects": [print]})], options).expect("renders");
    let map = objects.iter().find(|object| object["metadata"]["name"] == "notes").expect("notes");
    map["data"]["notes"].as_str().expect("text").to_owned()
}

#[test]
fn the_policy_is_rendered_in_the_version_that_the_cluster_has() {
    let api = |name: &str| format!("--api-versions={name}");
    for helm in HELMS {
        for (options, version) in [
            (vec!["--kube-version=1.36.0".to_owned()], Some("admissionregistration.k8s.io/v1")),
            (
                vec!["--kube-version=1.35.0".to_owned(), api(BETA)],
                Some("admissionregistration.k8s.io/v1beta1"),
            ),
            (
                vec!["--kube-version=1.36.0".to_owned(), api(BETA), api(V1)],
                Some("admissionregistration.k8s.io/v1"),
            ),
            (vec!["--kube-version=1.35.0".to_owned()], None),
        ] {
            let options: Vec<&str> = options.iter().map(String::as_str).collect();
            let objects = render(helm, &json!({}), &options);
            let found = of_kind(&objects, "MutatingAdmissionPolicy");
            assert_eq!(
                found.first().and_then(|policy| policy["apiVersion"].as_str()),
                version,
                "{options:?}"
            );
            let bindings = of_kind(&objects, "ValidatingAdmissionPolicyBinding");
            assert_eq!(bindings.is_empty(), version.is_none(), "what cannot be injected is not demanded");
            let notes = notes(helm, &json!({}), &options);
            assert_eq!(notes.contains("! No sidecars are injected"), version.is_none(), "{notes}");
        }
    }
}

#[test]
fn a_cluster_without_the_policy_api_is_refused_when_asked_for() {
    for helm in HELMS {
        let values = json!({"injection": {"renderMode": "failIfMissing"}});
        let why = try_render(helm, &[&values], &["--kube-version=1.35.0"]).expect_err("missing");
        assert!(why.contains("set injection.enabled=false and use config/kustomize/component"), "{why}");
    }
}

#[test]
fn sidecars_are_injected_only_where_the_release_serves() {
    let selector = |values: Json| {
        let objects = render("helm4", &values, FULL);
        let bindings: Vec<&Json> = objects
            .iter()
            .filter(|object| object["kind"].as_str().is_some_and(|kind| kind.ends_with("PolicyBinding")))
            .collect();
        assert_eq!(bindings.len(), 3);
        let selectors: Vec<&Json> =
            bindings.iter().map(|binding| &binding["spec"]["matchResources"]["namespaceSelector"]).collect();
        assert!(selectors.iter().all(|selector| *selector == selectors[0]));
        selectors[0].clone()
    };
    let names = |names: Json| json!({"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "In", "values": names}]});
    assert_eq!(selector(json!({})), names(json!(["oxide"])));
    assert_eq!(selector(json!({"rbac": {"namespaces": ["a", "b"]}})), names(json!(["a", "b"])));
    let own = json!({"matchLabels": {"oxide": "yes"}});
    assert_eq!(selector(json!({"injection": {"namespaceSelector": own}})), own);
}

/// The sidecar that the chart writes where nothing injects it.
fn written() -> Json {
    let objects = render("helm4", &json!({"injection": {"enabled": false}}), FULL);
    let pods = of_kind(&objects, "Pod");
    let pod = pods.iter().find(|pod| pod["spec"]["initContainers"].is_array()).expect("the test's pod");
    pod["spec"]["initContainers"][0].clone()
}

#[test]
fn the_sidecar_is_native_and_lets_the_orchestrator_wait() {
    let sidecar = written();
    assert_eq!((&sidecar["name"], &sidecar["restartPolicy"]), (&json!("oxide-operator"), &json!("Always")));
    assert_eq!(sidecar["startupProbe"]["httpGet"], json!({"path": "/startedz", "port": "oxide-health"}));
    assert_eq!(sidecar["livenessProbe"]["httpGet"], json!({"path": "/livez", "port": "oxide-health"}));
    assert_eq!(sidecar["ports"], json!([{"name": "oxide-health", "containerPort": 8461, "protocol": "TCP"}]));
    assert_eq!(sidecar["securityContext"]["readOnlyRootFilesystem"], true);
}

/// The policy's expression holds each value of the container that it is made from.
#[test]
fn the_policy_writes_the_same_sidecar() {
    let objects = render("helm4", &json!({}), FULL);
    let policy = only(&objects, "MutatingAdmissionPolicy");
    let expression = policy["spec"]["mutations"][0]["jsonPatch"]["expression"].as_str().expect("text");
    let sidecar = written();
    for name in sidecar["env"].as_array().expect("env").iter().map(|variable| &variable["name"]) {
        assert!(expression.contains(&format!("env{{name: {name}")), "{name}\n{expression}");
    }
    for part in ["image", "imagePullPolicy", "restartPolicy", "name"] {
        assert!(expression.contains(&format!("{part}: {}", sidecar[part])), "{part}");
    }
    for note in ["on-drift", "on-conflict", "prune", "grace", "reload-url"] {
        let variable = format!("OXIDE_OPERATOR_{}", note.to_uppercase().replace('-', "_"));
        assert!(expression.contains(&format!("?variables.notes[?\"oxide.dev/{note}\"].optMap")), "{note}");
        assert!(expression.contains(&variable), "{variable}");
    }
}

/// Every variable that a manifest sets is one that the program reads.
#[test]
fn the_program_knows_every_variable_that_it_is_given() {
    let mut sources = String::new();
    for file in [
        "src/cli/args/common.rs",
        "src/cli/args/mod.rs",
        "src/cli/args/policy.rs",
        "src/cli/args/run.rs",
        "src/cli/context.rs",
        "src/model/secret.rs",
    ] {
        sources.push_str(&read(file));
    }
    let texts = [
        read("config/kustomize/component/sidecar.yaml"),
        render("helm4", &json!({}), FULL).iter().map(ToString::to_string).collect(),
    ];
    for text in texts {
        let words = text.split(|c: char| !c.is_ascii_uppercase() && c != '_');
        for variable in
            words.filter(|word| word.starts_with("OXIDE_") && !word.ends_with('_') && *word != "OXIDE_CONFIG")
        {
            assert!(sources.contains(&format!("\"{variable}\"")), "{variable}");
        }
    }
}

#[test]
fn the_component_adds_the_sidecar_of_the_chart() {
    let example = root().join("config/kustomize/example");
    let objects = documents(&run(tool("kubectl").arg("kustomize").arg(example)));
    let deployment = only(&objects, "Deployment");
    let pod = objects::pod_spec(deployment).expect("a pod");
    let (mut added, mut written) = (pod["initContainers"][0].clone(), written());
    // Which source, and which volume and key, each says its own way.
    let take_variables = |container: &mut Json| {
        let variables = container["env"].take();
        let names =
            variables.as_array().into_iter().flatten().filter_map(|variable| variable["name"].as_str());
        let mut names: Vec<String> =
            names.filter(|name| *name != "OXIDE_CONFIG").map(str::to_owned).collect();
        names.sort();
        names
    };
    assert_eq!(take_variables(&mut added), take_variables(&mut written));
    assert_eq!(added["volumeMounts"][1], written["volumeMounts"][1]);
    (added["volumeMounts"], written["volumeMounts"]) = (Json::Null, Json::Null);
    assert_eq!(added, written);
    assert_eq!(deployment["spec"]["template"]["metadata"]["labels"]["oxide.dev/sidecar"], "true");
}

#[test]
fn the_component_gives_the_rights_of_the_chart() {
    let objects = documents(&read("config/kustomize/rbac/role.yaml"));
    let rendered = render(
        "helm4",
        &json!({"rbac": {"secretNames": ["oxide-api-keys"], "configMapNames": ["oxide-config"]}}),
        FULL,
    );
    let roles = of_kind(&rendered, "Role");
    let role =
        roles.iter().find(|role| role["metadata"]["name"] == "oxide-operator-agent").expect("the agents'");
    assert_eq!(only(&objects, "Role")["rules"], role["rules"]);
    let account = &only(&objects, "RoleBinding")["subjects"][0]["name"];
    let sample = documents(&read("config/samples/orchestrator.yaml"));
    let pod = objects::pod_spec(only(&sample, "Deployment")).expect("a pod");
    assert_eq!(
        (account, &only(&sample, "ServiceAccount")["metadata"]["name"]),
        (&pod["serviceAccountName"], account)
    );
}

/// Every pod that names no account has `default`: rights of that are rights of everybody.
#[test]
fn nobody_gets_rights_who_was_not_named_and_no_lease_but_that_of_a_named_configuration() {
    let agents = |values: Json| {
        let rendered = render("helm4", &values, FULL);
        let of_agents = |kind: &str| {
            let all = of_kind(&rendered, kind);
            all.into_iter().find(|object| object["metadata"]["name"] == "oxide-operator-agent").cloned()
        };
        (of_agents("Role").expect("a role"), of_agents("RoleBinding"))
    };
    let (role, binding) = agents(json!({"rbac": {"secretNames": ["api-keys"]}}));
    assert_eq!(binding, None);
    for rule in role["rules"].as_array().expect("rules") {
        let names =
            |resource: &str| rule["resources"].as_array().is_some_and(|all| all.contains(&json!(resource)));
        if names("leases") && rule["verbs"] != json!(["create"]) {
            assert_eq!(rule["resourceNames"], json!(["oxide-operator-default"]), "{rule}");
        }
        assert!(!names("secrets") || rule["resourceNames"] == json!(["api-keys"]), "{rule}");
    }
    let (_, binding) = agents(json!({"rbac": {"serviceAccounts": ["mine"]}}));
    let subjects = binding.expect("a binding")["subjects"].clone();
    assert_eq!(subjects, json!([{"kind": "ServiceAccount", "name": "mine", "namespace": "oxide"}]));
    let (role, _) = agents(json!({"rbac": {"oxideConfigNames": ["one", "two"]}}));
    assert!(role["rules"].to_string().contains(r#"["oxide-operator-one","oxide-operator-two"]"#), "{role}");
}

#[test]
fn a_reload_url_that_no_agent_takes_is_no_value() {
    for url in ["https://x", "http://", "http:// x", "http://u:p@h"] {
        let why = try_render("helm4", &[&json!({"orchestrator": {"reloadUrl": url}})], FULL).expect_err(url);
        assert!(why.contains("reloadUrl"), "{why}");
    }
}

#[test]
fn the_samples_are_restricted_and_hold_no_secret() {
    for folder in ["config/samples", "config/kustomize/example"] {
        let objects = documents(&run(tool("kubectl").arg("kustomize").arg(root().join(folder))));
        let faults: Vec<String> = objects::faults(&objects)
            .into_iter()
            .filter(|fault| fault.contains("container") || fault.contains("restricted"))
            .collect();
        assert!(faults.is_empty(), "{folder}: {faults:?}");
        assert_eq!(only(&objects, "Deployment")["spec"]["strategy"]["type"], "Recreate");
    }
    let secrets = documents(&read("config/samples/secret.yaml"));
    let values =
        secrets.iter().filter_map(|secret| secret["stringData"].as_object()).flat_map(|data| data.values());
    for value in values.filter_map(Json::as_str) {
        assert!(value.contains("not-a-real-key") || value.chars().all(|c| c == 'A' || c == '='), "{value}");
    }
    assert_eq!(yaml("config/samples/oxideconfig.yaml")["kind"], "OxideConfig");
}

#[test]
fn the_example_orchestrator_runs_one_pod_with_the_written_sidecar() {
    let values = json!({"orchestrator": {"enabled": true, "image": {"repository": "mine"}}});
    let objects = render("helm4", &values, FULL);
    let deployment = only(&objects, "Deployment");
    assert_eq!(
        (&deployment["spec"]["replicas"], &deployment["spec"]["strategy"]["type"]),
        (&json!(1), &json!("Recreate"))
    );
    let pod = objects::pod_spec(deployment).expect("a pod");
    assert_eq!(pod["automountServiceAccountToken"], false);
    let variable = |container: &Json, name: &str| {
        container["env"].as_array().into_iter().flatten().find(|variable| variable["name"] == name).cloned()
    };
    let sidecar = &pod["initContainers"][0];
    assert_eq!(
        variable(sidecar, "OXIDE_OPERATOR_SOURCE").expect("set")["value"],
        "configmap:oxide/oxide-operator-orchestrator"
    );
    let key = variable(sidecar, "OXIDE_ENCRYPTION_KEY");
    assert_eq!(key, variable(&pod["containers"][0], "OXIDE_ENCRYPTION_KEY"), "both use one key");
    let bindings = of_kind(&objects, "RoleBinding");
    assert!(
        bindings
            .iter()
            .any(|binding| binding["subjects"].to_string().contains("oxide-operator-orchestrator"))
    );
    for kind in ["Secret", "PersistentVolumeClaim"] {
        let kept = of_kind(&objects, kind);
        let kept = kept.iter().find(|object| object["metadata"]["annotations"]["helm.sh/hook"].is_null());
        assert_eq!(
            kept.expect("made")["metadata"]["annotations"]["helm.sh/resource-policy"],
            "keep",
            "{kind}"
        );
    }
}
