//! Who this agent is to the API server: the pod it runs in, or the host.

use std::time::SystemTime;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use crate::source::ObjectSpec;

/// Who this agent is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The name of its `OxideStore`.
    pub store: String,
    /// Where that lies, when not beside the source.
    pub namespace: Option<String>,
    /// The pod, with which its `OxideStore` goes away.
    pub pod: Option<Pod>,
    /// The database's path.
    pub database: String,
    /// Tells this process from every other one, also of the same name.
    pub instance: String,
}

/// The pod that an agent runs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Its identity, which no later pod of the same name has.
    pub uid: String,
}

impl Identity {
    /// Reads what the downward API says of the pod; without a pod, the host's name stands in, with the database's path
    /// so that two agents on one host are two.
    pub fn of_this_process(database: String, named: Option<&str>) -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let pod = variable("POD_NAME").zip(variable("POD_UID")).map(|(name, uid)| Pod { name, uid });
        let on_host = || {
            let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
            let hash = xxhash_rust::xxh3::xxh3_64(database.as_bytes());
            object_name(&format!("{host}-{:08x}", hash >> 32))
        };
        let store = named.map(str::to_owned).or_else(|| variable("POD_NAME")).unwrap_or_else(on_host);
        let began = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let instance = format!("{store}-{:x}-{:x}", std::process::id(), began.as_nanos());
        Self {
            store,
            namespace: variable("POD_NAMESPACE").filter(|_| pod.is_some()),
            pod,
            database,
            instance,
        }
    }

    /// Who owns this agent's `OxideStore`.
    pub(super) fn owner(&self) -> Option<OwnerReference> {
        self.pod.as_ref().map(|pod| OwnerReference {
            api_version: "v1".into(),
            kind: "Pod".into(),
            name: pod.name.clone(),
            uid: pod.uid.clone(),
            ..OwnerReference::default()
        })
    }
}

/// The label by which the stores of a source are found: its name, or as much of it as a label holds and a hash of all.
/// Source: label values have at most 63 characters, names of objects 253.
pub(super) fn label_of(object: &ObjectSpec) -> String {
    const MAX: usize = 63;
    if object.name.len() <= MAX {
        return object.name.clone();
    }
    let hash = xxhash_rust::xxh3::xxh3_64(object.name.as_bytes());
    format!("{}-{hash:016x}", &object.name[..MAX - 17])
}

/// A text as a name that the API server accepts.
/// Source: RFC 1123 subdomain, <https://kubernetes.io/docs/concepts/overview/working-with-objects/names/>.
fn object_name(text: &str) -> String {
    let lower: String = text
        .to_lowercase()
        .chars()
        .map(
            |char| if char.is_ascii_lowercase() || char.is_ascii_digit() || char == '.' { char } else { '-' },
        )
        .collect();
    lower.trim_matches(['-', '.']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::ObjectKind;

    #[test]
    fn a_name_that_no_label_holds_becomes_one_that_does() {
        let object = |name: String| ObjectSpec { kind: ObjectKind::OxideConfig, namespace: "a".into(), name };
        assert_eq!(label_of(&object("default".into())), "default");
        let (one, two) = ("x".repeat(200) + "1", "x".repeat(200) + "2");
        assert_eq!(label_of(&object(one.clone())).len(), 63);
        assert_ne!(label_of(&object(one)), label_of(&object(two)));
    }

    #[test]
    fn a_host_becomes_a_name_that_the_api_server_accepts() {
        assert_eq!(object_name("Anna's_Laptop.local-1a"), "anna-s-laptop.local-1a");
        assert_eq!(object_name("-x-"), "x");
    }
}
