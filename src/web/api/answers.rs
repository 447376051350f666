//! What calls answer: shapes of their own, where the command line has none.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value as Json;

use crate::actions::{self, Listed};
use crate::model::{Kind, Object, Section, Value};
use crate::store::Store;
use crate::web::tag;

/// One page of a list.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Page<T> {
    /// What is on this page.
    pub(crate) items: Vec<T>,
    /// How many there are on all pages.
    pub(crate) total: usize,
    /// Send this as `continue` for the next page; null on the last one.
    pub(crate) r#continue: Option<String>,
}

/// A service, a routing rule, or the settings. An API key is never in it: only whether there is one.
#[derive(Clone, Serialize)]
pub(crate) struct ObjectAnswer {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) task_type: Option<String>,
    pub(crate) etag: String,
    #[serde(rename = "apiKeySet", skip_serializing_if = "Option::is_none")]
    pub(crate) key_is_set: Option<bool>,
    #[serde(flatten)]
    pub(crate) fields: IndexMap<&'static str, Json>,
}

impl ObjectAnswer {
    pub(crate) fn of(section: Section, id: &str, object: &Object) -> Self {
        let own = |wanted| (section == wanted).then(|| id.to_owned());
        let mut fields = IndexMap::new();
        let mut key_is_set = None;
        for field in section.field_ids() {
            let spec = section.spec(field);
            let value = object.get(field).unwrap_or(&Value::Unset);
            if spec.kind == Kind::Secret {
                key_is_set = Some(*value != Value::Unset);
                continue;
            }
            let shown = match value {
                Value::Unset if spec.kind.is_list() => Json::Array(Vec::new()),
                value => value.shown().0,
            };
            fields.insert(spec.name, shown);
        }
        Self {
            id: own(Section::Services),
            task_type: own(Section::RoutingRules),
            etag: tag::of_object(section, object),
            key_is_set,
            fields,
        }
    }
}

/// The backups of a database, newest first, without where they lie.
pub(crate) fn listed_backups(store: &mut Store) -> Vec<BackupAnswer> {
    let key = store.keys().present_fingerprint();
    let answer = |backup: Listed| BackupAnswer {
        key: backup.record.as_ref().map(|record| actions::which_key(record, key.as_deref())),
        name: backup.name,
        taken_at: backup.taken_at,
        bytes: backup.bytes,
        revision: backup.record.as_ref().and_then(|record| record.revision),
        services: backup.record.as_ref().map(|record| record.services),
        rules: backup.record.as_ref().map(|record| record.rules),
        why: backup.record.map(|record| record.why),
    };
    store.backups().into_iter().map(actions::listed).map(answer).collect()
}

/// A backup as it is listed.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BackupAnswer {
    /// Its name.
    pub(crate) name: String,
    /// When, in seconds since the epoch.
    pub(crate) taken_at: f64,
    /// Its size.
    pub(crate) bytes: u64,
    /// The newest revision in it; null when it has no record.
    pub(crate) revision: Option<i64>,
    /// Services in it.
    pub(crate) services: Option<usize>,
    /// Routing rules in it.
    pub(crate) rules: Option<usize>,
    /// Whether the key at hand opens it, in words.
    pub(crate) key: Option<&'static str>,
    /// Before what it was taken.
    pub(crate) why: Option<String>,
}
