//! Takes over the data directory of a ShibuDB server.
//!
//! This module reads that directory and writes to a store and its accounts; it never changes the
//! source. It does no terminal output: the caller gets progress events and a [`Report`].
//!
//! # What is read
//!
//! | file | what is taken |
//! |---|---|
//! | `users.json` | users: a list of objects, or an object of objects by name; see `users.rs` |
//! | `metadata.json` | spaces: a list or an object by name; see `metadata.rs` |
//! | `<space>/data.db` | the records of a key-value space; see `records.rs` |
//!
//! # What it means
//! The last record of a key wins, and one without a value deletes the key. Imported values overwrite
//! existing keys; existing users stay as they are. So an import can be run again, and must be
//! after an interrupted one: the second run repeats all of it and ends with the same
//! result.

mod json;
mod metadata;
pub mod records;
mod source;
mod users;

use crate::auth::{AccountError, Accounts};
use crate::store::{MAX_KEY_LEN, SpaceError, Store, StoreError, Write};
use records::{Key, Records};

pub use metadata::FoundSpace;
pub use source::{LeftOut, Source, SourceError};
pub use users::FoundUser;

/// The most records in one commit, and its approximate size in bytes.
const BATCH_RECORDS: usize = 4096;
const BATCH_BYTES: usize = 4 << 20;

/// Progress since the previous step.
#[derive(Debug, Clone, Copy)]
pub enum Step<'a> {
    /// A user.
    Users {
        /// How many users have been processed.
        done: usize,
        /// How many there are in all.
        total: usize,
    },
    /// Records of a space.
    Bytes {
        /// The space.
        space: &'a str,
        /// How many bytes of its file were read.
        bytes: u64,
    },
}

/// What an import has done.
#[derive(Debug, Default)]
pub struct Report {
    /// Names of the imported users.
    pub users: Vec<String>,
    /// Names of the users that existed already and stay as they are.
    pub kept_users: Vec<String>,
    /// Each imported space.
    pub spaces: Vec<SpaceReport>,
    /// What was not imported.
    pub left_out: Vec<LeftOut>,
}

/// The result for one space.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct SpaceReport {
    /// Its name.
    pub name: String,
    /// Records whose value was stored. A later record of the same key has replaced the earlier.
    pub records: u64,
    /// Records that delete a key.
    pub deletions: u64,
    /// Values among `records` that are not UTF-8. Clients get them with replacement characters.
    pub not_text: u64,
    /// Records that were not imported: their key is not UTF-8, so that no client could name it, or
    /// too long for the store; or their value is too long, and the key is left without one.
    pub skipped: u64,
    /// The incomplete record at the end of the file, if there is one.
    pub torn: Option<TornTail>,
}

/// An incomplete record at the end of a file: a write that a crash cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TornTail {
    /// Where they begin.
    pub offset: u64,
    /// Their number.
    pub bytes: u64,
}

/// Why an import stopped. Completed work stays; the import can be run again.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The source cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A user could not be stored.
    #[error("cannot import the user \"{username}\": {source}")]
    User {
        /// The user.
        username: String,
        /// Why.
        source: AccountError,
    },
    /// A space could not be made.
    #[error("cannot create the space \"{name}\": {source}")]
    Space {
        /// The space.
        name: String,
        /// Why.
        source: SpaceError,
    },
    /// Records could not be stored.
    #[error("cannot write to the space \"{name}\": {source}")]
    Store {
        /// The space.
        name: String,
        /// Why.
        source: StoreError,
    },
}

/// Imports all of `source`. Users come first, so that a server started on a partial import
/// has them.
///
/// # Errors
/// [`ImportError`]. Completed work stays, and another run does the rest.
pub async fn import(
    source: Source,
    store: &Store,
    accounts: &Accounts,
    mut step: impl FnMut(Step<'_>),
) -> Result<Report, ImportError> {
    let mut report = Report { left_out: source.left_out().to_vec(), ..Report::default() };
    let total = source.users().len();
    for (before, FoundUser { account, hash }) in source.users().iter().enumerate() {
        let username = account.username.clone();
        match accounts.import(account.clone(), hash.clone()).await {
            Ok(()) => report.users.push(username),
            Err(AccountError::UserExists) => report.kept_users.push(username),
            Err(error @ (AccountError::InvalidName(_) | AccountError::InvalidPermissions(_))) => {
                report.left_out.push(LeftOut::user(&username, error));
            }
            Err(source) => return Err(ImportError::User { username, source }),
        }
        step(Step::Users { done: before + 1, total });
    }
    for space in source.spaces() {
        report.spaces.push(import_space(&source, space, store, &mut step).await?);
    }
    Ok(report)
}

async fn import_space(
    source: &Source,
    found: &FoundSpace,
    store: &Store,
    step: &mut impl FnMut(Step<'_>),
) -> Result<SpaceReport, ImportError> {
    let name = &found.name;
    match store.import_space(name, found.wal).await {
        Ok(()) | Err(SpaceError::AlreadyExists) => {}
        Err(source) => return Err(ImportError::Space { name: name.clone(), source }),
    }
    let failed = |source| ImportError::Store { name: name.clone(), source };
    let space = store.space(name).ok_or_else(|| failed(StoreError::NoSuchSpace))?;
    let mut report = SpaceReport { name: name.clone(), ..SpaceReport::default() };
    let Some((file, length)) = source.data(found)? else { return Ok(report) };
    let unreadable = SourceError::file(&source.data_path(found));
    let mut records = Records::new(file, length);
    let (mut batch, mut bytes, mut done) = (Vec::new(), 0, 0);
    let torn = loop {
        let record = match records.read() {
            Ok(Some(record)) => record,
            Ok(None) => break records.torn(),
            Err(error) => return Err(unreadable(error).into()),
        };
        let key = match record.key {
            Key::Text(key) if key.len() <= MAX_KEY_LEN => key.into_bytes(),
            Key::Text(_) | Key::Unusable => {
                report.skipped += 1;
                continue;
            }
        };
        let value = match record.value {
            records::Value::Bytes(value) => {
                report.records += 1;
                report.not_text += u64::from(str::from_utf8(&value).is_err());
                Some(value)
            }
            records::Value::Deletion => {
                report.deletions += 1;
                None
            }
            // Keeping an older value would be wrong.
            records::Value::TooLong => {
                report.skipped += 1;
                None
            }
        };
        bytes += key.len() + value.as_ref().map_or(0, Vec::len);
        batch.push(Write { space: space.clone(), key, value });
        if batch.len() >= BATCH_RECORDS || bytes >= BATCH_BYTES {
            store.write(std::mem::take(&mut batch)).await.map_err(failed)?;
            bytes = 0;
            step(Step::Bytes { space: name, bytes: records.position() - done });
            done = records.position();
        }
    };
    store.write(batch).await.map_err(failed)?;
    step(Step::Bytes { space: name, bytes: length.saturating_sub(done) });
    report.torn = torn;
    Ok(report)
}
