//! The database as requests read it: through a read-only connection of its own, read anew only when somebody committed.

use std::sync::Arc;

use super::tag;
use crate::model::{Section, StoreSnapshot};
use crate::store::{Access, KeySources, Store, StoreError};

/// The database at one moment, ready to be listed.
#[derive(Default)]
pub(crate) struct View {
    /// What it holds.
    pub(crate) store: StoreSnapshot,
    /// Whether there is a database.
    pub(crate) exists: bool,
    /// Ids by name, for pages of lists.
    services: Vec<Box<str>>,
    rules: Vec<Box<str>>,
}

impl View {
    fn of(store: StoreSnapshot, exists: bool) -> Self {
        let ids = |section| {
            let mut ids: Vec<Box<str>> =
                store.live.section(section).into_iter().flat_map(|objects| objects.keys().cloned()).collect();
            ids.sort_unstable();
            ids
        };
        let (services, rules) = (ids(Section::Services), ids(Section::RoutingRules));
        Self { store, exists, services, rules }
    }

    /// The ids of a section, sorted.
    pub(crate) fn ids(&self, section: Section) -> &[Box<str>] {
        match section {
            Section::Services => &self.services,
            Section::RoutingRules => &self.rules,
            Section::Execution => &[],
        }
    }

    /// The tag of everything in the database.
    pub(crate) fn tag(&self) -> String {
        tag::of_rows(self.store.fingerprint)
    }
}

/// Reads the database, as often as it changes.
pub(crate) struct Reader {
    store: Store,
    keys: KeySources,
    held: Option<(i64, Arc<View>)>,
}

impl Reader {
    pub(crate) fn new(database: &std::path::Path, keys: KeySources) -> Result<Self, StoreError> {
        Ok(Self { store: Store::at(database, Access::Read, &keys)?, keys, held: None })
    }

    /// The database as it is now.
    pub(crate) fn look(&mut self) -> Result<Arc<View>, StoreError> {
        if self.store.has_moved() {
            self.store.close();
            self.held = None;
        }
        if !self.store.exists() {
            return Ok(Arc::default());
        }
        // The counter first: a commit after it makes the next look read again.
        let version = self.store.data_version()?;
        if let Some((held, view)) = &self.held
            && *held == version
        {
            return Ok(Arc::clone(view));
        }
        let mut snapshot = self.store.read()?;
        if snapshot.undecryptable > 0 {
            // The key may have been changed since.
            self.store.reload_keys(&self.keys)?;
            snapshot = self.store.read()?;
        }
        let view = Arc::new(View::of(snapshot, true));
        self.held = Some((version, Arc::clone(&view)));
        Ok(view)
    }

    /// The store, to read of it what a view does not hold.
    pub(crate) fn store(&mut self) -> &mut Store {
        &mut self.store
    }

    /// Gives the memory of the view back.
    pub(crate) fn forget(&mut self) {
        self.held = None;
    }
}
