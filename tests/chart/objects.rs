//! What must hold for every object that is rendered, whatever the values.

use std::collections::BTreeSet;

use serde_json::Value as Json;

const OF_THE_CLUSTER: &[&str] = &[
    "ClusterRole",
    "CustomResourceDefinition",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionPolicyBinding",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
];

/// Returns everything that is wrong.
pub(crate) fn faults(objects: &[Json]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut seen = BTreeSet::new();
    for object in objects {
        let kind = object["kind"].as_str().unwrap_or("?");
        let name = object["metadata"]["name"].as_str().unwrap_or("?");
        let mut fault = |what: String| faults.push(format!("{kind} {name}: {what}"));
        if !seen.insert((kind, name, object["metadata"]["namespace"].to_string())) {
            fault("is there twice".to_owned());
        }
        if object["apiVersion"].as_str().is_none() || !is_name(name) {
            fault("has no apiVersion, or a bad name".to_owned());
        }
        check_metadata(object, kind, name, &mut fault);
        check_texts(object, kind, &mut fault);
        check_references(object, kind, objects, &mut fault);
        for rule in object["rules"].as_array().into_iter().flatten() {
            if rule.to_string().contains('*') {
                fault(format!("gives rights over everything: {rule}"));
            }
        }
        if let Some(spec) = pod_spec(object) {
            check_pod(spec, &mut fault);
        }
    }
    faults
}

/// The pod in a Pod or a workload.
pub(crate) fn pod_spec(object: &Json) -> Option<&Json> {
    match object["kind"].as_str()? {
        "Pod" => Some(&object["spec"]),
        "Deployment" | "StatefulSet" => Some(&object["spec"]["template"]["spec"]),
        _ => None,
    }
}

fn check_metadata(object: &Json, kind: &str, name: &str, fault: &mut impl FnMut(String)) {
    let metadata = &object["metadata"];
    let extra = name.contains("-extra-");
    if metadata["namespace"].is_string() == OF_THE_CLUSTER.contains(&kind) && !extra {
        fault("lacks a namespace, or has one that it cannot have".to_owned());
    }
    let required = ["helm.sh/chart", "app.kubernetes.io/name", "app.kubernetes.io/instance"];
    for label in required.iter().chain(&["app.kubernetes.io/version", "app.kubernetes.io/managed-by"]) {
        if metadata["labels"][label].is_null() && !extra {
            fault(format!("lacks the label {label}"));
        }
    }
    for (label, value) in metadata["labels"].as_object().into_iter().flatten() {
        let good = value.as_str().is_some_and(|value| value.len() <= 63 && !value.contains(['/', ' ', '+']));
        if !good {
            fault(format!("has the label {label}: {value}"));
        }
    }
    for (annotation, value) in metadata["annotations"].as_object().into_iter().flatten() {
        if !value.is_string() {
            fault(format!("has an annotation that is no text, {annotation}: {value}"));
        }
    }
    let hook = &metadata["annotations"]["helm.sh/hook"];
    let policy = metadata["annotations"]["helm.sh/hook-delete-policy"].as_str().unwrap_or_default();
    if hook == "test" && policy != "before-hook-creation,hook-succeeded" {
        fault("would be left behind by the test".to_owned());
    }
}

/// Nothing may be left of the templates: a missing value, a Go map, an unfilled placeholder.
fn check_texts(object: &Json, kind: &str, fault: &mut impl FnMut(String)) {
    let text = object.to_string();
    // Prometheus and Grafana have braces of their own.
    let braces = kind == "PrometheusRule" || object["data"]["oxide-operator.json"].is_string();
    for leftover in ["<no value>", "<nil>", "%!", "map[", "{{"] {
        if text.contains(leftover) && !(braces && leftover == "{{") {
            fault(format!("contains {leftover}"));
        }
    }
}

fn check_references(object: &Json, kind: &str, objects: &[Json], fault: &mut impl FnMut(String)) {
    let is_there = |kind: &str, name: &Json, namespace: &Json| {
        objects.iter().any(|other| {
            other["kind"] == kind
                && other["metadata"]["name"] == *name
                && other["metadata"]["namespace"] == *namespace
        })
    };
    let namespace = &object["metadata"]["namespace"];
    if kind == "RoleBinding" && !is_there("Role", &object["roleRef"]["name"], namespace) {
        fault("binds a role that is not there".to_owned());
    }
    if let Some(policy) = kind.strip_suffix("Binding").filter(|policy| policy.ends_with("Policy"))
        && !is_there(policy, &object["spec"]["policyName"], &Json::Null)
    {
        fault("binds a policy that is not there".to_owned());
    }
}

/// Restricted Pod Security, and mounts that exist.
fn check_pod(spec: &Json, fault: &mut impl FnMut(String)) {
    let security = &spec["securityContext"];
    if security["runAsNonRoot"] != true || security["seccompProfile"]["type"] != "RuntimeDefault" {
        fault("is not restricted as a pod".to_owned());
    }
    for forbidden in ["hostNetwork", "hostPID", "hostIPC"] {
        if !spec[forbidden].is_null() {
            fault(format!("sets {forbidden}"));
        }
    }
    let volumes: Vec<&Json> = spec["volumes"].as_array().into_iter().flatten().collect();
    for volume in &volumes {
        let kinds = ["configMap", "emptyDir", "projected", "persistentVolumeClaim", "secret", "downwardAPI"];
        if !kinds.iter().any(|kind| !volume[kind].is_null()) {
            fault(format!("has a volume that restricted pods may not have: {volume}"));
        }
    }
    let lists = [&spec["initContainers"], &spec["containers"]];
    for container in lists.into_iter().filter_map(Json::as_array).flatten() {
        let name = &container["name"];
        let security = &container["securityContext"];
        let restricted = security["allowPrivilegeEscalation"] == false
            && security["capabilities"]["drop"][0] == "ALL"
            && security["privileged"].is_null();
        if !restricted {
            fault(format!("container {name} is not restricted"));
        }
        if container["image"].as_str().is_none_or(|image| image.ends_with(':') || image.starts_with('/')) {
            fault(format!("container {name} has the image {}", container["image"]));
        }
        for mount in container["volumeMounts"].as_array().into_iter().flatten() {
            if !volumes.iter().any(|volume| volume["name"] == mount["name"]) {
                fault(format!("container {name} mounts {}, which is not there", mount["name"]));
            }
        }
        let variables: Vec<&Json> = container["env"].as_array().into_iter().flatten().collect();
        let names: BTreeSet<String> = variables.iter().map(|variable| variable["name"].to_string()).collect();
        if names.len() != variables.len() {
            fault(format!("container {name} has a variable twice"));
        }
    }
}

fn is_name(name: &str) -> bool {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
    name.len() <= 253 && name.chars().all(good) && name.starts_with(|c: char| c.is_ascii_lowercase())
}
