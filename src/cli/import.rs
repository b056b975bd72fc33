//! `shibudb import`: imports the data of a ShibuDB server.
//!
//! A slow import shows its progress on standard error. At the end, standard output lists what was done and what
//! was left out.

use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use bytesize::ByteSize;
use clap::Args;

use super::progress::Progress;
use super::{Failure, Files, admin_password, failed, say};
use crate::auth::{Accounts, FirstAdmin, HashCost};
use crate::daemon;
use crate::import::{Report, Source, SpaceReport, Step, import};
use crate::names::shown;
use crate::owner::{self, Owner};
use crate::private;
use crate::store::{Durability, OpenError, Store};

/// The progress line on a terminal.
const STYLE: &str = "{wide_bar} {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left  {msg}";

#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// The data directory of the ShibuDB server, which must not run; it is only read
    dir: PathBuf,
    #[command(flatten)]
    files: Files,
}

pub(super) fn run(args: &ImportArgs) -> Result<(), Failure> {
    let source = Source::open(&args.dir).map_err(failed)?;
    let total = source.bytes().map_err(failed)?;
    let data_dir = daemon::data_dir_for(args.files.config.as_deref(), args.files.data_dir.as_deref())
        .map_err(|error| Failure { status: error.status(), message: error.to_string() })?;
    make_own(&data_dir)?;
    let store = Store::open(&data_dir, Durability::Always).map_err(|error| match error {
        OpenError::InUse { .. } => failed(format!(
            "a server is running on {}; stop it first, import, and start it again",
            data_dir.display()
        )),
        other => failed(other),
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let summary = runtime.block_on(async {
        let accounts = Accounts::open(store.clone(), HashCost::default()).map_err(failed)?;
        let admin = if source.has_admin() || accounts.has_admin() {
            FirstAdmin::NotNeeded
        } else {
            // With other users but without an admin, no start of the server would make one.
            let given = std::env::var(admin_password::VARIABLE).ok().filter(|password| !password.is_empty());
            accounts.ensure_admin(given.as_deref(), &data_dir).await.map_err(failed)?
        };
        let mut progress = Progress::new(Some(total), STYLE);
        let report = import(source, &store, &accounts, |step| show(&mut progress, step)).await;
        drop(progress);
        Ok(summary(&report.map_err(failed)?, &admin))
    })?;
    store.close().map_err(failed)?;
    say(summary.trim_end());
    Ok(())
}

/// Creates the data directory, or refuses to write to that of another user: the server runs as its owner, and could not
/// read other users' files there.
fn make_own(path: &Path) -> Result<(), Failure> {
    let cannot = |what, error| failed(format!("cannot {what} {}: {error}", path.display()));
    let refused = |found: &Path, owner: &Owner| {
        failed(format!(
            "{} belongs to user {}, who must also own the imported files; run as that user: {}",
            found.display(),
            owner.name,
            owner.command(path)
        ))
    };
    // Before root makes something there.
    if let Some(found) = owner::beside_root(path) {
        return Err(refused(&found.path, &found.owner));
    }
    private::make_dir(path).map_err(|error| cannot("create", error))?;
    let owner = path.metadata().map_err(|error| cannot("look at", error))?.uid();
    if owner == rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    Err(refused(path, &Owner::of_uid(owner)))
}

fn show(progress: &mut Progress, step: Step<'_>) {
    match step {
        Step::Users { done, total } => {
            let line = format!("{done} of {total} users imported");
            progress.tell(&line, |_| line.clone());
        }
        Step::Bytes { space, bytes } => {
            progress.add(bytes);
            progress.tell(space, |bar| {
                let size = |bytes| ByteSize::b(bytes).display().iec();
                let (done, total) = (bar.position(), bar.length().unwrap_or_default());
                let left = bar.eta().as_secs();
                format!("{} of {} imported, {left} s left, importing {space}", size(done), size(total))
            });
        }
    }
}

fn summary(report: &Report, admin: &FirstAdmin) -> String {
    let Report { users, kept_users, spaces, left_out } = report;
    let mut text = String::new();
    let sum = |count: fn(&SpaceReport) -> u64| spaces.iter().map(count).sum::<u64>();
    let facts = [
        ("Spaces", spaces.len() as u64),
        ("Records", sum(|space| space.records)),
        ("Deletions", sum(|space| space.deletions)),
        ("Skipped Records", sum(|space| space.skipped)),
        ("Values That Are Not Text", sum(|space| space.not_text)),
        ("Torn Tails", sum(|space| u64::from(space.torn.is_some()))),
        ("Users", users.len() as u64),
        ("Users Left Alone", kept_users.len() as u64),
        ("Left Out", left_out.len() as u64),
    ];
    let mut add = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    add("Import:".into());
    facts.iter().for_each(|(name, count)| add(format!("{name}: {count}")));
    if !spaces.is_empty() {
        add("\nSpaces:".into());
        spaces.iter().for_each(|space| add(format!("  {}", line(space))));
    }
    if !kept_users.is_empty() {
        add("\nUsers left alone, since there is one of that name:".into());
        kept_users.iter().for_each(|name| add(format!("  {}", shown(name))));
    }
    if !left_out.is_empty() {
        add("\nLeft out:".into());
        left_out.iter().for_each(|left| add(format!("  {}: {}", left.what, left.why)));
    }
    match admin {
        FirstAdmin::NotNeeded => {}
        FirstAdmin::Given => {
            add("\nNo user was an admin: made admin, with the password that was given".into())
        }
        FirstAdmin::Written(path) => {
            add(format!("\nNo user was an admin: made admin, with the password in {}", path.display()));
        }
    }
    text
}

fn line(space: &SpaceReport) -> String {
    let SpaceReport { name, records, deletions, not_text, skipped, torn } = space;
    let name = shown(name);
    let mut line = format!("{name}: {records} records, {deletions} deletions");
    // Writing to a string cannot fail.
    if *skipped > 0 {
        write!(line, ", {skipped} skipped").ok();
    }
    if *not_text > 0 {
        write!(line, ", {not_text} values that are not text").ok();
    }
    if let Some(torn) = torn {
        write!(line, ", torn tail of {} bytes at offset {} skipped", torn.bytes, torn.offset).ok();
    }
    line
}
