//! The chart, by the real tools: both majors of Helm, helm-docs, kubectl, promtool. Whatever needs an API server is tested
//! with the cluster. The tools lie in `OXIDE_CLUSTER_TOOLS`; one that is missing is a failure.

#![expect(clippy::disallowed_methods, reason = "it runs tools and reads the chart")]

#[path = "chart/dashboard.rs"]
mod dashboard;
#[path = "chart/helm.rs"]
mod helm;
#[path = "chart/monitoring.rs"]
mod monitoring;
#[path = "chart/objects.rs"]
mod objects;
#[path = "support/plain_numbers.rs"]
mod plain_numbers;
#[path = "chart/sidecar.rs"]
mod sidecar;
#[path = "chart/switches.rs"]
mod switches;

use std::collections::BTreeSet;

use helm::{FULL, HELMS, chart, documents, of_kind, only, read, render, root, run, tool, try_render, yaml};
use plain_numbers::with_plain_numbers;
use serde_json::{Value as Json, json};

/// What the chart refuses, and a word of why.
const REFUSED: &[(&str, &str)] = &[
    ("orchestrator without an image", "orchestrator.enabled needs orchestrator.image.repository"),
    ("both monitors", "every sidecar would be scraped twice"),
    (
        "promotion into what Helm owns",
        "orchestrator.policy.onDrift=promote needs orchestrator.config.existingName",
    ),
];

fn everything() -> Json {
    yaml("charts/oxide-operator/ci/everything-values.yaml")
}

#[test]
fn helm_lints_it_strictly() {
    for helm in HELMS {
        for values in ["values.yaml", "ci/everything-values.yaml"] {
            let options = ["lint", "--strict", "--kube-version=1.37.2", "--values", values, "."];
            run(tool(helm).current_dir(chart()).args(options));
        }
    }
}

#[test]
fn every_switch_renders_good_objects_with_helm_3() {
    every_switch_renders_good_objects("helm3");
}

#[test]
fn every_switch_renders_good_objects_with_helm_4() {
    every_switch_renders_good_objects("helm4");
}

fn every_switch_renders_good_objects(helm: &str) {
    let switches = switches::all();
    assert!(switches.len() > 60, "the schema has {} switches", switches.len());
    let mut refusals = BTreeSet::new();
    let mut faults = Vec::new();
    for base in [json!({}), everything()] {
        for switch in &switches {
            match try_render(helm, &[&base, &switch.values()], FULL) {
                Ok(objects) => {
                    let found = objects::faults(&objects);
                    faults.extend(found.into_iter().map(|fault| format!("{switch:?}: {fault}")));
                }
                Err(why) => match REFUSED.iter().find(|(_, message)| why.contains(message)) {
                    Some((name, _)) => {
                        refusals.insert(*name);
                    }
                    None => faults.push(format!("{switch:?}: {why}")),
                },
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let expected: BTreeSet<&str> = REFUSED.iter().map(|(name, _)| *name).collect();
    assert_eq!(refusals, expected, "each combination that makes no sense is refused");
}

#[test]
fn promotion_must_be_allowed_before_it_is_the_answer() {
    let mut values = everything();
    values["orchestrator"]["policy"]["onDrift"] = json!("promote");
    values["orchestrator"]["config"] = json!({"existingName": "oxide-config"});
    render("helm4", &values, FULL);
    values["rbac"]["promotion"] = json!(false);
    let why = try_render("helm4", &[&values], FULL).expect_err("not allowed");
    assert!(why.contains("onDrift=promote needs rbac.promotion=true"), "{why}");
}

#[test]
fn both_helms_render_the_same() {
    for values in [json!({}), everything()] {
        let [one, other] = HELMS.map(|helm| without_random(render(helm, &values, FULL)));
        assert_eq!(one.len(), other.len());
        for object in one {
            assert!(other.contains(&object), "only Helm 3 renders {object}");
        }
    }
}

/// Generated keys are others each time.
fn without_random(mut objects: Vec<Json>) -> Vec<Json> {
    for object in objects.iter_mut().filter(|object| object["kind"] == "Secret") {
        object["data"] = Json::Null;
        object["stringData"] = Json::Null;
    }
    objects
}

#[test]
fn a_value_that_is_misspelt_is_refused() {
    let schema = switches::schema();
    let mut groups = vec![Vec::new()];
    switches::walk(&schema, &mut |path, node| {
        if node["properties"].is_object() && node["additionalProperties"] == false {
            groups.push(path.to_vec());
        }
    });
    assert!(groups.len() > 20, "{groups:?}");
    for (helm, path) in HELMS.iter().flat_map(|helm| groups.iter().map(move |path| (helm, path))) {
        let typo = switches::Switch {
            path: [path.clone(), vec!["enabeld".to_owned()]].concat(),
            value: json!(true),
        };
        let why = try_render(helm, &[&typo.values()], FULL).expect_err("a typo");
        assert!(why.contains("enabeld"), "{why}");
    }
}

#[test]
fn every_value_is_described_once() {
    let comments = comments();
    let (schema, mut described) = (switches::schema(), BTreeSet::new());
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert!(jsonschema::meta::is_valid(&schema));
    switches::walk(&schema, &mut |path, node| {
        let name = path.join(".");
        let own = schema_node(&schema, path)["description"].as_str().or(node["description"].as_str());
        assert!(own.is_some(), "{name} has no description in the schema");
        if let Some(comment) = comments.iter().find(|(path, _)| *path == name).map(|(_, comment)| comment) {
            assert_eq!(
                own,
                Some(comment.as_str()),
                "{name}: values.yaml and its schema say different things"
            );
            described.insert(name);
        }
    });
    assert_eq!(described.len(), comments.len(), "values.yaml has values that the schema lacks");
    assert!(comments.len() > 100);
}

/// The node of a value itself, before what it refers to.
fn schema_node<'a>(schema: &'a Json, path: &[String]) -> &'a Json {
    path.iter().fold(schema, |node, name| &node["properties"][name])
}

/// The comments of values.yaml that helm-docs reads, by path.
fn comments() -> Vec<(String, String)> {
    let text = read("charts/oxide-operator/values.yaml");
    let mut found = Vec::new();
    let (mut path, mut comment): (Vec<(usize, String)>, Option<String>) = (Vec::new(), None);
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        if let Some(more) = line.trim_start().strip_prefix("# ") {
            comment = match (more.strip_prefix("-- "), comment) {
                (Some(first), _) => Some(first.to_owned()),
                (None, Some(before)) => Some(format!("{before} {more}")),
                (None, None) => None,
            };
        } else if let Some((name, _)) = line.trim_start().split_once(':') {
            path.retain(|(outer, _)| *outer < indent);
            path.push((indent, name.to_owned()));
            if let Some(comment) = comment.take() {
                let names: Vec<&str> = path.iter().map(|(_, name)| name.as_str()).collect();
                found.push((names.join("."), comment));
            }
        }
    }
    found
}

#[test]
fn the_readme_is_what_helm_docs_makes() {
    let folder = tempfile::tempdir().expect("a folder");
    for file in ["Chart.yaml", "values.yaml", "README.md.gotmpl"] {
        std::fs::copy(chart().join(file), folder.path().join(file)).expect("ours");
    }
    run(tool("helm-docs").arg("--chart-search-root").arg(folder.path()).arg("--log-level=warning"));
    let made = std::fs::read_to_string(folder.path().join("README.md")).expect("made");
    assert!(made == read("charts/oxide-operator/README.md"), "run charts/generate.sh");
}

#[test]
fn what_the_chart_copies_is_what_it_copies_from() {
    let mut copies = vec![(
        "config/prometheus/oxide-operator.rules.yaml".to_owned(),
        "oxide-operator.rules.yaml".to_owned(),
    )];
    for name in definitions() {
        copies.push((format!("crds/{name}"), format!("crds/{name}")));
    }
    for (from, to) in copies {
        assert!(
            read(&from) == read(&format!("charts/oxide-operator/files/{to}")),
            "{from}: run charts/generate.sh"
        );
    }
    let present = std::fs::read_dir(chart().join("files/crds")).expect("copies").count();
    assert_eq!(present, definitions().len(), "a definition is gone: run charts/generate.sh");
}

fn definitions() -> Vec<String> {
    let names = std::fs::read_dir(root().join("crds"))
        .expect("crds")
        .map(|entry| entry.expect("an entry").file_name());
    let names = names.map(|name| name.into_string().expect("text"));
    let definitions: Vec<String> = names.filter(|name| name != "README.md").collect();
    assert_eq!(definitions.len(), 2, "{definitions:?}");
    definitions
}

#[test]
fn definitions_are_kept_and_carry_their_version() {
    let objects = render("helm4", &json!({}), FULL);
    for name in definitions() {
        let source = yaml(&format!("crds/{name}"));
        let rendered = of_kind(&objects, "CustomResourceDefinition");
        let rendered = rendered.iter().find(|crd| crd["metadata"]["name"] == source["metadata"]["name"]);
        let rendered = rendered.unwrap_or_else(|| panic!("{name} is not rendered"));
        assert_eq!(with_plain_numbers(&rendered["spec"]), with_plain_numbers(&source["spec"]));
        let notes = &rendered["metadata"]["annotations"];
        assert_eq!(notes["helm.sh/resource-policy"], "keep");
        assert_eq!(notes["oxide.dev/version"], env!("CARGO_PKG_VERSION"));
    }
    let without = render("helm4", &json!({"crds": {"enabled": false}}), FULL);
    assert!(of_kind(&without, "CustomResourceDefinition").is_empty());
}

#[test]
fn the_chart_has_the_version_of_the_program() {
    let about = yaml("charts/oxide-operator/Chart.yaml");
    assert_eq!(about["appVersion"], env!("CARGO_PKG_VERSION"));
    let images = about["annotations"]["artifacthub.io/images"].as_str().expect("images");
    assert!(images.contains(&format!("oxide-operator:{}", env!("CARGO_PKG_VERSION"))), "{images}");
    for list in ["images", "crds", "crdsExamples", "changes", "links"] {
        let text = about["annotations"][format!("artifacthub.io/{list}")].as_str().expect("a list");
        assert!(documents(text)[0].is_array(), "{list}");
    }
    let listed = documents(about["annotations"]["artifacthub.io/crds"].as_str().expect("crds"));
    assert_eq!(listed[0].as_array().map(Vec::len), Some(definitions().len()));
}

#[test]
fn kubernetes_without_native_sidecars_is_refused() {
    for helm in HELMS {
        let why = try_render(helm, &[&json!({})], &["--kube-version=1.28.9"]).expect_err("too old");
        assert!(why.contains("1.28.9") && why.contains(">=1.29.0-0"), "{why}");
        render(helm, &json!({}), &["--kube-version=1.29.0"]);
        // As cloud providers write it.
        render(helm, &json!({}), &["--kube-version=v1.29.4-gke.100"]);
    }
}

#[test]
fn an_image_is_named_by_digest_then_tag_then_version() {
    let digest = format!("sha256:{}", "0".repeat(64));
    for (image, expected) in [
        (json!({}), format!("oxide-operator:{}", env!("CARGO_PKG_VERSION"))),
        (json!({"tag": "main"}), "oxide-operator:main".to_owned()),
        (json!({"tag": "main", "digest": digest}), format!("oxide-operator@{digest}")),
        (
            json!({"registry": "r.example.com:5000", "repository": "a/b", "tag": "1"}),
            "r.example.com:5000/a/b:1".to_owned(),
        ),
    ] {
        let objects = render("helm4", &json!({"image": image}), FULL);
        assert!(
            only(&objects, "MutatingAdmissionPolicy").to_string().contains(&format!("\\\"{expected}\\\"")),
            "{expected}"
        );
    }
}

#[test]
fn rights_are_those_that_are_named_and_no_more() {
    let rights = |values: Json| {
        let objects = render("helm4", &values, FULL);
        let roles = of_kind(&objects, "Role");
        let role = roles
            .iter()
            .find(|role| role["metadata"]["name"] == "oxide-operator-agent")
            .expect("the agents'");
        role["rules"].as_array().cloned().expect("rules")
    };
    let over = |rules: &[Json], resource: &str| {
        rules
            .iter()
            .find(|rule| rule["resources"].as_array().is_some_and(|all| all.contains(&json!(resource))))
            .cloned()
    };
    let usual = rights(json!({}));
    assert!(over(&usual, "secrets").is_none());
    assert!(over(&usual, "configmaps").is_none());
    assert_eq!(over(&usual, "oxideconfigs").expect("readable")["verbs"], json!(["get", "list", "watch"]));
    let named =
        rights(json!({"rbac": {"secretNames": ["keys"], "configMapNames": ["config"], "promotion": true}}));
    let secrets = over(&named, "secrets").expect("named");
    assert_eq!(
        (&secrets["resourceNames"], &secrets["verbs"]),
        (&json!(["keys"]), &json!(["get", "list", "watch"]))
    );
    let config_maps = over(&named, "configmaps").expect("named");
    assert_eq!(config_maps["resourceNames"], json!(["config"]));
    assert_eq!(config_maps["verbs"], json!(["get", "list", "watch", "patch"]));
    // Without names, a right to edit would be one over every ConfigMap.
    let anywhere = rights(json!({"rbac": {"promotion": true, "configMapNames": ["*"]}}));
    assert!(over(&anywhere, "configmaps").expect("readable")["resourceNames"].is_null());
    assert_eq!(over(&anywhere, "configmaps").expect("readable")["verbs"], json!(["get", "list", "watch"]));
    assert_eq!(
        over(&anywhere, "oxideconfigs").expect("readable")["verbs"],
        json!(["get", "list", "watch", "patch"])
    );
}

#[test]
fn two_releases_of_one_name_share_no_object() {
    let values = |home: &str| json!({"rbac": {"namespaces": [home, "shared"]}, "crds": {"enabled": false}, "namespaceOverride": home});
    let names = |home: &str| -> BTreeSet<String> {
        let objects = render("helm4", &values(home), FULL);
        objects
            .iter()
            .map(|object| {
                format!("{} {}", object["kind"], object["metadata"]["name"])
                    + &object["metadata"]["namespace"].to_string()
            })
            .collect()
    };
    let both: Vec<String> = names("one").intersection(&names("two")).cloned().collect();
    assert!(both.is_empty(), "{both:?}");
}
