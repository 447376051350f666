//! Alerts and dashboard, as Prometheus and Grafana get them.

use std::collections::BTreeSet;
use std::process::Command;

use oxide_operator::metrics::Metrics;
use serde_json::{Value as Json, json};

use crate::dashboard;
use crate::helm::{FULL, HELMS, of_kind, only, read, render, root, run, try_render, yaml};

fn with(monitoring: &Json) -> Json {
    json!({"monitoring": monitoring})
}

/// Every metric that the program can show.
fn metrics() -> BTreeSet<String> {
    let metrics = Metrics::new();
    // Only there once the orchestrator was asked.
    metrics.consumer(true);
    let text = metrics.render(0.0);
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split(['{', ' ']).next()).map(str::to_owned).collect()
}

/// Lets promtool read rules.
fn check_rules(groups: &Json) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("rules.yaml");
    std::fs::write(&path, json!({"groups": groups}).to_string()).expect("ours");
    run(Command::new("promtool").args(["check", "rules"]).arg(path));
}

#[test]
fn the_alerts_are_the_shipped_ones_with_a_link_to_their_runbook() {
    let shipped = yaml("config/prometheus/oxide-operator.rules.yaml");
    for helm in HELMS {
        let objects = render(
            helm,
            &with(
                &json!({"prometheusRule": {"enabled": true, "runbookBaseUrl": "https://example.com/runbooks/"}}),
            ),
            FULL,
        );
        let groups = &only(&objects, "PrometheusRule")["spec"]["groups"];
        check_rules(groups);
        let (rendered, shipped) = (
            groups[0]["rules"].as_array().expect("rules"),
            shipped["groups"][0]["rules"].as_array().expect("rules"),
        );
        assert_eq!(rendered.len(), shipped.len());
        for (rendered, shipped) in rendered.iter().zip(shipped) {
            for part in ["alert", "expr", "for", "labels"] {
                assert_eq!(rendered[part], shipped[part]);
            }
            let page = shipped["annotations"]["runbook"].as_str().expect("a page");
            assert!(root().join(page).is_file(), "{page}");
            let name = page.rsplit('/').next().expect("a name");
            assert_eq!(
                rendered["annotations"]["runbook_url"],
                format!("https://example.com/runbooks/{name}")
            );
            assert_eq!(rendered["annotations"]["description"], shipped["annotations"]["description"]);
        }
    }
}

#[test]
fn every_metric_of_an_alert_exists() {
    let known = metrics();
    let rules = read("config/prometheus/oxide-operator.rules.yaml");
    let words = rules.split(|c: char| !c.is_ascii_lowercase() && c != '_');
    let used: BTreeSet<&str> = words.filter(|word| word.starts_with("oxide_operator_")).collect();
    assert!(used.len() > 10);
    for metric in used {
        assert!(known.contains(metric), "{metric} does not exist");
    }
}

#[test]
fn an_alert_can_be_left_out_and_changed_by_its_name() {
    let values = with(&json!({"prometheusRule": {
        "enabled": true,
        "labels": {"release": "prometheus"},
        "additionalRuleLabels": {"team": "llm"},
        "disabled": {"OxideOperatorPausedTooLong": true, "OxideOperatorAbsent": false},
        "custom": {"OxideOperatorConflict": {"for": "1h", "severity": "info"}},
    }}));
    let objects = render("helm4", &values, FULL);
    let rule = only(&objects, "PrometheusRule");
    assert_eq!(rule["metadata"]["labels"]["release"], "prometheus");
    let rules = rule["spec"]["groups"][0]["rules"].as_array().expect("rules");
    let named = |name: &str| rules.iter().find(|rule| rule["alert"] == name);
    assert!(named("OxideOperatorPausedTooLong").is_none());
    assert!(named("OxideOperatorAbsent").is_some());
    let conflict = named("OxideOperatorConflict").expect("there");
    assert_eq!(
        (&conflict["for"], &conflict["labels"]),
        (&json!("1h"), &json!({"severity": "info", "team": "llm"}))
    );
    for part in ["disabled", "custom"] {
        let value = if part == "disabled" { json!(true) } else { json!({"for": "1h"}) };
        let values = with(&json!({"prometheusRule": {"enabled": true, part: {"OxideOperatorDrfit": value}}}));
        let why = try_render("helm4", &[&values], FULL).expect_err("no such alert");
        assert!(
            why.contains(
                "names the alert OxideOperatorDrfit, which does not exist; there are OxideOperatorDrift"
            ),
            "{why}"
        );
    }
}

#[test]
fn without_the_prometheus_operator_its_objects_are_left_out_refused_or_tried() {
    let bare = &["--kube-version=1.37.2"];
    for helm in HELMS {
        for (part, kind) in [
            ("podMonitor", "PodMonitor"),
            ("serviceMonitor", "ServiceMonitor"),
            ("prometheusRule", "PrometheusRule"),
        ] {
            let values = |mode: &str| with(&json!({part: {"enabled": true, "renderMode": mode}}));
            assert!(of_kind(&render(helm, &values("skipIfMissing"), bare), kind).is_empty());
            only(&render(helm, &values("skipIfMissing"), FULL), kind);
            only(&render(helm, &values("alwaysRender"), bare), kind);
            let why = try_render(helm, &[&values("failIfMissing")], bare).expect_err("missing");
            assert!(why.contains(&format!("this cluster has no {kind} (monitoring.coreos.com/v1)")), "{why}");
        }
    }
}

#[test]
fn the_monitors_find_the_sidecars() {
    let values = json!({"rbac": {"namespaces": ["a", "b"]}, "monitoring": {"podMonitor": {"enabled": true}}});
    let objects = render("helm4", &values, FULL);
    let monitor = &only(&objects, "PodMonitor")["spec"];
    assert_eq!(monitor["namespaceSelector"]["matchNames"], json!(["a", "b"]));
    assert_eq!(monitor["podMetricsEndpoints"][0]["port"], "oxide-health");
    let label = json!({"oxide.dev/sidecar": "true"});
    assert_eq!(monitor["selector"]["matchLabels"], label);

    let values =
        json!({"rbac": {"namespaces": ["a", "b"]}, "monitoring": {"serviceMonitor": {"enabled": true}}});
    let objects = render("helm4", &values, FULL);
    let wanted = only(&objects, "ServiceMonitor")["spec"]["selector"]["matchLabels"]
        .as_object()
        .cloned()
        .expect("labels");
    let services = of_kind(&objects, "Service");
    assert_eq!(services.len(), 2, "one in each namespace");
    for service in services {
        assert_eq!((&service["spec"]["selector"], &service["spec"]["clusterIP"]), (&label, &json!("None")));
        assert!(wanted.iter().all(|(name, value)| service["metadata"]["labels"][name] == *value));
    }
}

#[test]
fn the_dashboard_holds_to_the_rules_of_grafana() {
    let values = with(&json!({"dashboard": {"enabled": true}}));
    for helm in HELMS {
        let objects = render(helm, &values, FULL);
        let maps = of_kind(&objects, "ConfigMap");
        let map = maps
            .iter()
            .find(|map| map["metadata"]["labels"]["grafana_dashboard"] == "1")
            .expect("a dashboard");
        let text = map["data"]["oxide-operator.json"].as_str().expect("text");
        let rendered: Json = serde_json::from_str(text).expect("JSON");
        let faults = dashboard::faults(&rendered, &metrics());
        assert!(faults.is_empty(), "{}", faults.join("\n"));
        let expressions = dashboard::expressions(&rendered);
        assert!(expressions.len() > 20);
        let rules: Vec<Json> = expressions.iter().map(|text| json!({"record": "of:the:dashboard", "expr": text, "labels": {"id": text.len().to_string()}})).collect();
        // promtool reads the language; names that repeat are none of its business here.
        let groups: Vec<Json> = rules
            .iter()
            .enumerate()
            .map(|(number, rule)| json!({"name": number.to_string(), "rules": [rule]}))
            .collect();
        check_rules(&json!(groups));
    }
}

#[test]
fn the_lint_of_the_dashboard_sees_what_is_wrong() {
    let good: Json = serde_json::from_str(&read("charts/oxide-operator/files/oxide-operator.dashboard.json"))
        .expect("JSON");
    let known = metrics();
    assert!(dashboard::faults(&good, &known).is_empty());
    let select = "{job=~\"$job\", namespace=~\"$namespace\", instance=~\"$instance\"}";
    for (expression, fault) in [
        (format!("oxide_operator_drfit_fields{select}"), "does not exist"),
        ("oxide_operator_paused{job=~\"$job\"}".to_owned(), "not selected by instance"),
        (format!("oxide_operator_fights_total{select}"), "a counter without a rate"),
        (format!("rate(oxide_operator_fights_total{select}[5m])"), "rated over a fixed time"),
        ("vector(1)".to_owned(), "no metric in"),
    ] {
        let mut bad = good.clone();
        bad["panels"][1]["targets"][0]["expr"] = json!(expression);
        let faults = dashboard::faults(&bad, &known).join("\n");
        assert!(faults.contains(fault), "{expression}: {faults}");
    }
    let mut bad = good.clone();
    bad["panels"][1]["description"] = json!("");
    assert!(dashboard::faults(&bad, &known).join("\n").contains("no description"));
}
