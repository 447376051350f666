//! What an object declares, with the Secrets that it names: followed by `run`, read once by every other command.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{Api, DynamicObject};
use kube::{Client, Error, Resource, ResourceExt as _};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use super::feed::Feed;
use super::follow::{News, Selector, follow};
use super::{block_on, client, source_error, within};
use crate::crd::{OxideConfig, REQUESTED_AT, SUSPEND};
use crate::desired;
use crate::model::{PolicyPart, SecretText, SourceSnapshot};
use crate::settings;
use crate::source::{Declared, ObjectKind, ObjectSpec, SecretTable, SourceError, SourceSpec};

/// Reads a source in Kubernetes once.
///
/// # Errors
/// Why it cannot be had. A Secret that cannot be had is no error here, but a finding where it is named.
pub fn read(source: &SourceSpec) -> Result<Declared, SourceError> {
    let Some(object) = source.object() else {
        return Err(SourceError::Missing { path: source.folder().to_owned() });
    };
    let unreachable = |why: String| SourceError::Unreachable { object: object.clone(), why };
    block_on(read_once(object)).map_err(|error| unreachable(error.to_string()))?
}

async fn read_once(object: &ObjectSpec) -> Result<Declared, SourceError> {
    let failed = |error: Error| source_error(object, &error);
    let client = client().await.map_err(failed)?;
    let words = match &object.kind {
        ObjectKind::ConfigMap(_) => {
            let api: Api<ConfigMap> = Api::namespaced(client.clone(), &object.namespace);
            let get = within(settings::API_ANSWERS_WITHIN, api.get(&object.name));
            of_config_map(object, &get.await.map_err(failed)?)
        }
        ObjectKind::OxideConfig => {
            of_oxide_config(object, &oxide_configs(&client, object).get(&object.name).await.map_err(failed)?)
        }
    }?;
    let secrets: Api<Secret> = Api::namespaced(client, &object.namespace);
    let mut table = SecretTable::new();
    for name in few(desired::secrets_named(&words.snapshot)) {
        let found = match within(settings::API_ANSWERS_WITHIN, secrets.get(&name)).await {
            Ok(secret) => Ok(entries(&secret)),
            Err(error) => Err(no_secret(&name, &error)),
        };
        table.insert(name, found);
    }
    Ok(words.with(Arc::new(table)))
}

/// Follows a source and the Secrets that it names, and feeds what they say. Ends when this account is no longer known.
pub(super) async fn watch(client: &Client, object: &ObjectSpec, feed: &Feed) -> Error {
    let (sender, mut heard) = mpsc::unbounded_channel();
    let mut tasks = JoinSet::new();
    follow_source(&mut tasks, client, object, sender.clone());
    let mut state = Following::default();
    loop {
        tokio::select! {
            Some(news) = heard.recv() => {
                state.hear(news);
                for name in state.unfollowed_secrets() {
                    let task = follow_secret(&mut tasks, client, object, name.clone(), sender.clone());
                    state.followed.insert(name, task);
                }
                if let Some(found) = state.found() {
                    feed.source(found);
                }
            }
            // A task that ends by itself is one whose account is no longer known; others were told to end.
            Some(ended) = tasks.join_next() => {
                if let Ok(error) = ended {
                    return error;
                }
            }
        }
    }
}

/// What the tasks heard.
enum Heard {
    Source(Result<Words, SourceError>),
    /// The API server does not answer; what was heard last may be old.
    Lost(SourceError),
    Back,
    Secret(String, Result<BTreeMap<String, SecretText>, String>),
}

/// What an object says, before its Secrets are had.
#[derive(Clone)]
struct Words {
    snapshot: Arc<SourceSnapshot>,
    policy: Option<PolicyPart>,
    suspended: bool,
    requested_at: Option<String>,
    generation: Option<i64>,
    resource_version: Option<String>,
}

impl Words {
    fn with(self, secrets: Arc<SecretTable>) -> Declared {
        let Self { snapshot, policy, suspended, requested_at, generation, resource_version } = self;
        Declared { snapshot, secrets, policy, suspended, requested_at, generation, resource_version }
    }
}

#[derive(Default)]
struct Following {
    words: Option<Result<Words, Arc<SourceError>>>,
    /// Why the API server was lost, as long as it is.
    lost: Option<Arc<SourceError>>,
    named: BTreeSet<String>,
    /// The tasks that follow Secrets, by name.
    followed: BTreeMap<String, AbortHandle>,
    table: Arc<SecretTable>,
}

impl Following {
    fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Source(words) => {
                self.lost = None;
                if let Ok(words) = &words {
                    self.named = few(desired::secrets_named(&words.snapshot));
                }
                self.words = Some(words.map_err(Arc::new));
            }
            Heard::Lost(error) => self.lost = Some(error.into()),
            Heard::Back => self.lost = None,
            Heard::Secret(name, found) => {
                Arc::make_mut(&mut self.table).insert(name, found);
            }
        }
    }

    /// Secrets that are named and not followed yet. Those that are no longer named are forgotten.
    fn unfollowed_secrets(&mut self) -> Vec<String> {
        let named = &self.named;
        self.followed.retain(|name, task| {
            let still = named.contains(name);
            if !still {
                task.abort();
            }
            still
        });
        Arc::make_mut(&mut self.table).retain(|name, _| named.contains(name));
        self.named.iter().filter(|name| !self.followed.contains_key(*name)).cloned().collect()
    }

    /// What is known now; none while something that is named was not heard of yet.
    fn found(&self) -> Option<Result<Declared, Arc<SourceError>>> {
        if let Some(error) = &self.lost {
            return Some(Err(Arc::clone(error)));
        }
        match self.words.as_ref()? {
            Ok(words) => {
                let complete = self.named.iter().all(|name| self.table.contains_key(name));
                let named = |(name, _): &(&String, &_)| self.named.contains(*name);
                complete.then(|| {
                    let table = self.table.iter().filter(named).map(|(name, it)| (name.clone(), it.clone()));
                    Ok(words.clone().with(Arc::new(table.collect())))
                })
            }
            Err(error) => Some(Err(Arc::clone(error))),
        }
    }
}

fn follow_source(
    tasks: &mut JoinSet<Error>,
    client: &Client,
    object: &ObjectSpec,
    sender: mpsc::UnboundedSender<Heard>,
) {
    let (client, object) = (client.clone(), object.clone());
    match &object.kind {
        ObjectKind::ConfigMap(_) => {
            let api: Api<ConfigMap> = Api::namespaced(client, &object.namespace);
            tasks.spawn(follow_words(api, object, of_config_map, sender));
        }
        ObjectKind::OxideConfig => {
            let api = oxide_configs(&client, &object);
            tasks.spawn(follow_words(api, object, of_oxide_config, sender));
        }
    }
}

async fn follow_words<K>(
    api: Api<K>,
    object: ObjectSpec,
    words: fn(&ObjectSpec, &K) -> Result<Words, SourceError>,
    sender: mpsc::UnboundedSender<Heard>,
) -> Error
where
    K: Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    let missing = || SourceError::NoObject { object: object.clone() };
    follow(&api, &Selector::Name(object.name.clone()), |news| {
        let heard = match news {
            News::All(all) => {
                Heard::Source(all.first().ok_or_else(missing).and_then(|one| words(&object, one)))
            }
            News::Changed(one) => Heard::Source(words(&object, &one)),
            News::Gone(_) => Heard::Source(Err(missing())),
            News::Lost(error) => Heard::Lost(source_error(&object, &error)),
            News::Back => Heard::Back,
        };
        let _ = sender.send(heard);
    })
    .await
}

fn follow_secret(
    tasks: &mut JoinSet<Error>,
    client: &Client,
    object: &ObjectSpec,
    name: String,
    sender: mpsc::UnboundedSender<Heard>,
) -> AbortHandle {
    let api: Api<Secret> = Api::namespaced(client.clone(), &object.namespace);
    tasks.spawn(async move {
        let missing = || Err(format!("Secret {name} does not exist"));
        let selector = Selector::Name(name.clone());
        let mut last = None;
        follow(&api, &selector, |news| {
            let found = match news {
                News::All(all) => all.first().map_or_else(missing, |secret| Ok(entries(secret))),
                News::Changed(secret) => Ok(entries(&secret)),
                News::Gone(_) => missing(),
                // What was heard last stays good while the API server is away; a refusal is an answer, and so is
                // anything for somebody who has heard nothing yet.
                News::Lost(error) if last.is_some() && !is_refusal(&error) => return,
                News::Lost(error) => {
                    let _ = sender.send(Heard::Secret(name.clone(), Err(no_secret(&name, &error))));
                    return;
                }
                News::Back => match last.clone() {
                    Some(found) => found,
                    None => return,
                },
            };
            last = Some(found.clone());
            let _ = sender.send(Heard::Secret(name.clone(), found));
        })
        .await
    })
}

fn is_refusal(error: &Error) -> bool {
    matches!(error, Error::Api(status) if status.code == 403)
}

/// So many Secrets as are followed; one beyond is a finding where it is named.
fn few(names: BTreeSet<String>) -> BTreeSet<String> {
    names.into_iter().take(settings::MAX_SECRETS).collect()
}

fn entries(secret: &Secret) -> BTreeMap<String, SecretText> {
    let data = secret.data.iter().flatten();
    data.filter_map(|(key, value)| {
        let text = std::str::from_utf8(&value.0).ok()?;
        Some((key.clone(), SecretText::new(text.trim_end_matches(['\n', '\r']))))
    })
    .collect()
}

fn no_secret(name: &str, error: &Error) -> String {
    match error {
        Error::Api(status) if status.code == 404 => format!("Secret {name} does not exist"),
        Error::Api(status) if status.code == 403 => {
            format!("this account may not read Secret {name}: allow get, list and watch on it")
        }
        _ => format!("Secret {name} cannot be read: the API server does not answer"),
    }
}

/// `OxideConfig`s as plain data: what a newer schema allows must not keep an older agent from reading the rest.
pub(super) fn oxide_configs(client: &Client, object: &ObjectSpec) -> Api<DynamicObject> {
    let resource = kube::core::ApiResource::erase::<OxideConfig>(&());
    Api::namespaced_with(client.clone(), &object.namespace, &resource)
}

fn of_config_map(object: &ObjectSpec, found: &ConfigMap) -> Result<Words, SourceError> {
    let none = BTreeMap::new();
    Ok(Words {
        snapshot: object.from_config_map(found.data.as_ref().unwrap_or(&none))?.into(),
        policy: None,
        suspended: found.annotations().get(SUSPEND).is_some_and(|value| value == "true"),
        requested_at: found.annotations().get(REQUESTED_AT).cloned(),
        generation: None,
        resource_version: found.resource_version(),
    })
}

fn of_oxide_config(object: &ObjectSpec, found: &DynamicObject) -> Result<Words, SourceError> {
    let spec = &found.data["spec"];
    let policy = match &spec["policy"] {
        serde_json::Value::Null => None,
        policy => Some(policy_of(object, policy)?),
    };
    Ok(Words {
        snapshot: object.from_config(&spec["config"])?.into(),
        policy,
        suspended: spec["suspend"] == true,
        requested_at: found.annotations().get(REQUESTED_AT).cloned(),
        generation: found.metadata.generation,
        resource_version: found.resource_version(),
    })
}

fn policy_of(object: &ObjectSpec, policy: &serde_json::Value) -> Result<PolicyPart, SourceError> {
    let wrong = |why: String| SourceError::Policy { object: object.clone(), why };
    let part: PolicyPart =
        serde_json::from_value(policy.clone()).map_err(|error| wrong(error.to_string()))?;
    match crate::model::Policy::of(&[&part]).tied().first() {
        Some(tie) => Err(wrong(tie.message.clone())),
        None => Ok(part),
    }
}
