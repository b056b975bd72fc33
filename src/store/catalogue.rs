//! The store's own entries in the engine: the spaces, and the system area.

use super::engine::Engine;
use super::space::Space;
use super::{Entry, StoreError, layout};

/// The content of the store's own entries.
pub(super) struct Catalogue {
    pub(super) spaces: Vec<Space>,
    /// Numbers of deleted spaces whose keys may still take up disk space.
    pub(super) deleted: Vec<u64>,
    /// The number for the next space.
    pub(super) next: u64,
}

impl Catalogue {
    pub(super) fn load(engine: &Engine) -> Result<Self, StoreError> {
        const DAMAGED: StoreError = StoreError::Damaged("unreadable entry in the catalogue of spaces");
        let mut spaces = Vec::new();
        for (name, value) in engine.entries(&layout::catalogue_prefix())? {
            spaces.push(layout::space_of_entry(&name, &value).ok_or(DAMAGED)?);
        }
        let deleted = engine
            .entries(&layout::deleted_prefix())?
            .into_iter()
            .map(|(key, _)| layout::number(&key).ok_or(DAMAGED))
            .collect::<Result<_, _>>()?;
        let next = match engine.get(&layout::next_key())? {
            Some(value) => layout::number(&value).ok_or(DAMAGED)?,
            None => layout::OWN + 1,
        };
        Ok(Self { spaces, deleted, next })
    }

    pub(super) fn system_entries(engine: &Engine) -> Result<Vec<Entry>, StoreError> {
        engine.entries(&layout::system_key(&[]))
    }
}
