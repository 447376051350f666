//! The words of the domain: sections, fields, values, paths, secrets, findings.
//!
//! Everything here is plain data. Nothing in this module reads a file, a clock, the environment or a
//! random source, and nothing in it can print a secret.

mod actor;
mod bytes;
mod configuration;
mod decision;
mod field;
mod finding;
mod holder;
mod path;
mod pattern;
mod policy;
mod printable;
mod retention;
mod seconds;
mod secret;
mod snapshot;
mod value;

pub use actor::{agent_name, is_agent, person_name};
pub use bytes::Bytes;
pub use configuration::{Configuration, Object, Objects};
pub use decision::{Decision, DecisionKind, mark, value_mark};
pub use field::{FieldDefault, FieldId, FieldSpec, Kind, Section};
pub use finding::{Finding, Location, Severity};
pub use holder::AgentHolder;
pub use path::{ConfigPath, Selection};
pub use pattern::{PathPattern, Specificity};
pub use policy::{OnConflict, OnDrift, Override, Policy, PolicyLayers, PolicyPart, Prune};
pub use printable::{printable, printable_in_place, printable_lines, reason_of, shown_path};
pub use retention::{Cause, Keepable, Retention, keep};
pub use seconds::Seconds;
pub use secret::{Fingerprint, Fingerprinter, KEY_FILE, KEY_VARIABLE, Secret, SecretReference, SecretText};
pub use snapshot::{
    Base, BaseObject, Carried, CarriedSection, GoodSource, Held, MissingSchema, SourceDigest, SourceDocument,
    SourceSnapshot, StoreFingerprint, StoreSnapshot,
};
pub use value::{Shown, Value, canonical_json, parse_canonical, push_json_string};
