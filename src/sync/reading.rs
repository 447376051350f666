//! Both sides, read at the same time; and whether the source is still somebody's own words.

use std::sync::Arc;

use super::{Input, Passed, Stop};
use crate::desired::{self, DesiredConfig, ResolveSecrets};
use crate::model::{Finding, SecretReference, SourceSnapshot, StoreSnapshot};
use crate::store::{KeyRing, Store, StoreError};

/// Smaller sources are read after the store: a thread costs more than it saves.
const PARALLEL_BYTES: usize = 256 << 10;

/// Reads the source and the store at the same time: neither needs the other.
pub(super) fn read_both(
    input: &Input<'_>,
    store: &mut Store,
    passed: &mut Passed,
) -> Result<(Arc<DesiredConfig>, StoreSnapshot), Stop> {
    if let Some(known) = &passed.desired {
        return Ok((Arc::clone(known), store.read()?));
    }
    let keys = Arc::clone(store.keys());
    let read_source = || read_source(input.source, input.secrets, &keys);
    let size: usize = input.source.documents.iter().map(|document| document.bytes.len()).sum();
    let (desired, live) = if size < PARALLEL_BYTES {
        (read_source(), store.read())
    } else {
        std::thread::scope(|scope| {
            let live = scope.spawn(|| store.read());
            (read_source(), live.join().unwrap_or(Err(StoreError::Stale)))
        })
    };
    let desired = Arc::new(desired.map_err(Stop::Invalid)?);
    passed.desired = Some(Arc::clone(&desired));
    Ok((desired, live?))
}

/// Reads a source: tokens in it are opened with `keys`, every other secret is found by `secrets`.
///
/// # Errors
/// Returns every finding.
pub fn read_source(
    source: &SourceSnapshot,
    secrets: &(dyn ResolveSecrets + Sync),
    keys: &KeyRing,
) -> Result<DesiredConfig, Vec<Finding>> {
    desired::read(source, &with_tokens(secrets, keys), keys.fingerprinter())
}

/// Finds every secret that a source or a snippet refers to: tokens are opened with `keys`, the rest is found by `secrets`.
pub fn with_tokens<'a>(
    secrets: &'a (dyn ResolveSecrets + Sync),
    keys: &'a KeyRing,
) -> impl ResolveSecrets + Sync + 'a {
    |reference: &SecretReference| match reference {
        SecretReference::Token(token) => {
            keys.open_token(token).ok_or_else(|| "no key at hand decrypts this token".to_owned())
        }
        elsewhere => {
            let found = secrets.resolve(elsewhere)?;
            // Whoever writes a source must not have it sent to an address of their choice.
            if keys.is_in(found.expose()) {
                return Err(format!("{elsewhere} holds the encryption key of the database, and no API key"));
            }
            Ok(found)
        }
    }
}

/// Refuses a source that another program wrote anew over the one that was good.
pub(super) fn refuse_clobbered(
    input: &Input<'_>,
    store: &mut Store,
    desired: &DesiredConfig,
    live: &StoreSnapshot,
) -> Result<(), Stop> {
    if live.good_source.as_ref().is_none_or(|known| known.digest == *desired.digest()) {
        return Ok(());
    }
    // Only a file can be written anew by a program that reads YAML and dumps it: an object has no such words to lose.
    if !input.source.is_on_disk() || !desired::may_be_clobbered(input.source) {
        return Ok(());
    }
    // Another file is another source: only over its own file can one be written anew.
    let same_place = |good: &SourceSnapshot| good.origin == input.source.origin;
    let Some(good) = store.good_source()?.filter(same_place) else { return Ok(()) };
    let keys = Arc::clone(store.keys());
    let Ok(before) = read_source(&good, input.secrets, &keys) else { return Ok(()) };
    match desired::clobbered((&good, &before), (input.source, desired)) {
        Some(signs) => Err(Stop::Clobbered(signs.join("; "))),
        None => Ok(()),
    }
}

/// Says so where what is agreed on is from another source: people mix up two checkouts.
pub(super) fn another_source(source: &SourceSnapshot, live: &StoreSnapshot) -> Option<Finding> {
    let other = live.place.as_ref().filter(|other| !crate::place::is_same_source(other, &place(source)))?;
    let finding = Finding::warning(format!("the database was kept equal to another source, {other}"));
    Some(finding.suggest("what differs from that one counts as edited in the source; is this the right one?"))
}

/// Where a source is, under the name that it has from every folder: two agents may both call theirs
/// `config/default.yaml`.
pub(super) fn place(source: &SourceSnapshot) -> String {
    crate::place::absolute_source(&source.origin)
}
