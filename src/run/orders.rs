//! What the web page and the API ask for, done by the thread that owns the store, between two passes.

use std::sync::Arc;

use super::agent::Agent;
use super::answer::wall_clock;
use crate::report::Outcome;
use crate::sync::Mode;
use crate::web::{Desk, Order, Refused, Seen, carry_out};

impl Agent {
    /// Carries an order out, lets a pass see what it changed, and answers.
    pub(super) fn take_order(&mut self, order: Order) {
        if order.ask.mode == Mode::Apply
            && let Some(failure) = self.refusal_of_stand_by()
        {
            let _ = order.reply.send(Err(Refused::from_failure(Some(failure))));
            return;
        }
        // What the order was made for may be newer than what was read last.
        self.read_source(false);
        let secrets = self.secrets();
        let mut desk = Desk {
            store: &mut self.store,
            at: &self.options.source,
            source: self.source.current.clone().filter(|_| self.source.is_there()),
            policy: &self.policy,
            secrets: &secrets,
            now: wall_clock(),
        };
        let done = carry_out(&mut desk, &order.ask);
        if order.ask.mode == Mode::Apply && done.is_ok() {
            self.read_source(false);
            self.pass();
        }
        let _ = order.reply.send(done);
    }

    /// Shows everybody what the pass saw.
    pub(super) fn post(&self, report: &Arc<crate::report::SyncReport>) {
        let Some(board) = &self.board else { return };
        let refused = report.outcome == Outcome::SourceClobbered;
        let usable = self.source.is_there() && self.source.known.is_some() && !refused;
        let (source, desired) = match &self.source.good {
            Some((source, desired)) if !usable => (Some(Arc::clone(source)), Some(Arc::clone(desired))),
            _ => (self.source.current.clone(), self.source.known.clone()),
        };
        let policy = self.policy.clone();
        board.post(Seen { report: Arc::clone(report), source, desired, policy });
    }
}
