//! Files of other tools that were named as the source by mistake.

use serde_json::Value as Json;

use super::document::Document;
use super::locate;
use super::yaml::Node;
use crate::model::{Finding, Section};

/// Returns the one finding for a document that is no configuration but something else that is well known.
pub(super) fn recognise(text: &str, document: &Document) -> Option<Finding> {
    sealed(text, document)
        .or_else(|| manifest(document))
        .or_else(|| chart(document))
        .or_else(|| template(text, document))
        .or_else(|| compose(text, document))
}

fn other<'d>(document: &'d Document, name: &str) -> Option<&'d Json> {
    document.others.iter().find(|other| other.name == name).map(|other| &other.value)
}

/// A file that is encrypted as a whole, or value by value.
fn sealed(text: &str, document: &Document) -> Option<Finding> {
    let sops = other(document, "sops").is_some_and(|sops| {
        ["mac", "version", "lastmodified", "encrypted_regex"].iter().any(|name| sops.get(name).is_some())
    });
    if sops {
        let help = "decrypt it first (`sops --decrypt`), and name what comes out; or leave only the API keys out of the file: `api_key: ${NAME}`";
        return Some(
            Finding::error("the file is encrypted with SOPS, and nothing here decrypts it").suggest(help),
        );
    }
    let start = text.trim_start();
    if start.starts_with("age-encryption.org/") {
        let finding = Finding::error("the file is encrypted with age, and nothing here decrypts it");
        return Some(finding.suggest("decrypt it first: `age --decrypt`"));
    }
    let whole = ["$ANSIBLE_VAULT;", "-----BEGIN PGP MESSAGE", "-----BEGIN AGE ENCRYPTED"];
    let is_sealed = whole.iter().any(|beginning| start.starts_with(beginning));
    let finding = is_sealed.then(|| super::suspect::sealed(start)).flatten()?;
    Some(Finding { message: finding.message.replace("the value", "the file"), ..finding })
}

/// An object of Kubernetes.
fn manifest(document: &Document) -> Option<Finding> {
    if document.declares_a_section() {
        return None;
    }
    let kind = other(document, "kind")?.as_str()?;
    let version = other(document, "apiVersion")?.as_str()?;
    let metadata =
        |name: &str| other(document, "metadata").and_then(|it| it.get(name)).and_then(Json::as_str);
    let (name, namespace) =
        (metadata("name").unwrap_or("NAME"), metadata("namespace").unwrap_or("NAMESPACE"));
    let help = match kind {
        "ConfigMap" => {
            format!("apply it with kubectl, and read it there: `--source configmap:{namespace}/{name}`")
        }
        "OxideConfig" => {
            format!("apply it with kubectl, and read it there: `--source oxideconfig:{namespace}/{name}`")
        }
        "Deployment" | "StatefulSet" | "DaemonSet" | "Pod" => {
            "name the configuration itself; the chart adds oxide-operator to a workload (docs/install.md)"
                .to_owned()
        }
        "Secret" => "an API key in a Secret is `apiKeyFrom: {secretKeyRef: {name: …, key: …}}` of a service"
            .to_owned(),
        _ => "name the configuration itself, usually `file:config/default.yaml`".to_owned(),
    };
    let message = format!("this is a Kubernetes manifest ({kind} of {version}), not a configuration");
    Some(Finding::error(message).suggest(help))
}

/// The parts of a Helm chart.
fn chart(document: &Document) -> Option<Finding> {
    if document.declares_a_section() {
        return None;
    }
    let text = |name: &str| other(document, name).is_some_and(Json::is_string);
    let within = |name: &str, inner: &str| other(document, name).is_some_and(|it| it.get(inner).is_some());
    let what = if text("apiVersion") && text("name") && text("version") {
        "the Chart.yaml of a Helm chart"
    } else if within("image", "repository")
        || within("image", "tag")
        || other(document, "replicaCount").is_some()
    {
        "the values of a Helm chart"
    } else {
        return None;
    };
    let help = "name the configuration itself, usually `file:config/default.yaml`, or what the release made: `configmap:NAMESPACE/NAME`";
    Some(Finding::error(format!("this looks like {what}, not a configuration")).suggest(help))
}

/// A template that is not rendered yet.
fn template(text: &str, document: &Document) -> Option<Finding> {
    let lines = || text.lines().map(str::trim_start);
    let statement = |line: &str| line.starts_with("{{") || line.starts_with("{%");
    let value = |line: &str| line.contains(": {{") || line.contains("- {{");
    (document.findings.has_error() && lines().any(|line| statement(line) || value(line))).then(|| {
        Finding::error("this looks like a template that was not rendered yet (`{{ … }}`)")
            .suggest("render it first (`helm template`, for instance), and name what comes out")
    })
}

/// A file of Docker Compose, whose services are something else.
fn compose(text: &str, document: &Document) -> Option<Finding> {
    if !document.findings.has_error() {
        return None;
    }
    let is_container = |service: &Node<'_>| {
        service.get("type").is_none() && ["image", "build"].iter().any(|name| service.get(name).is_some())
    };
    let (mut containers, mut others) = (0, 0);
    locate::find_entries(text, |section, _, service| {
        let is_container = section == Section::Services && is_container(service);
        *(if is_container { &mut containers } else { &mut others }) += 1;
        others > 0
    });
    (containers > 0 && others == 0).then(|| {
        Finding::error("this looks like a file of Docker Compose: its services are containers")
            .suggest("name the orchestrator's own YAML, usually `file:config/default.yaml`")
    })
}
