//! The dashboard: what Grafana's own linter asks for, and that every metric exists.

use std::collections::BTreeSet;

use serde_json::Value as Json;

/// Returns everything that is wrong.
pub(crate) fn faults(dashboard: &Json, metrics: &BTreeSet<String>) -> Vec<String> {
    let mut faults = Vec::new();
    if dashboard["editable"] != false || dashboard["uid"].as_str().is_none_or(str::is_empty) {
        faults.push("the dashboard is editable, or has no uid".to_owned());
    }
    let variables: Vec<&Json> = dashboard["templating"]["list"].as_array().into_iter().flatten().collect();
    for name in ["datasource", "job", "namespace", "instance"] {
        if !variables.iter().any(|variable| variable["name"] == name) {
            faults.push(format!("there is no variable {name}"));
        }
    }
    let mut ids = BTreeSet::new();
    for panel in dashboard["panels"].as_array().expect("panels") {
        let title = panel["title"].as_str().unwrap_or_default();
        if title.is_empty() || !ids.insert(panel["id"].to_string()) {
            faults.push(format!("panel {}: no title, or an id that is taken", panel["id"]));
        }
        if panel["type"] == "row" {
            continue;
        }
        for (what, value) in
            [("description", &panel["description"]), ("unit", &panel["fieldConfig"]["defaults"]["unit"])]
        {
            if value.as_str().is_none_or(str::is_empty) {
                faults.push(format!("{title}: no {what}"));
            }
        }
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expression = target["expr"].as_str().unwrap_or_default();
            faults.extend(
                of_expression(expression, metrics).into_iter().map(|fault| format!("{title}: {fault}")),
            );
            if target["datasource"]["uid"] != "${datasource}" {
                faults.push(format!("{title}: asks a fixed data source"));
            }
        }
    }
    faults
}

/// Every expression of the dashboard, as Prometheus would see it.
pub(crate) fn expressions(dashboard: &Json) -> Vec<String> {
    let panels = dashboard["panels"].as_array().expect("panels").iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let expressions = targets.filter_map(|target| target["expr"].as_str());
    expressions.map(|text| text.replace("$__rate_interval", "5m").replace("=~\"$", "=~\"")).collect()
}

fn of_expression(expression: &str, metrics: &BTreeSet<String>) -> Vec<String> {
    let mut faults = Vec::new();
    let used = metrics_in(expression);
    if used.is_empty() {
        faults.push(format!("no metric in {expression}"));
    }
    for (metric, before, after) in used {
        if !metrics.contains(&metric) {
            faults.push(format!("{metric} does not exist"));
        }
        for variable in ["job=~\"$job\"", "namespace=~\"$namespace\"", "instance=~\"$instance\""] {
            if !after.contains(variable) {
                faults.push(format!("{metric} is not selected by {variable}"));
            }
        }
        let counts = ["_total", "_bucket", "_count", "_sum"].iter().any(|ending| metric.ends_with(ending));
        let rated = before.ends_with("rate(") || before.ends_with("increase(");
        if counts != rated {
            faults.push(format!("{metric} is a counter without a rate, or a gauge with one"));
        }
        if rated && !expression.contains("[$__rate_interval]") {
            faults.push(format!("{metric} is rated over a fixed time"));
        }
    }
    faults
}

/// Each metric with what stands before it, and its selector.
fn metrics_in(expression: &str) -> Vec<(String, &str, &str)> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(open) = expression[from..].find('{').map(|at| from + at) {
        let begin =
            expression[..open].rfind(|c: char| !c.is_alphanumeric() && c != '_').map_or(0, |at| at + 1);
        let close = expression[open..].find('}').map_or(expression.len(), |at| open + at);
        found.push((expression[begin..open].to_owned(), &expression[..begin], &expression[open..close]));
        from = close;
    }
    found
}
