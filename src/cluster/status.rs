//! A report as the status of an `OxideStore`. Pure: it holds nothing that changes when nothing changed.

use super::feed::Seen;
use crate::crd::{Condition, Difference, DifferenceCounts, ObjectCount, OxideStoreStatus};
use crate::model::{Finding, Severity};
use crate::plan::Class;
use crate::report::{Outcome, SyncReport};

/// At most this many differences are listed; the rest is counted. An object should stay small: every one is kept in
/// the memory of the API server.
const MAX_DIFFERENCES: usize = 32;

/// At most this many findings are listed.
const MAX_FINDINGS: usize = 16;

/// The longest text of one difference or finding, in characters.
const MAX_TEXT: usize = 512;

/// Returns the status that says what was seen; conditions without their times.
pub(super) fn status_of(seen: &Seen) -> OxideStoreStatus {
    let report = &*seen.report;
    let differing: Vec<_> =
        report.plan.iter().flat_map(|plan| &plan.left_alone).filter(|left| left.is_difference()).collect();
    let listed = differing.iter().take(MAX_DIFFERENCES).map(|left| Difference {
        path: left.path.to_string(),
        class: left.class.name().to_owned(),
        reason: short(&left.reason.to_string()),
    });
    OxideStoreStatus {
        observed_generation: seen.wishes.store_generation,
        source_generation: seen.generation,
        source_resource_version: seen.resource_version.clone(),
        source_digest: seen.digest.as_ref().map(|digest| digest.0.clone()),
        outcome: outcome_word(report.outcome),
        summary: short(&summary(report)),
        revision: seen.revision,
        counts: counts(report),
        objects: report
            .objects
            .iter()
            .map(|objects| ObjectCount {
                section: objects.section.name().to_owned(),
                source: objects.source.map(number),
                database: number(objects.database),
            })
            .collect(),
        conditions: conditions(seen),
        differences: listed.collect(),
        more_differences: number(differing.len().saturating_sub(MAX_DIFFERENCES)),
        findings: report
            .findings
            .iter()
            .filter(|finding| finding.severity == Severity::Error)
            .take(MAX_FINDINGS)
            .map(|finding| short(&one_line(finding)))
            .collect(),
        last_handled_reconcile_at: seen.wishes.requested_at.clone().filter(|_| report.outcome.compared()),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// What a pass found, or what it wrote.
fn summary(report: &SyncReport) -> String {
    let Some(written) = report.written.as_ref().filter(|written| written.revision.is_some()) else {
        return report.summary.clone();
    };
    let left: usize = report.differences.iter().map(|count| count.count).sum();
    let rest = if left > 0 { format!("; {left} differences stay") } else { String::new() };
    format!(
        "Wrote and verified {} created, {} changed, {} deleted{rest}.",
        written.created, written.updated, written.deleted
    )
}

fn counts(report: &SyncReport) -> DifferenceCounts {
    DifferenceCounts {
        pending: number(report.total(Class::Pending)),
        drift: number(report.total(Class::Drift)),
        conflict: number(report.total(Class::Conflict)),
        extra: number(report.total(Class::Extra)),
        undeclared: number(report.total(Class::Undeclared)),
        unknown: number(report.total(Class::Unknown)),
    }
}

/// A count as Kubernetes writes numbers.
fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// What a status says in a few words each.
fn conditions(seen: &Seen) -> Vec<Condition> {
    let report = &*seen.report;
    let counts = counts(report);
    let failed = report.failure.as_ref();
    let reason = failed.map_or_else(|| camel(report.outcome.name()), |failure| camel(failure.reason));
    let explained = match failed.and_then(|failure| failure.hint.as_deref()) {
        Some(hint) => format!("{}; {hint}", report.summary),
        None => summary(report),
    };
    let written = report.waits_for.is_none()
        && matches!(report.outcome, Outcome::InSync | Outcome::Applied | Outcome::Differences)
        && counts.pending == 0;
    let compared = report.outcome.compared();
    let counted = |count: i64, what: &str| format!("{count} {what}");
    let key_fault = failed.map(|failure| failure.reason).filter(|reason| reason.ends_with("key"));
    let backup_fault = failed.map(|failure| failure.reason).filter(|reason| reason.contains("backup"));
    let source_there = report.outcome != Outcome::SourceUnavailable;
    let mut conditions = vec![
        condition("Ready", Some(written), &reason, &explained),
        condition(
            "Synced",
            compared.then_some(matches!(report.outcome, Outcome::InSync | Outcome::Applied)),
            &reason,
            &summary(report),
        ),
        condition(
            "Drifted",
            Some(counts.drift > 0),
            if counts.drift > 0 { "EditedInDatabase" } else { "NoDrift" },
            &counted(counts.drift, "values differ because somebody changed the database"),
        ),
        condition(
            "Conflicted",
            Some(counts.conflict > 0),
            if counts.conflict > 0 { "BothMoved" } else { "NoConflict" },
            &counted(counts.conflict, "differences wait for a choice"),
        ),
        standing_by(report),
        paused(seen),
        condition(
            "Pinned",
            Some(report.pinned),
            if report.pinned { "Restored" } else { "NotPinned" },
            if report.pinned {
                "a restore keeps this source out until it changes"
            } else {
                "nothing is pinned"
            },
        ),
        condition(
            "SourceAvailable",
            Some(source_there),
            if source_there { "Read" } else { &reason },
            if source_there { "the source was read" } else { &report.summary },
        ),
        condition(
            "KeyMismatch",
            Some(key_fault.is_some() || report.undecryptable > 0),
            key_fault
                .map_or_else(
                    || if report.undecryptable > 0 { "Undecryptable".into() } else { "KeyFits".into() },
                    camel,
                )
                .as_str(),
            &counted(number(report.undecryptable), "stored API keys do not open with the encryption key"),
        ),
        condition(
            "BackupHealthy",
            Some(backup_fault.is_none()),
            if backup_fault.is_some() { "BackupFailed" } else { "NoFault" },
            if backup_fault.is_some() {
                &report.summary
            } else {
                "no backup failed; every write takes one first"
            },
        ),
    ];
    let (in_sync, reason, message) = match seen.consumer {
        Some(true) => (Some(true), "InSync", "the orchestrator runs with what the database holds"),
        Some(false) => (Some(false), "Behind", "the orchestrator does not run with what the database holds"),
        None => (None, "NotAsked", "no reload call is configured, so nobody asks the orchestrator"),
    };
    conditions.push(condition("ConsumerInSync", in_sync, reason, message));
    conditions
}

fn standing_by(report: &SyncReport) -> Condition {
    match &report.waits_for {
        None => condition("StandingBy", Some(false), "Holding", "this agent holds the database"),
        Some(holder) => {
            let message = format!("another agent holds the database: {holder}; this one writes nothing");
            condition("StandingBy", Some(true), "OtherAgent", &message)
        }
    }
}

fn paused(seen: &Seen) -> Condition {
    let (paused, reason, message) = if seen.suspended {
        (true, "Suspended", "an object says `suspend`: nothing is written, differences are still watched")
    } else if seen.report.paused {
        (true, "Paused", "somebody paused writes; `oxide-operator status` says who and until when")
    } else {
        (false, "NotPaused", "writes are not paused")
    };
    condition("Paused", Some(paused), reason, message)
}

fn condition(kind: &str, holds: Option<bool>, reason: &str, message: &str) -> Condition {
    let status = match holds {
        Some(true) => "True",
        Some(false) => "False",
        None => "Unknown",
    };
    Condition {
        kind: kind.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: short(message),
        observed_generation: None,
        last_transition_time: String::new(),
    }
}

/// A finding without its place in a text that is not shown here.
fn one_line(finding: &Finding) -> String {
    let at = finding.path.as_deref().map(|path| format!("{path}: ")).unwrap_or_default();
    let help = finding.suggestion.as_deref().map(|help| format!("; {help}")).unwrap_or_default();
    format!("{at}{}{help}", finding.message)
}

/// A word from a fixed set, as conditions and events write them.
pub(super) fn camel(word: &str) -> String {
    let part = |part: &str| {
        let mut letters = part.chars();
        letters.next().map(|first| first.to_uppercase().chain(letters).collect::<String>())
    };
    word.split('_').filter_map(part).collect()
}

fn outcome_word(outcome: Outcome) -> String {
    let word = camel(outcome.name());
    word.chars().next().map(|first| first.to_lowercase().collect::<String>()).unwrap_or_default()
        + word.get(1..).unwrap_or_default()
}

fn short(text: &str) -> String {
    match text.char_indices().nth(MAX_TEXT) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(seen: &Seen, kind: &str) -> String {
        let found = conditions(seen).into_iter().find(|condition| condition.kind == kind);
        found.expect("every kind is always there").status
    }

    #[test]
    fn a_store_is_ready_when_all_that_is_declared_is_written() {
        for (outcome, ready, synced) in [
            (Outcome::InSync, "True", "True"),
            (Outcome::Applied, "True", "True"),
            (Outcome::Differences, "True", "False"),
            (Outcome::ConflictHeld, "False", "False"),
            (Outcome::Guarded, "False", "False"),
            (Outcome::Invalid, "False", "Unknown"),
            (Outcome::SourceUnavailable, "False", "Unknown"),
            (Outcome::Failed, "False", "Unknown"),
        ] {
            let seen = Seen::ended(outcome);
            assert_eq!(
                (holds(&seen, "Ready"), holds(&seen, "Synced")),
                (ready.into(), synced.into()),
                "{outcome:?}"
            );
        }
    }

    #[test]
    fn an_agent_that_stands_by_says_for_whom() {
        let holds_it = Seen::ended(Outcome::InSync);
        assert_eq!(holds(&holds_it, "StandingBy"), "False");
        let holder = crate::model::AgentHolder {
            host: "node-7".into(),
            pid: 42,
            source: "file:/etc/oxide/default.yaml".into(),
            since: "2026-01-01T00:00:00Z".into(),
        };
        let mut report = SyncReport::clone(&holds_it.report);
        report.waits_for = Some(holder);
        let waits = Seen { report: report.into(), ..holds_it };
        assert_eq!(holds(&waits, "StandingBy"), "True");
        let condition =
            conditions(&waits).into_iter().find(|it| it.kind == "StandingBy").expect("it is there");
        for word in ["node-7", "process 42", "/etc/oxide/default.yaml"] {
            assert!(condition.message.contains(word), "{}", condition.message);
        }
    }

    #[test]
    fn the_same_findings_at_another_time_are_the_same_status() {
        let one = Seen::ended(Outcome::InSync);
        let mut report = SyncReport::clone(&one.report);
        report.started_at += 60.0;
        report.duration_seconds += 1.0;
        let two = Seen { report: report.into(), ..one.clone() };
        assert_eq!(status_of(&one), status_of(&two));
    }

    #[test]
    fn words_are_written_as_kubernetes_writes_them() {
        assert_eq!(camel("source_unavailable"), "SourceUnavailable");
        assert_eq!(outcome_word(Outcome::SourceUnavailable), "sourceUnavailable");
    }
}
