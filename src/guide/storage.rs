//! The store's methods as the migration guide names them, each edit planned, backed up, verified and recorded.

use serde_json::{Value as Json, json};

use super::GuideError;
use crate::desired;
use crate::model::{
    Configuration, FieldDefault, Finding, Object, SecretReference, SecretText, Section, StoreSnapshot, Value,
};
use crate::plan::{Class, Step, update};
use crate::store::Store;
use crate::sync::{self, Edit, EditError, Mode};

/// The guide's methods. Objects go in and come out as JSON, as they stand in the YAML; API keys come out masked.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let (yaml, db) = (folder.path().join("default.yaml"), folder.path().join("config.db"));
/// # std::fs::write(&yaml, include_str!("../../config/default.yaml"))?;
/// # oxide_operator::guide::migrate_config(&yaml, &db)?;
/// use oxide_operator::store::{Access, KeySources, Store};
/// use serde_json::json;
///
/// let mut storage = Store::at(&db, Access::Write, &KeySources::default())?;
/// let services = storage.list_services()?;
/// assert_eq!(services.len(), 6);
///
/// storage.add_service(
///     "my_service",
///     &json!({"type": "http", "base_url": "http://localhost:8080", "enabled": true}),
/// )?;
/// storage.add_routing_rule(
///     "custom_task",
///     &json!({"primary": "my_service", "fallback": ["qwen", "ollama_local"], "timeout_seconds": 60}),
/// )?;
/// storage.update_service("my_service", &json!({"max_retries": 3}))?;
/// assert_eq!(storage.get_service("my_service")?.expect("just added")["max_retries"], 3);
///
/// assert!(storage.delete_service("my_service").is_err(), "a rule still names it");
/// assert!(storage.delete_routing_rule("custom_task")?);
/// assert!(storage.delete_service("my_service")?);
/// # Ok(())
/// # }
/// ```
impl Store {
    /// Whether the database has any configuration: services of any machine, or rules.
    pub fn has_config(&mut self) -> Result<bool, GuideError> {
        Ok(self.read()?.has_configuration())
    }

    /// Lists the services of this machine, in order.
    pub fn list_services(&mut self) -> Result<Vec<Json>, GuideError> {
        self.list(Section::Services)
    }

    /// Lists the routing rules by task.
    pub fn list_routing_rules(&mut self) -> Result<Vec<Json>, GuideError> {
        self.list(Section::RoutingRules)
    }

    /// Returns one service.
    pub fn get_service(&mut self, id: &str) -> Result<Option<Json>, GuideError> {
        self.get(Section::Services, id)
    }

    /// Returns one routing rule.
    pub fn get_routing_rule(&mut self, task: &str) -> Result<Option<Json>, GuideError> {
        self.get(Section::RoutingRules, task)
    }

    /// Returns a service's API key in plain text; `None` when it has none or no key decrypts it.
    pub fn api_key(&mut self, id: &str) -> Result<Option<SecretText>, GuideError> {
        let live = self.read()?;
        let Some(Value::Secret(secret)) = live.live.value(Section::Services, id, "api_key") else {
            return Ok(None);
        };
        Ok(secret.token.as_deref().and_then(|token| self.keys().open_token(token)))
    }

    /// Adds a service.
    ///
    /// # Errors
    /// A service of that id is there already, or the service is not valid.
    pub fn add_service(&mut self, id: &str, service: &Json) -> Result<Json, GuideError> {
        self.put(Section::Services, id, service, Put::Add)
    }

    /// Changes the named fields of a service; null unsets one. `None` when there is no such service.
    pub fn update_service(&mut self, id: &str, updates: &Json) -> Result<Option<Json>, GuideError> {
        if self.get_service(id)?.is_none() {
            return Ok(None);
        }
        self.put(Section::Services, id, updates, Put::Update).map(Some)
    }

    /// Deletes a service; false when there is none.
    ///
    /// # Errors
    /// A rule still names it: the orchestrator would refuse the whole configuration.
    pub fn delete_service(&mut self, id: &str) -> Result<bool, GuideError> {
        self.delete(Section::Services, id)
    }

    /// Adds a routing rule, or replaces the fields that are given.
    pub fn add_routing_rule(&mut self, task: &str, rule: &Json) -> Result<Json, GuideError> {
        self.put(Section::RoutingRules, task, rule, Put::AddOrUpdate)
    }

    /// Deletes a routing rule; false when there is none.
    pub fn delete_routing_rule(&mut self, task: &str) -> Result<bool, GuideError> {
        self.delete(Section::RoutingRules, task)
    }

    /// Returns the execution settings.
    pub fn get_execution_settings(&mut self) -> Result<Json, GuideError> {
        Ok(self.get(Section::Execution, Configuration::EXECUTION_ID)?.unwrap_or_default())
    }

    /// Changes the named execution settings.
    pub fn update_execution_settings(&mut self, updates: &Json) -> Result<Json, GuideError> {
        self.put(Section::Execution, Configuration::EXECUTION_ID, updates, Put::AddOrUpdate)
    }

    fn list(&mut self, section: Section) -> Result<Vec<Json>, GuideError> {
        let live = self.read()?;
        let objects = live.live.section(section).into_iter().flatten();
        Ok(objects.map(|(id, object)| object_as_json(section, id, object)).collect())
    }

    fn get(&mut self, section: Section, id: &str) -> Result<Option<Json>, GuideError> {
        let live = self.read()?;
        Ok(live.live.get(section, id).map(|object| object_as_json(section, id, object)))
    }

    fn put(&mut self, section: Section, id: &str, json: &Json, how: Put) -> Result<Json, GuideError> {
        let live = self.read()?;
        self.ensure_key(&live)?;
        let no_references = |reference: &SecretReference| Err(format!("{reference} is not looked up here"));
        let object = desired::partial_object(
            section,
            id,
            &json.to_string(),
            &no_references,
            self.keys().fingerprinter(),
        )
        .map_err(GuideError::Invalid)?;
        self.edit(&format!("set {}.{id}", section.name()), |live| match (live.live.get(section, id), how) {
            (Some(_), Put::Add) => {
                let finding = Finding::error("is there already").at_path(format!("{}.{id}", section.name()));
                Err(vec![finding.suggest("update it instead")])
            }
            (Some(row), _) => Ok(update(section, id, &object, row).into_iter().collect()),
            (None, _) => Ok(vec![Step::Create {
                section,
                id: id.into(),
                object: object.clone().into(),
                class: Class::Pending,
            }]),
        })?;
        Ok(self.get(section, id)?.unwrap_or_default())
    }

    fn delete(&mut self, section: Section, id: &str) -> Result<bool, GuideError> {
        if self.read()?.live.get(section, id).is_none() {
            return Ok(false);
        }
        self.edit(&format!("delete {}.{id}", section.name()), |_| {
            Ok(vec![Step::Delete { section, id: id.into() }])
        })?;
        Ok(true)
    }

    /// Writes steps of the caller's choice as a pass does: backed up, read back, recorded.
    fn edit(
        &mut self,
        reason: &str,
        steps: impl Fn(&StoreSnapshot) -> Result<Vec<Step>, Vec<Finding>>,
    ) -> Result<(), GuideError> {
        let how = Edit { decide: &[], mode: Mode::Apply, actor: "library", reason, origin: "library" };
        match sync::edit(self, &how, |live, _| Ok(steps(live)?)) {
            Ok(_) => Ok(()),
            Err(EditError::Refused(refusal)) => Err(GuideError::Invalid(refusal.findings().to_vec())),
            Err(EditError::Store(error)) => Err(error.into()),
        }
    }
}

#[derive(Clone, Copy)]
enum Put {
    Add,
    Update,
    AddOrUpdate,
}

/// Returns an object as it stands in the YAML, its API key masked.
pub(crate) fn object_as_json(section: Section, id: &str, object: &Object) -> Json {
    let mut entries = serde_json::Map::new();
    match section {
        Section::Services => entries.insert("id".into(), id.into()),
        Section::RoutingRules => entries.insert("task_type".into(), id.into()),
        Section::Execution => None,
    };
    for (field, value) in object.iter() {
        let spec = section.spec(field);
        let shown = match value {
            Value::Unset if spec.kind.is_list() => json!([]),
            Value::Unset if spec.default != FieldDefault::Unset => Value::from(spec.default).shown().0,
            value => value.shown().0,
        };
        entries.insert(spec.name.into(), shown);
    }
    Json::Object(entries)
}
