//! Events: what happened, once each time it begins, on the `OxideStore` where `kubectl describe` shows it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};

use super::feed::Seen;
use super::within;
use crate::crd::{Condition, OxideStoreStatus};
use crate::settings;

/// At most this many paths are named in one event; a note may have 1 KiB.
const MAX_PATHS: usize = 8;

/// The longest note, in bytes.
/// Source: `events.k8s.io/v1` `note`, "maximal length of this field is 1kB".
const MAX_NOTE: usize = 1_000;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Happened {
    pub(super) warns: bool,
    pub(super) reason: &'static str,
    pub(super) note: String,
}

/// Returns what happened between two statuses, the later of which was made from `seen`. Pure.
pub(super) fn between(
    before: Option<&OxideStoreStatus>,
    after: &OxideStoreStatus,
    (told, seen): (Option<&Seen>, &Seen),
) -> Vec<Happened> {
    let mut happened = Vec::new();
    let mut note = |warns, reason, note: String| happened.push(Happened { warns, reason, note });
    // Told by the revision, since a quick next pass may already have found nothing to do.
    let written = seen.report.written.as_ref().and_then(|written| written.revision);
    let known = before.map_or(written.is_none(), |before| before.revision == after.revision);
    if let Some(revision) = after.revision.filter(|_| !known) {
        note(false, "Applied", applied(revision, seen));
    }
    let began = |kind: &str, wanted: &str| {
        let is = |status: &OxideStoreStatus| condition(status, kind).is_some_and(|it| it.status == wanted);
        is(after) && !before.is_some_and(is)
    };
    if let Some(paths) = new_paths(before, after, "drift") {
        note(true, "Drifted", format!("somebody changed the database: {paths}"));
    } else if began("Drifted", "False") && before.is_some() {
        note(false, "DriftGone", "both sides agree again where the database had been changed".into());
    }
    if let Some(paths) = new_paths(before, after, "conflict") {
        let how = "both sides moved apart; choose with `oxide-operator explain PATH`";
        note(true, "ConflictHeld", format!("{how}: {paths}"));
    }
    // A sidecar starts before the orchestrator, which therefore never follows at first.
    let followed =
        before.and_then(|it| condition(it, "ConsumerInSync")).is_some_and(|it| it.status == "True");
    for (kind, wanted, reason) in [
        ("SourceAvailable", "False", "SourceUnavailable"),
        ("KeyMismatch", "True", "KeyMismatch"),
        ("BackupHealthy", "False", "BackupFailed"),
        ("ConsumerInSync", "False", "ConsumerBehind"),
    ] {
        if began(kind, wanted) && (kind != "ConsumerInSync" || followed) {
            note(true, reason, condition(after, kind).map(|it| it.message.clone()).unwrap_or_default());
        }
    }
    if after.outcome == "invalid" && before.is_none_or(|before| before.findings != after.findings) {
        note(true, "InvalidSource", after.findings.join("\n"));
    }
    if began("Paused", "True") {
        note(false, "Paused", condition(after, "Paused").map(|it| it.message.clone()).unwrap_or_default());
    }
    let (count, paths) = &seen.promoted;
    if *count > told.map_or(0, |told| told.promoted.0) {
        note(false, "Promoted", format!("written into the source: {}", paths.join(", ")));
    }
    if !seen.blocked.is_empty() && told.is_none_or(|told| told.blocked != seen.blocked) {
        note(true, "PromotionBlocked", seen.blocked.join("\n"));
    }
    happened
}

fn applied(revision: i64, seen: &Seen) -> String {
    match &seen.report.written {
        Some(written) if written.revision == Some(revision) => format!(
            "revision {revision}: {} created, {} changed, {} deleted; {} rows read back and verified",
            written.created, written.updated, written.deleted, written.verified
        ),
        _ => format!("revision {revision}; `oxide-operator show {revision}` says what it changed"),
    }
}

fn condition<'a>(status: &'a OxideStoreStatus, kind: &str) -> Option<&'a Condition> {
    status.conditions.iter().find(|condition| condition.kind == kind)
}

/// The differences of a class that were not listed before, as text; none when there are none.
fn new_paths(before: Option<&OxideStoreStatus>, after: &OxideStoreStatus, class: &str) -> Option<String> {
    let listed = |status: &OxideStoreStatus, path: &str| {
        status.differences.iter().any(|it| it.class == class && it.path == path)
    };
    let of_class = after.differences.iter().filter(|it| it.class == class).map(|it| &*it.path);
    let new: Vec<&str> = of_class.filter(|path| !before.is_some_and(|before| listed(before, path))).collect();
    let more = new.len().saturating_sub(MAX_PATHS);
    let list = new[..new.len() - more].join(", ");
    match (new.is_empty(), more) {
        (true, _) => None,
        (false, 0) => Some(list),
        (false, more) => Some(format!("{list} and {more} more")),
    }
}

/// Sends events. The same one again is counted in the one that was sent; one that says something else is another.
pub(super) struct Events {
    client: Client,
    reporter: Reporter,
    /// Of each reason the note that was sent last. A recorder counts whatever has the same reason, so each note has its own.
    sent: BTreeMap<&'static str, (String, Recorder)>,
}

impl Events {
    pub(super) fn new(client: &Client, instance: &str) -> Self {
        let reporter = Reporter { controller: "oxide-operator".into(), instance: Some(instance.to_owned()) };
        Self { client: client.clone(), reporter, sent: BTreeMap::new() }
    }

    /// Sends what happened to an object. An event that cannot be sent is gone: the status says what holds now.
    pub(super) async fn send(&mut self, regarding: &ObjectReference, happened: Vec<Happened>) {
        for Happened { warns, reason, note } in happened {
            let note = cut(note);
            let event = Event {
                type_: if warns { EventType::Warning } else { EventType::Normal },
                reason: reason.to_owned(),
                note: Some(note.clone()),
                action: "Reconcile".to_owned(),
                secondary: None,
            };
            let recorder = match self.sent.remove(reason) {
                Some((told, recorder)) if told == note => recorder,
                _ => Recorder::new(self.client.clone(), self.reporter.clone()),
            };
            let sent = within(settings::API_ANSWERS_WITHIN, recorder.publish(&event, regarding)).await;
            if let Err(error) = sent {
                tracing::debug!(reason, error = %super::chain(&error), "an event could not be sent");
            }
            self.sent.insert(reason, (note, recorder));
        }
    }
}

fn cut(mut note: String) -> String {
    if note.len() > MAX_NOTE {
        let mut end = MAX_NOTE;
        while !note.is_char_boundary(end) {
            end -= 1;
        }
        note.truncate(end);
        note.push('…');
    }
    note
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::status::status_of;
    use crate::report::Outcome;

    fn reasons(before: Option<&OxideStoreStatus>, after: &Seen) -> Vec<&'static str> {
        between(before, &status_of(after), (None, after)).into_iter().map(|it| it.reason).collect()
    }

    #[test]
    fn an_event_is_sent_when_a_state_begins_and_not_while_it_lasts() {
        let (fine, away) = (Seen::ended(Outcome::InSync), Seen::ended(Outcome::SourceUnavailable));
        assert_eq!(reasons(None, &fine), [""; 0]);
        assert_eq!(reasons(Some(&status_of(&fine)), &away), ["SourceUnavailable"]);
        assert_eq!(reasons(Some(&status_of(&away)), &away), [""; 0]);
    }

    #[test]
    fn a_promotion_is_told_once_however_many_passes_follow() {
        let fine = Seen::ended(Outcome::InSync);
        let promoted = Seen { promoted: (1, vec!["services.a.enabled".into()]), ..fine.clone() };
        let status = status_of(&fine);
        let reasons = |told: &Seen| -> Vec<&str> {
            between(Some(&status), &status, (Some(told), &promoted)).into_iter().map(|it| it.reason).collect()
        };
        assert_eq!(reasons(&fine), ["Promoted"]);
        assert_eq!(reasons(&promoted), [""; 0]);
    }

    #[test]
    fn a_long_note_is_cut_where_the_api_server_would_refuse_it() {
        assert!(cut("ä".repeat(2_000)).len() <= 1_024);
    }
}
