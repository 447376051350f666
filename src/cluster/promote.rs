//! Writing edits of the database into an object: only what differs, under a name of our own, and only where nobody
//! else's file would write it back.

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::ApiResource;
use kube::{Client, Error, ResourceExt as _};
use serde_json::{Map, Value as Json, json};
use thiserror::Error;

use super::{FIELD_MANAGER, block_on, chain, client};
use crate::crd::OxideConfig;
use crate::desired;
use crate::export::object_to_yaml;
use crate::promotion::Rewritten;
use crate::settings;
use crate::source::{ObjectKind, ObjectSpec};

/// How the API server names what somebody did by hand: nothing comes by and writes it again.
const BY_HAND: [&str; 6] =
    ["kubectl-annotate", "kubectl-create", "kubectl-edit", "kubectl-patch", "kubectl-replace", "kubectl-set"];

/// Why an edit was not written into an object. Nothing was written then.
#[derive(Debug, Error)]
pub enum PromoteError {
    /// Another program owns what would be written.
    #[error("PromotionBlocked: {manager} owns {field} of {object}, and would write its own value again")]
    Owned {
        /// The object.
        object: ObjectSpec,
        /// The field.
        field: String,
        /// Who owns it.
        manager: String,
    },
    /// The object is not what it was when it was read.
    #[error("{object} changed meanwhile; nothing was written")]
    Moved {
        /// The object.
        object: ObjectSpec,
    },
    /// The API server did not take it.
    #[error("{object}: {why}")]
    Api {
        /// The object.
        object: ObjectSpec,
        /// Its answer.
        why: String,
        /// As a status of HTTP; 0 when there was none.
        code: u16,
    },
}

impl PromoteError {
    /// What the user can do next.
    pub fn hint(&self) -> String {
        match self {
            Self::Owned { manager, .. } => format!(
                "change it where {manager} takes it from (in Git: `promote --git` on a checkout); or give the field away: leave it out of that file, or have it ignored there"
            ),
            Self::Moved { .. } => "try again: it is read anew".into(),
            Self::Api { code: 401 | 403, .. } => {
                "this account needs `patch` on the object: `rbac.promotion` in the chart".into()
            }
            Self::Api { code: 422, .. } => {
                "the API server does not take the result; change the object by hand, or the database".into()
            }
            Self::Api { .. } => "try again once the API server answers".into(),
        }
    }
}

/// Writes edited documents back into the object that they came from. Whoever calls waits.
///
/// # Errors
/// When another program owns what would be written, the object moved, or the API server refuses or does not answer.
pub fn replace(object: &ObjectSpec, documents: &[Rewritten]) -> Result<(), PromoteError> {
    let failed = |why: String| PromoteError::Api { object: object.clone(), why, code: 0 };
    let late =
        || failed("the API server did not answer in time; whether it was written shows in the object".into());
    let written = async { tokio::time::timeout(settings::PROMOTED_WITHIN, write(object, documents)).await };
    block_on(written).map_err(|error| failed(error.to_string()))?.map_err(|_| late())?
}

async fn write(object: &ObjectSpec, documents: &[Rewritten]) -> Result<(), PromoteError> {
    let client = client().await.map_err(|error| api_error(object, &error))?;
    let edit = Editing::begin(&client, object).await?;
    match object.kind {
        ObjectKind::ConfigMap(_) => edit.config_map(documents).await,
        ObjectKind::OxideConfig => edit.oxide_config(documents).await,
    }
}

fn api_error(object: &ObjectSpec, error: &Error) -> PromoteError {
    match error {
        Error::Api(status) if status.code == 409 => PromoteError::Moved { object: object.clone() },
        _ => {
            let code = if let Error::Api(status) = error { status.code } else { 0 };
            PromoteError::Api { object: object.clone(), why: chain(error), code }
        }
    }
}

/// An object while it is edited.
struct Editing<'a> {
    spec: &'a ObjectSpec,
    api: Api<DynamicObject>,
    resource: ApiResource,
    found: DynamicObject,
}

impl<'a> Editing<'a> {
    async fn begin(client: &Client, spec: &'a ObjectSpec) -> Result<Self, PromoteError> {
        let resource = match spec.kind {
            ObjectKind::ConfigMap(_) => ApiResource::erase::<ConfigMap>(&()),
            ObjectKind::OxideConfig => ApiResource::erase::<OxideConfig>(&()),
        };
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &spec.namespace, &resource);
        let found = api.get(&spec.name).await.map_err(|error| api_error(spec, &error))?;
        Ok(Self { spec, api, resource, found })
    }

    async fn config_map(self, documents: &[Rewritten]) -> Result<(), PromoteError> {
        let mut entries = Map::new();
        for document in documents {
            let key = document.name.rsplit('/').next().unwrap_or_default();
            let text = |bytes: &[u8]| Json::from(String::from_utf8_lossy(bytes));
            if self.found.data["data"][key] != text(&document.before) {
                return Err(self.moved());
            }
            self.check_owner(&["data", key])?;
            entries.insert(key.to_owned(), text(&document.after));
        }
        self.apply(json!({"data": entries})).await
    }

    async fn oxide_config(self, documents: &[Rewritten]) -> Result<(), PromoteError> {
        let Some(document) = documents.first() else { return Ok(()) };
        if object_to_yaml(&self.found.data["spec"]["config"]).into_bytes() != document.before {
            return Err(self.moved());
        }
        let read = |bytes: &[u8]| {
            desired::value_of(&String::from_utf8_lossy(bytes)).map_err(|why| PromoteError::Api {
                object: self.spec.clone(),
                why,
                code: 0,
            })
        };
        let mut edits = Vec::new();
        differing(&read(&document.before)?, &read(&document.after)?, &mut Vec::new(), &mut edits);
        let whole = |edit: &LeafEdit| -> Vec<String> {
            ["spec", "config"].map(str::to_owned).into_iter().chain(edit.path.iter().cloned()).collect()
        };
        for edit in &edits {
            self.check_owner(&whole(edit).iter().map(String::as_str).collect::<Vec<_>>())?;
        }
        // Server-side apply can neither take away what another manager set, nor set a null. One request it must be all
        // the same: every agent would act on a half.
        let is_plain = |edit: &LeafEdit| edit.value.as_ref().is_some_and(|value| !value.is_null());
        if !edits.iter().all(is_plain) {
            return self.patch(edits.iter().map(|edit| (pointer(&whole(edit)), edit.value.clone()))).await;
        }
        let mut set = json!({});
        for edit in edits {
            put(&mut set, &whole(&edit), edit.value.unwrap_or_default());
        }
        self.apply(set).await
    }

    /// Applies fields under our own name, together with those that are ours already: what an owner leaves out is removed.
    async fn apply(&self, fields: Json) -> Result<(), PromoteError> {
        if fields.as_object().is_none_or(Map::is_empty) {
            return Ok(());
        }
        let whole = serde_json::to_value(&self.found).unwrap_or_default();
        let mut body = self.ours().map_or_else(|| json!({}), |fields| owned(&fields, &whole));
        merge(&mut body, fields);
        body["apiVersion"] = self.resource.api_version.clone().into();
        body["kind"] = self.resource.kind.clone().into();
        body["metadata"] = json!({"name": self.spec.name, "resourceVersion": self.found.resource_version()});
        // Forced, because whoever owns the fields was looked at above and edits by hand.
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        let applied = self.api.patch(&self.spec.name, &parameters, &Patch::Apply(&body)).await;
        applied.map(|_| ()).map_err(|error| api_error(self.spec, &error))
    }

    /// Sets and removes values in one step. An object that moved meanwhile is refused by its version.
    async fn patch(&self, edits: impl Iterator<Item = (String, Option<Json>)>) -> Result<(), PromoteError> {
        let version = self.found.resource_version();
        let step = |(pointer, value): (String, Option<Json>)| match value {
            Some(value) => json!({"op": "add", "path": pointer, "value": value}),
            None => json!({"op": "remove", "path": pointer}),
        };
        let guard = json!({"op": "replace", "path": "/metadata/resourceVersion", "value": version});
        let steps = Json::Array([guard].into_iter().chain(edits.map(step)).collect());
        let steps = serde_json::from_value(steps).unwrap_or_default();
        let parameters =
            PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let patched = self.api.patch(&self.spec.name, &parameters, &Patch::<()>::Json(steps)).await;
        patched.map(|_| ()).map_err(|error| api_error(self.spec, &error))
    }

    /// Refuses a field whose owner would write its own value again.
    fn check_owner(&self, path: &[&str]) -> Result<(), PromoteError> {
        let foreign = self.managers().find(|entry| {
            let name = entry.manager.as_deref().unwrap_or_default();
            let fields = entry.fields_v1.as_ref().map_or(&Json::Null, |fields| &fields.0);
            name != FIELD_MANAGER && !BY_HAND.contains(&name) && owns(fields, path)
        });
        match foreign {
            None => Ok(()),
            Some(entry) => Err(PromoteError::Owned {
                object: self.spec.clone(),
                field: path.join("."),
                manager: entry.manager.clone().unwrap_or_default(),
            }),
        }
    }

    fn managers(&self) -> impl Iterator<Item = &ManagedFieldsEntry> {
        self.found.metadata.managed_fields.iter().flatten().filter(|entry| entry.subresource.is_none())
    }

    /// The fields that earlier promotions own.
    fn ours(&self) -> Option<Json> {
        let mut ours = self.managers().filter(|entry| {
            entry.manager.as_deref() == Some(FIELD_MANAGER) && entry.operation.as_deref() == Some("Apply")
        });
        ours.next()?.fields_v1.as_ref().map(|fields| fields.0.clone())
    }

    fn moved(&self) -> PromoteError {
        PromoteError::Moved { object: self.spec.clone() }
    }
}

/// One value that is to be another one, or to go.
struct LeafEdit {
    path: Vec<String>,
    value: Option<Json>,
}

/// Finds the smallest edits that make `after` of `before`. Lists are values: the API server owns them whole.
fn differing(before: &Json, after: &Json, path: &mut Vec<String>, edits: &mut Vec<LeafEdit>) {
    let (Json::Object(old), Json::Object(new)) = (before, after) else {
        if before != after {
            edits.push(LeafEdit { path: path.clone(), value: Some(after.clone()) });
        }
        return;
    };
    for (key, value) in new {
        path.push(key.clone());
        match old.get(key) {
            Some(before) => differing(before, value, path, edits),
            None => edits.push(LeafEdit { path: path.clone(), value: Some(value.clone()) }),
        }
        path.pop();
    }
    for key in old.keys().filter(|key| !new.contains_key(*key)) {
        let path = path.iter().cloned().chain([key.clone()]).collect();
        edits.push(LeafEdit { path, value: None });
    }
}

/// Whether a set of fields has a path, or something that it lies in as a whole.
/// Source: `FieldsV1`, <https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management>.
fn owns(fields: &Json, path: &[&str]) -> bool {
    let mut at = fields;
    for part in path {
        match at.get(format!("f:{part}")) {
            Some(inner) => at = inner,
            None => return false,
        }
        if at.as_object().is_some_and(Map::is_empty) {
            return true;
        }
    }
    true
}

/// The values of an object that a set of fields has.
fn owned(fields: &Json, value: &Json) -> Json {
    // A set without anything in it is a leaf; one with a dot alone is an object of which nothing else is ours.
    let Some(fields) = fields.as_object().filter(|fields| !fields.is_empty()) else { return value.clone() };
    let inner = fields.iter().filter_map(|(key, inner)| Some((key.strip_prefix("f:")?, inner)));
    let found = inner.filter_map(|(key, fields)| Some((key.to_owned(), owned(fields, value.get(key)?))));
    Json::Object(found.collect())
}

fn put(into: &mut Json, path: &[String], value: Json) {
    let mut at = into;
    for part in path {
        at = &mut at[part.as_str()];
    }
    *at = value;
}

fn merge(into: &mut Json, from: Json) {
    match (into, from) {
        (Json::Object(into), Json::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Json::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

/// A path as JSON Pointer.
/// Source: RFC 6901.
fn pointer(path: &[String]) -> String {
    path.iter().map(|part| format!("/{}", part.replace('~', "~0").replace('/', "~1"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manager_owns_its_fields_and_what_lies_in_them() {
        let fields = json!({"f:spec": {"f:config": {".": {}, "f:services": {"f:a": {"f:enabled": {}, "f:models": {}}}}}});
        assert!(owns(&fields, &["spec", "config", "services", "a", "enabled"]));
        assert!(owns(&fields, &["spec", "config", "services", "a", "models", "0"]));
        assert!(owns(&fields, &["spec", "config", "services", "a"]));
        assert!(!owns(&fields, &["spec", "config", "services", "b"]));
        assert!(!owns(&Json::Null, &["spec"]));
    }

    #[test]
    fn what_is_ours_is_taken_from_the_object() {
        let fields = json!({"f:spec": {"f:config": {"f:services": {"f:a": {".": {}, "f:enabled": {}}}}}});
        let object = json!({"spec": {"suspend": true, "config": {"services": {"a": {"enabled": false, "type": "cli"}}}}});
        assert_eq!(
            owned(&fields, &object),
            json!({"spec": {"config": {"services": {"a": {"enabled": false}}}}})
        );
    }

    #[test]
    fn of_an_object_that_is_ours_by_its_dot_alone_nothing_is_taken() {
        let fields = json!({"f:services": {"f:a": {".": {}}, "f:b": {"f:enabled": {}}}});
        let object = json!({"services": {"a": {"type": "cli"}, "b": {"enabled": true, "type": "cli"}}});
        assert_eq!(owned(&fields, &object), json!({"services": {"a": {}, "b": {"enabled": true}}}));
    }

    #[test]
    fn only_the_leaves_that_differ_are_edited() {
        let before = json!({"services": {"a": {"enabled": true, "models": ["x"]}, "b": {"type": "cli"}}});
        let after = json!({"services": {"a": {"enabled": false, "models": ["x"]}, "c": {"type": "cli"}}});
        let mut edits = Vec::new();
        differing(&before, &after, &mut Vec::new(), &mut edits);
        let found: Vec<(String, bool)> =
            edits.iter().map(|edit| (edit.path.join("."), edit.value.is_some())).collect();
        let expected = [("services.a.enabled", true), ("services.c", true), ("services.b", false)];
        assert_eq!(found, expected.map(|(path, set)| (path.to_owned(), set)));
    }
}
