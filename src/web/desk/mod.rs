//! What the API and the pages ask of the owner of the store, and how it is carried out there: one at a time, through
//! the same plan, backup and verification as the command line.

mod ask;
mod choice;
mod refused;

use std::sync::Arc;
use std::time::SystemTime;

use super::tag::{self, Expected};
use crate::actions::{self, acceptances, decided, diff, pin};
use crate::desired::{DesiredConfig, ResolveSecrets};
use crate::model::{
    ConfigPath, Configuration, Decision, DecisionKind, Finding, PathPattern, Policy, Selection,
    SourceSnapshot, StoreSnapshot,
};
use crate::plan::{self, Circumstances, Plan};
use crate::promotion::{PromotedKeys, Sides};
use crate::report::Outcome;
use crate::source::SourceSpec;
use crate::store::{Decided, Store, check_backup, read_backup};
use crate::sync::{Edit, Input, Mode, Pass, edit, read_source, sync_once};
pub(crate) use ask::{Ask, DecisionMade, Done, Earlier, Order, Promoted, SyncHow, What};
pub(crate) use choice::{How, differing};
pub(crate) use refused::Refused;

/// What somebody needs at hand to carry out an [`Ask`].
pub(crate) struct Desk<'a> {
    pub(crate) store: &'a mut Store,
    /// Where the source is.
    pub(crate) at: &'a SourceSpec,
    /// The source as it is now; none while it cannot be read.
    pub(crate) source: Option<Arc<SourceSnapshot>>,
    pub(crate) policy: &'a Policy,
    /// Finds the secrets that the source refers to.
    pub(crate) secrets: &'a (dyn ResolveSecrets + Sync),
    /// Seconds since the epoch.
    pub(crate) now: f64,
}

/// Carries out what is asked, or says what would be done.
///
/// # Errors
/// Why not; nothing was written then.
pub(crate) fn carry_out(desk: &mut Desk<'_>, ask: &Ask) -> Result<Done, Refused> {
    let done = match &ask.what {
        What::Put { section, id, fields, how } => {
            desk.edit(ask, &format!("set {}", ConfigPath::object(*section, id)), &[], |live, store| {
                choice::put(live, store, (*section, id), fields, *how, &ask.expected)
            })
        }
        What::Remove { section, id, cascade } => {
            desk.edit(ask, &format!("remove {}", ConfigPath::object(*section, id)), &[], |live, _| {
                choice::remove(live, (*section, id), *cascade, &ask.expected)
            })
        }
        What::Configure { text, how, confirm_prune } => desk.edit(ask, "configure", &[], |live, store| {
            expect_rows(live, ask)?;
            choice::configure(live, store, text, *how, *confirm_prune)
        }),
        What::Revert { paths } => desk.revert(ask, paths),
        What::Promote { paths, keys } => desk.promote(ask, paths, *keys),
        What::Accept { paths, until } => desk.accept(ask, paths, *until),
        What::Sync(how) => desk.sync(ask, *how),
        What::Pause { scope, until } => desk.pause(ask, scope.clone(), *until),
        What::Withdraw { kind, scope } => desk.withdraw(ask, *kind, scope.as_ref()),
        What::Restore { from, only, confirm_prune, pin } => {
            desk.restore(ask, from, only.as_ref(), *confirm_prune, *pin)
        }
        What::BackUp => desk.back_up(ask),
    }?;
    Ok(Done { dry_run: ask.mode == Mode::Plan, ..done })
}

impl Desk<'_> {
    /// Writes the steps that `choose` makes of the database.
    fn edit(
        &mut self,
        ask: &Ask,
        what: &str,
        decide: &[Decision],
        mut choose: impl FnMut(&StoreSnapshot, &Store) -> Result<Vec<plan::Step>, Refused>,
    ) -> Result<Done, Refused> {
        let how = Edit {
            mode: ask.mode,
            actor: &ask.actor,
            reason: ask.reason.as_deref().unwrap_or(what),
            origin: ask.origin,
            decide,
        };
        let mut refused = None;
        let edited = edit(self.store, &how, |live, store| {
            choose(live, store).map_err(|why| {
                let findings = why.findings().to_vec();
                refused = Some(why);
                findings.into()
            })
        });
        match (edited, refused) {
            (Err(crate::sync::EditError::Refused(_)), Some(why)) => Err(why),
            (Err(error), _) => Err(error.into()),
            (Ok(edited), _) => {
                Ok(Done { plan: Some(edited.plan.document()), written: edited.written, ..Done::default() })
            }
        }
    }

    fn revert(&mut self, ask: &Ask, paths: &[Selection]) -> Result<Done, Refused> {
        let Both { desired, .. } = self.sides()?;
        let names: Vec<String> = paths.iter().map(ToString::to_string).collect();
        let (policy, circumstances) = (self.policy.clone(), self.circumstances());
        self.edit(ask, &format!("revert {}", names.join(", ")), &[], |live, _| {
            // On the rows that are written over, not on those of a moment ago.
            let plan = plan::plan(&desired, live, &policy, &circumstances);
            expect_differences(&plan, &desired, live, paths, ask)?;
            Ok(actions::revert_steps(paths, &desired, live)?)
        })
    }

    fn promote(&mut self, ask: &Ask, paths: &[Selection], keys: PromotedKeys) -> Result<Done, Refused> {
        let both = self.sides()?;
        self.store.keys().ensure_fits(&both.live)?;
        expect_differences(&both.plan, &both.desired, &both.live, paths, ask)?;
        let ring = Arc::clone(self.store.keys());
        let Both { source, desired, live, plan } = &both;
        let sides = Sides { source, desired, store: live, plan };
        let promotion = actions::look(&sides, paths, keys, |after| read_source(after, self.secrets, &ring))
            .map_err(Refused::Invalid)?;
        if promotion.promoted.is_empty() && !promotion.blocked.is_empty() {
            return Err(Refused::Invalid(promotion.blocked));
        }
        if ask.mode == Mode::Apply {
            actions::write(self.at, &promotion.documents).map_err(|error| Refused::SourceNotWritten {
                message: error.to_string(),
                hint: error.hint(),
            })?;
        }
        let promoted = Promoted {
            paths: promotion.promoted.iter().map(ToString::to_string).collect(),
            blocked: promotion.blocked,
            files: promotion.documents.iter().map(|document| document.name.clone()).collect(),
            diff: promotion.documents.iter().map(diff).collect(),
        };
        Ok(Done { promoted: Some(promoted), ..Done::default() })
    }

    fn accept(&mut self, ask: &Ask, paths: &[Selection], until: Option<f64>) -> Result<Done, Refused> {
        let sides = self.sides()?;
        expect_differences(&sides.plan, &sides.desired, &sides.live, paths, ask)?;
        let reason = ask.reason.as_deref().unwrap_or("accepted");
        let made = acceptances(
            &sides.plan,
            |path| paths.iter().any(|wanted| wanted.covers(path)),
            &sides.desired,
            &sides.live,
        );
        let made = made
            .into_iter()
            .map(|(kind, scope)| decided(kind, Some(scope), (&ask.actor, reason), self.now, until));
        self.decide(ask, &Decided { decide: made.collect(), forget: Vec::new() })
    }

    fn pause(&mut self, ask: &Ask, scope: Option<PathPattern>, until: Option<f64>) -> Result<Done, Refused> {
        let live = self.store.read()?;
        if live.decisions.iter().any(|it| it.kind == DecisionKind::Pause && it.scope == scope) {
            let finding = Finding::error("is paused already");
            return Err(Refused::Exists(Box::new(finding.suggest("end that pause first, to begin another"))));
        }
        let reason = ask.reason.as_deref().unwrap_or("paused");
        let pause = decided(DecisionKind::Pause, scope, (&ask.actor, reason), self.now, until);
        self.decide(ask, &Decided { decide: vec![pause], forget: Vec::new() })
    }

    fn withdraw(
        &mut self,
        ask: &Ask,
        kind: Option<&str>,
        scope: Option<&PathPattern>,
    ) -> Result<Done, Refused> {
        let live = self.store.read()?;
        let is_meant = |it: &&Decision| {
            kind.is_none_or(|kind| it.kind.name() == kind)
                && scope.is_none_or(|scope| it.scope_text() == scope.to_string())
        };
        let ended: Vec<&Decision> = live.decisions.iter().filter(is_meant).collect();
        if ended.is_empty() {
            return Err(Refused::not_found("nothing was decided there"));
        }
        expect(ask, &tag::of_rows(live.fingerprint))?;
        let forget = ended.iter().map(|it| (it.kind.name().to_owned(), it.scope_text())).collect();
        let decisions = ended.into_iter().map(DecisionMade::from).collect();
        self.decide(ask, &Decided { decide: Vec::new(), forget })?;
        Ok(Done { decisions, ..Done::default() })
    }

    fn decide(&mut self, ask: &Ask, decided: &Decided) -> Result<Done, Refused> {
        if ask.mode == Mode::Apply && !(decided.decide.is_empty() && decided.forget.is_empty()) {
            if !self.store.exists() {
                return Err(Refused::not_found("there is no database yet"));
            }
            self.store.decide(decided)?;
        }
        let decisions = decided.decide.iter().map(DecisionMade::from).collect();
        Ok(Done { decisions, ..Done::default() })
    }

    fn sync(&mut self, ask: &Ask, how: SyncHow) -> Result<Done, Refused> {
        let Both { source, desired, live, .. } = self.sides()?;
        expect(ask, &tag::of_sides(Some(desired.digest()), live.fingerprint))?;
        let policy = Policy { confirm_prune: how.confirm_prune, ..self.policy.clone() };
        let seen = (desired.digest().clone(), live.fingerprint);
        let reason = ask.reason.as_deref().unwrap_or("apply");
        let pass = Pass {
            mode: ask.mode,
            expected: matches!(ask.expected, Expected::Tags(_)).then_some(seen),
            while_paused: how.while_paused,
            release_pin: how.release_pin,
            ..Pass::apply(&policy, &ask.actor, reason)
        };
        let input = Input { source: &source, known: Some(desired), secrets: self.secrets };
        let report = sync_once(&input, self.store, &pass).report;
        match report.outcome {
            Outcome::Stale => Err(Refused::Changed),
            Outcome::Invalid => Err(Refused::Invalid(report.findings)),
            Outcome::Failed
            | Outcome::SourceClobbered
            | Outcome::SourceUnavailable
            | Outcome::StoreMissing => Err(Refused::from_failure(report.failure)),
            _ => Ok(Done {
                plan: report.plan.map(|plan| plan.document()),
                written: report.written,
                ..Done::default()
            }),
        }
    }

    fn restore(
        &mut self,
        ask: &Ask,
        from: &Earlier,
        only: Option<&Selection>,
        confirmed: Option<usize>,
        pins: bool,
    ) -> Result<Done, Refused> {
        let (state, name) = self.earlier(from)?;
        let what = match only {
            Some(only) => format!("restore {only} from {name}"),
            None => format!("restore {name}"),
        };
        let reason = ask.reason.as_deref().unwrap_or(&what);
        let digest = self.source.as_ref().filter(|_| pins).map(|source| source.digest());
        let pin: Vec<Decision> =
            digest.map(|digest| pin(digest, only, (&ask.actor, reason), self.now)).into_iter().collect();
        self.edit(ask, &what, &pin, |live, _| {
            expect_rows(live, ask)?;
            Ok(plan::restore(&state, &live.live, only, confirmed)?)
        })
    }

    fn earlier(&mut self, from: &Earlier) -> Result<(Configuration, String), Refused> {
        match from {
            Earlier::Revision(number) => {
                let name = format!("revision {number}");
                let missing = || Refused::not_found(format!("there is no {name}"));
                let state = self.store.recorded_state(*number)?.ok_or_else(missing)?;
                Ok((state.configuration, name))
            }
            Earlier::Backup(name) => {
                let missing = || Refused::not_found(format!("there is no backup {name}"));
                let backup = actions::backup_called(self.store, name).ok_or_else(missing)?;
                if !check_backup(&backup.path, self.store.keys()).verdict.is_good() {
                    let finding = Finding::error("this backup cannot be restored");
                    return Err(Refused::Invalid(vec![finding.suggest("its check says why")]));
                }
                Ok((read_backup(&backup.path, self.store.keys())?.live, name.clone()))
            }
        }
    }

    fn back_up(&mut self, ask: &Ask) -> Result<Done, Refused> {
        if ask.mode == Mode::Plan {
            return Ok(Done::default());
        }
        let reason = ask.reason.as_deref().unwrap_or("asked for");
        let source = self.source.as_deref();
        let now = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs_f64(self.now);
        match actions::back_up(self.store, source, reason, now)? {
            Some(backup) => Ok(Done { backup: Some(actions::name_of(&backup.path)), ..Done::default() }),
            None => Err(Refused::not_found("there is nothing to back up yet")),
        }
    }

    /// Both sides as they are now, and what a pass would do.
    fn sides(&mut self) -> Result<Both, Refused> {
        let source = self.source.clone().ok_or(Refused::NoSource)?;
        let desired = read_source(&source, self.secrets, self.store.keys()).map_err(Refused::Invalid)?;
        let live = self.store.read()?;
        let plan = plan::plan(&desired, &live, self.policy, &self.circumstances());
        Ok(Both { source, desired: Arc::new(desired), live, plan })
    }

    fn circumstances(&self) -> Circumstances<'static> {
        Circumstances { now: self.now, ..Circumstances::default() }
    }
}

struct Both {
    source: Arc<SourceSnapshot>,
    desired: Arc<DesiredConfig>,
    live: StoreSnapshot,
    plan: Plan,
}

fn expect(ask: &Ask, present: &str) -> Result<(), Refused> {
    if ask.expected.admits(Some(present)) { Ok(()) } else { Err(Refused::Changed) }
}

fn expect_rows(live: &StoreSnapshot, ask: &Ask) -> Result<(), Refused> {
    expect(ask, &tag::of_rows(live.fingerprint))
}

/// Refuses to answer differences that are others than those that were shown.
fn expect_differences(
    plan: &Plan,
    desired: &DesiredConfig,
    live: &StoreSnapshot,
    paths: &[Selection],
    ask: &Ask,
) -> Result<(), Refused> {
    let all = differing(plan);
    let wanted = all.iter().filter(|path| paths.iter().any(|wanted| wanted.covers(path)));
    if ask.expected.admits(Some(&tag::of_differences(all.iter(), desired, live))) {
        return Ok(());
    }
    expect(ask, &tag::of_differences(wanted, desired, live))
}
