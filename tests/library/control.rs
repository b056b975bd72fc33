//! Which limit wins, and what is stored: combinations of base, file and run-time value, across restarts,
//! edits, reloads and resets.

use std::num::{NonZeroU32, NonZeroU64};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use shibudb::control::{
    Actor, Amount, BaseSource, Ceiling, Change, ConfigureOutcome, Configured, Control, Door, LimitChange,
    LimitRefusal, LimitRequest, Outcome, Reread, Settings, Stored, Tag,
};
use shibudb::limiter::{Limiter, Permit, Snapshot};

use crate::harness::{HangingFs, OWN_MOUNTS, is_beneath, test_around};

/// The ceiling of a process with a high open-file limit.
const CEILING: u32 = 19_900;

const PERSIST: Settings = Settings { step: NonZeroU32::new(100).unwrap(), persist: true };

/// A control that can be restarted on the same directory.
struct Room {
    directory: tempfile::TempDir,
    control: Control,
    limiter: Limiter,
    thread: JoinHandle<()>,
}

impl Room {
    fn new(command_line: Option<u32>, file: Option<u32>) -> Self {
        Self::over(tempfile::tempdir().unwrap(), command_line, file, PERSIST)
    }

    fn over(
        directory: tempfile::TempDir,
        command_line: Option<u32>,
        file: Option<u32>,
        settings: Settings,
    ) -> Self {
        Self::within(directory, CEILING, command_line, file, settings)
    }

    fn within(
        directory: tempfile::TempDir,
        ceiling: u32,
        command_line: Option<u32>,
        file: Option<u32>,
        settings: Settings,
    ) -> Self {
        let configured = Configured {
            command_line: command_line.and_then(NonZeroU32::new),
            file: file.and_then(NonZeroU32::new),
        };
        let ceiling =
            Ceiling { connections: NonZeroU32::new(ceiling).unwrap(), open_files: u64::from(ceiling) + 100 };
        let (control, limiter, thread) =
            Control::start(configured, settings, ceiling, directory.path(), Path::new("/etc/shibudb.toml"))
                .unwrap();
        Self { directory, control, limiter, thread }
    }

    fn restart(self, command_line: Option<u32>, file: Option<u32>) -> Self {
        self.restart_with(command_line, file, PERSIST)
    }

    fn restart_with(self, command_line: Option<u32>, file: Option<u32>, settings: Settings) -> Self {
        drop(self.control);
        self.thread.join().unwrap();
        Self::over(self.directory, command_line, file, settings)
    }

    /// A restart of a process that can hold `ceiling` connections.
    fn restart_within(self, ceiling: u32, file: u32) -> Self {
        drop(self.control);
        self.thread.join().unwrap();
        Self::within(self.directory, ceiling, None, Some(file), PERSIST)
    }

    /// Waits until the limit becomes `limit` without a request.
    async fn wait_until_limit(&self, limit: u32) {
        for _ in 0..3000 {
            if self.limit() == limit {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("the limit is still {}", self.limit());
    }

    /// The next override is written to this file.
    fn spare(&self) -> PathBuf {
        self.directory.path().join(".limit-override.spare")
    }

    async fn change(&self, change: Change) -> Result<LimitChange, LimitRefusal> {
        let actor = Actor::Process { pid: 7, user: 0.into() };
        self.control.change(LimitRequest { change, door: Door::Http, actor, if_revision: None }).await
    }

    async fn set(&self, limit: i64) -> LimitChange {
        self.change(Change::Set(limit)).await.unwrap()
    }

    /// The file is saved with this limit.
    async fn file(&self, limit: Option<u32>) -> ConfigureOutcome {
        self.read(limit, Reread::Found).await
    }

    /// A reload is requested, and the file contains this limit.
    async fn reload(&self, limit: Option<u32>) -> ConfigureOutcome {
        self.read(limit, Reread::Asked).await
    }

    async fn read(&self, limit: Option<u32>, reread: Reread) -> ConfigureOutcome {
        let file = limit.and_then(NonZeroU32::new);
        self.control.configure(file, reread, Actor::File(PathBuf::from("/etc/shibudb.toml"))).await.unwrap()
    }

    fn limit(&self) -> u32 {
        self.limiter.snapshot().limit
    }

    /// Limit, base, override, refused edit.
    fn limit_state(&self) -> (u32, u32, Option<u32>, Option<u32>) {
        let limit_state = self.control.limit_state();
        (
            self.limit(),
            limit_state.base,
            limit_state.override_.map(|override_| override_.limit),
            limit_state.refused_edit.map(|refused| refused.wanted),
        )
    }

    fn hold(&self, count: usize) -> Vec<Permit> {
        (0..count).map(|_| self.limiter.try_acquire().unwrap()).collect()
    }

    fn stored(&self) -> bool {
        self.directory.path().join("limit-override.json").exists()
    }
}

/// The events of a case.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// The limit is set through a door other than the file.
    Set(i64),
    Reset,
    /// The file is read and contains this limit.
    File(Option<u32>),
    /// The server is stopped and started with this command line and this file.
    Restart(Option<u32>, Option<u32>),
}
use Event::{File, Reset, Restart, Set};

#[tokio::test]
async fn the_expected_value_wins() {
    /// Command line and file at the first start; what happens; limit, base, override at the end.
    type Case = (Option<u32>, Option<u32>, &'static [Event], (u32, u32, Option<u32>));
    #[rustfmt::skip]
    let cases: &[Case] = &[
        // The start: command line, else file, else 1000.
        (None,       None,      &[], (1000, 1000, None)),
        (None,       Some(500), &[], (500, 500, None)),
        (Some(2000), Some(500), &[], (2000, 2000, None)),
        (Some(2000), None,      &[], (2000, 2000, None)),
        // A change at run time is an override, unless it equals the base.
        (None, Some(500), &[Set(700)], (700, 500, Some(700))),
        (None, Some(500), &[Set(700), Set(500)], (500, 500, None)),
        (None, Some(500), &[Set(700), Reset], (500, 500, None)),
        // Saving the file without changing the value changes nothing.
        (None, Some(500), &[Set(700), File(Some(500))], (700, 500, Some(700))),
        (None, None, &[Set(700), File(None)], (700, 1000, Some(700))),
        // A change of the value takes precedence over everything.
        (None, Some(500), &[Set(700), File(Some(600))], (600, 600, None)),
        (None, Some(500), &[Set(700), File(Some(700))], (700, 700, None)),
        (Some(2000), Some(500), &[File(Some(500))], (2000, 2000, None)),
        (Some(2000), Some(500), &[File(Some(600))], (600, 600, None)),
        (Some(2000), None, &[File(Some(1000))], (1000, 1000, None)),
        (Some(2000), Some(500), &[File(Some(600)), Set(650), Reset], (600, 600, None)),
        // Without the value the command line applies, and without that the default.
        (Some(2000), Some(500), &[File(None)], (2000, 2000, None)),
        (None, Some(500), &[File(None)], (1000, 1000, None)),
        // A restart over an unchanged base brings the override back.
        (None, Some(500), &[Set(700), Restart(None, Some(500))], (700, 500, Some(700))),
        (None, Some(500), &[Set(700), Restart(None, Some(500)), Restart(None, Some(500))], (700, 500, Some(700))),
        (Some(2000), Some(500), &[Set(700), Restart(Some(2000), Some(500))], (700, 2000, Some(700))),
        (Some(2000), Some(500), &[Set(700), Restart(Some(2000), Some(600))], (700, 2000, Some(700))),
        (None, None, &[Set(700), Restart(None, None)], (700, 1000, Some(700))),
        (None, Some(500), &[Set(700), Restart(None, Some(500)), Reset], (500, 500, None)),
        (None, Some(500), &[Set(700), Restart(None, Some(500)), File(Some(500))], (700, 500, Some(700))),
        (None, Some(500), &[Set(700), Restart(None, Some(500)), File(Some(550))], (550, 550, None)),
        // A base edited meanwhile wins, and the override does not come back later.
        (None, Some(500), &[Set(700), Restart(None, Some(600))], (600, 600, None)),
        (None, Some(500), &[Set(700), Restart(Some(900), Some(500))], (900, 900, None)),
        (None, Some(500), &[Set(700), Restart(None, None)], (1000, 1000, None)),
        (None, Some(500), &[Set(700), Restart(None, Some(600)), Restart(None, Some(500))], (500, 500, None)),
        // An override that was reset or replaced by an edit does not come back either.
        (None, Some(500), &[Set(700), Reset, Restart(None, Some(500))], (500, 500, None)),
        (None, Some(500), &[Set(700), File(Some(600)), Restart(None, Some(600))], (600, 600, None)),
        (None, Some(500), &[Set(700), Set(500), Restart(None, Some(500))], (500, 500, None)),
    ];
    for (command_line, file, events, expected) in cases {
        let mut room = Room::new(*command_line, *file);
        for event in *events {
            match *event {
                Set(limit) => {
                    room.set(limit).await;
                }
                Reset => {
                    room.change(Change::Reset).await.unwrap();
                }
                File(file) => drop(room.file(file).await),
                Restart(command_line, file) => room = room.restart(command_line, file),
            }
        }
        let (limit, base, override_, refused) = room.limit_state();
        let case = format!("{command_line:?} {file:?} {events:?}");
        assert_eq!((limit, base, override_), *expected, "{case}");
        assert_eq!(refused, None, "{case}");
        assert_eq!(room.stored(), override_.is_some(), "{case}");
    }
}

#[tokio::test]
async fn a_refused_edit_waits_for_the_next_edit_reload_or_reset() {
    let refused = |outcome| match outcome {
        ConfigureOutcome::Refused { wanted, refusal } => (wanted, refusal.to_string()),
        other => panic!("not refused: {other:?}"),
    };
    let room = Room::new(None, Some(1000));
    let mut held = room.hold(750);
    let words = "cannot set limit to 500 when 750 connections are active";
    assert_eq!(refused(room.file(Some(500)).await), (500, words.into()));
    assert_eq!(room.limit_state(), (1000, 500, None, Some(500)));
    let reason = room.control.limit_state().refused_edit.unwrap().reason;
    assert_eq!(reason, "750 connections are active");
    // A reload of the same file retries, and may be refused again.
    assert_eq!(refused(room.reload(Some(500)).await), (500, words.into()));
    // A reset retries as well; the base is the configured limit.
    assert_eq!(room.change(Change::Reset).await.unwrap_err().to_string(), words);
    assert_eq!(room.limit_state(), (1000, 500, None, Some(500)));
    // A limit set meanwhile stays in force, and the edit stays visible.
    room.set(900).await;
    assert_eq!(room.limit_state(), (900, 500, Some(900), Some(500)));
    held.truncate(400);
    assert!(matches!(
        room.reload(Some(500)).await,
        ConfigureOutcome::Applied(LimitChange { old: 900, new: 500, active: 400, .. })
    ));
    assert_eq!(room.limit_state(), (500, 500, None, None));
    assert_eq!(room.file(Some(500)).await, ConfigureOutcome::Unchanged);
}

/// The limit of 500 in the file was refused because 750 connections were active; now 300 are.
#[tokio::test]
async fn a_refused_edit_is_tried_again_only_if_nothing_was_set_since_or_if_asked_for() {
    use Reread::{Asked, Found};
    /// Changes before the file is read; why it is read, and its limit; limit, override, refused edit at the end.
    type Case = (&'static [Change], Reread, Option<u32>, (u32, Option<u32>, Option<u32>));
    #[rustfmt::skip]
    let cases: &[Case] = &[
        // No change since.
        (&[], Found, Some(500), (500, None, None)),
        (&[], Asked, Some(500), (500, None, None)),
        // If the file is only saved, the limit set at run time stays, and the refusal stays visible.
        (&[Change::Set(2000)], Found, Some(500), (2000, Some(2000), Some(500))),
        (&[Change::Increase(Amount::Step)], Found, Some(500), (1100, Some(1100), Some(500))),
        (&[Change::Set(2000)], Asked, Some(500), (500, None, None)),
        // A different value is a new edit.
        (&[Change::Set(2000)], Found, Some(600), (600, None, None)),
        (&[Change::Set(2000)], Found, None, (1000, None, None)),
        // A refused change sets nothing.
        (&[Change::Set(0)], Found, Some(500), (500, None, None)),
        // The edit was applied meanwhile, and later changes are independent of it.
        (&[Change::Reset, Change::Set(2000)], Found, Some(500), (2000, Some(2000), None)),
        (&[Change::Set(500), Change::Set(2000)], Asked, Some(500), (2000, Some(2000), None)),
    ];
    for (changes, reread, file, expected) in cases {
        let room = Room::new(None, Some(1000));
        let mut held = room.hold(750);
        assert!(matches!(room.file(Some(500)).await, ConfigureOutcome::Refused { .. }));
        // Changes while the edit waits come before it is possible.
        if matches!(changes.first(), Some(Change::Reset | Change::Set(500))) {
            held.truncate(300);
        }
        for change in *changes {
            // A refusal is a separate case.
            drop(room.change(*change).await);
        }
        held.truncate(300);
        room.read(*file, *reread).await;
        let (limit, _, override_, refused) = room.limit_state();
        assert_eq!((limit, override_, refused), *expected, "{changes:?} {reread:?} {file:?}");
    }
}

#[tokio::test]
async fn an_edit_beyond_the_ceiling_is_refused_in_the_documented_words() {
    let room = Room::new(None, None);
    let ConfigureOutcome::Refused { refusal, .. } = room.file(Some(50_000)).await else { panic!("applied") };
    let words =
        "cannot set limit to 50000: this process can hold at most 19900 connections (open-file limit 20000)";
    assert_eq!(refusal.to_string(), words);
    assert_eq!(room.limit(), 1000);
    let ConfigureOutcome::Applied(_) = room.file(Some(1000)).await else { panic!("the next edit ends it") };
    assert_eq!(room.limit_state(), (1000, 1000, None, None));
}

#[tokio::test]
async fn a_start_beyond_the_ceiling_begins_at_the_ceiling() {
    let room = Room::new(Some(50_000), None);
    assert_eq!(room.limit_state(), (19_900, 50_000, None, None));
    room.set(800).await;
    assert_eq!(room.change(Change::Reset).await.unwrap().new, 19_900);
}

#[tokio::test]
async fn without_persist_nothing_is_stored_and_what_was_is_dropped() {
    let forget = Settings { persist: false, ..PERSIST };
    let room = Room::new(None, Some(500));
    room.set(700).await;
    assert!(room.stored());
    room.control.apply_settings(forget).await.unwrap();
    assert!(!room.stored(), "turned off while it runs");
    room.control.apply_settings(PERSIST).await.unwrap();
    assert!(room.stored(), "turned on again, for the override in force");
    let room = room.restart_with(None, Some(500), forget);
    assert_eq!(room.limit_state(), (500, 500, None, None));
    let room = room.restart(None, Some(500));
    assert_eq!(room.limit_state(), (500, 500, None, None));
}

#[tokio::test]
async fn a_stored_override_that_makes_no_sense_is_ignored() {
    for text in ["", "{", "[]", "{\"limit\":0}", "\0\0\0\0"] {
        let room = Room::new(None, None);
        std::fs::write(room.directory.path().join("limit-override.json"), text).unwrap();
        assert_eq!(room.restart(None, None).limit_state(), (1000, 1000, None, None), "{text:?}");
    }
}

#[tokio::test]
async fn the_base_knows_where_it_comes_from() {
    let source = |room: &Room| room.control.limit_state().base_source;
    assert_eq!(source(&Room::new(None, None)), BaseSource::Default);
    assert_eq!(source(&Room::new(None, Some(5))), BaseSource::File);
    let room = Room::new(Some(5), Some(6));
    assert_eq!(source(&room), BaseSource::CommandLine);
    drop(room.file(Some(7)).await);
    assert_eq!(source(&room), BaseSource::File);
}

#[tokio::test]
async fn every_attempt_is_remembered_in_order_and_across_restarts() {
    let room = Room::new(Some(1000), None);
    let held = room.hold(750);
    room.set(2000).await;
    assert!(room.change(Change::Set(500)).await.is_err());
    assert!(room.change(Change::Set(0)).await.is_err());
    assert!(room.change(Change::Decrease(Amount::By(NonZeroU64::new(5000).unwrap()))).await.is_err());
    room.change(Change::Increase(Amount::Step)).await.unwrap();
    drop(held);
    let told = |room: &Room| {
        let records = room.control.history().latest(100);
        records
            .into_iter()
            .rev()
            .map(|record| {
                let reason = match record.outcome {
                    Outcome::Applied => "applied".to_owned(),
                    Outcome::Refused { reason } => reason,
                };
                (record.revision, record.door.to_string(), record.old, record.new, record.active, reason)
            })
            .collect::<Vec<_>>()
    };
    let expected = vec![
        (1, "startup".to_owned(), None, Some(1000), 0, "applied".to_owned()),
        (2, "http".into(), Some(1000), Some(2000), 750, "applied".into()),
        (
            2,
            "http".into(),
            Some(2000),
            Some(500),
            750,
            "cannot set limit to 500 when 750 connections are active".into(),
        ),
        (2, "http".into(), Some(2000), Some(0), 750, "connection limit must be positive".into()),
        (2, "http".into(), Some(2000), Some(-3000), 750, "connection limit must be positive".into()),
        (3, "http".into(), Some(2000), Some(2100), 750, "applied".into()),
    ];
    assert_eq!(told(&room), expected);
    let room = room.restart(Some(1000), None);
    let mut expected = expected;
    expected.push((4, "startup".into(), None, Some(2100), 0, "applied".into()));
    assert_eq!(told(&room), expected);
    assert_eq!(room.control.history().latest(1)[0].actor, "stored override");
}

#[tokio::test]
async fn a_torn_or_foreign_line_of_the_history_is_skipped() {
    let room = Room::new(None, None);
    room.set(1100).await;
    let path = room.directory.path().join("limit-history.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    let torn = &text[..text.len() - 20];
    std::fs::write(&path, format!("not json\n{torn}")).unwrap();
    let room = room.restart(None, None);
    let limits: Vec<_> = room.control.history().latest(10).iter().rev().map(|record| record.new).collect();
    // The records of the first start and of this one; the torn record is gone and has not swallowed another.
    assert_eq!(limits, [Some(1000), Some(1100)]);
    let lines = std::fs::read_to_string(&path).unwrap();
    assert!(lines.lines().last().unwrap().contains("stored override"), "{lines}");
}

#[tokio::test]
async fn the_history_is_set_aside_when_it_grows_too_large() {
    let room = Room::new(None, None);
    let path = room.directory.path().join("limit-history.jsonl");
    let line = std::fs::read_to_string(&path).unwrap();
    let many = 10 * 1024 * 1024 / line.len();
    std::fs::write(&path, line.repeat(many)).unwrap();
    let room = room.restart(None, None);
    room.set(1100).await;
    assert!(std::fs::metadata(path.with_extension("jsonl.1")).unwrap().len() > 9 * 1024 * 1024);
    assert!(std::fs::metadata(&path).unwrap().len() < 4096);
    let room = room.restart(None, None);
    assert_eq!(room.control.history().latest(2000).len(), 1000, "both files are read, the last 1,000 kept");
}

#[tokio::test]
async fn a_history_that_cannot_be_written_stops_no_change() {
    let room = Room::new(None, None);
    let path = room.directory.path().join("limit-history.jsonl");
    std::fs::write(&path, vec![b'\n'; 10 * 1024 * 1024]).unwrap();
    let room = room.restart(None, None);
    // The file that is set aside cannot replace a directory that is not empty.
    let aside = path.with_extension("jsonl.1");
    if aside.exists() {
        std::fs::remove_file(&aside).unwrap();
    }
    std::fs::create_dir_all(aside.join("in the way")).unwrap();
    std::fs::write(&path, vec![b'\n'; 10 * 1024 * 1024]).unwrap();
    let room = room.restart(None, None);
    let before = room.control.history().unwritten();
    assert_eq!(room.set(1100).await.new, 1100);
    assert_eq!(room.limit(), 1100);
    assert_eq!(room.control.history().unwritten(), before + 1);
    assert_eq!(room.control.history().latest(1)[0].new, Some(1100));
}

#[tokio::test]
async fn a_stale_revision_is_refused_and_says_so() {
    let room = Room::new(None, None);
    let [one, seven, nine] = [1, 7, 9].map(|revision| room.control.tag(revision));
    let refusal = room.control.change(set_if(1500, vec![seven, nine])).await.unwrap_err();
    assert_eq!(
        refusal.to_string(),
        format!("the limit has changed meanwhile: its revision is {one}, not {seven} or {nine}")
    );
    assert_eq!(room.control.change(set_if(1500, vec![nine, one])).await.unwrap().revision, 2);
}

fn set_if(limit: i64, tags: Vec<Tag>) -> LimitRequest {
    LimitRequest {
        change: Change::Set(limit),
        door: Door::Http,
        actor: Actor::Kernel,
        if_revision: Some(tags),
    }
}

#[tokio::test]
async fn concurrent_increases_are_never_lost() {
    let room = Room::new(None, None);
    let one = Amount::By(NonZeroU64::MIN);
    let askers: Vec<_> = (0..10)
        .map(|_| {
            let control = room.control.clone();
            tokio::spawn(async move {
                for _ in 0..20 {
                    let change = Change::Increase(one);
                    let request =
                        LimitRequest { change, door: Door::Cli, actor: Actor::Kernel, if_revision: None };
                    control.change(request).await.unwrap();
                }
            })
        })
        .collect();
    for asker in askers {
        asker.await.unwrap();
    }
    assert_eq!(room.limiter.snapshot(), Snapshot { limit: 1200, active: 0 });
    assert_eq!(room.control.revision(), 201);
}

/// A loss of power or a copy of the data directory loses existing records.
#[tokio::test]
async fn a_tag_is_never_given_to_another_state_of_the_limit() {
    let room = Room::new(Some(1000), None);
    let seen = room.control.tag(room.set(900).await.revision);
    std::fs::remove_file(room.directory.path().join("limit-history.jsonl")).unwrap();
    let room = room.restart(Some(1000), None);
    let now = room.control.tag(room.set(800).await.revision);
    assert_eq!(now.revision, seen.revision, "the number is given again");
    assert_ne!(now, seen);
    // Nor does a bare number, the earlier form of a tag, match the revision of this process.
    for tag in [seen, Tag { epoch: 0, ..now }] {
        let refusal = room.control.change(set_if(700, vec![tag])).await.unwrap_err();
        assert!(matches!(refusal, LimitRefusal::RevisionMismatch { current, .. } if current == now));
    }
    assert_eq!(room.control.change(set_if(700, vec![now])).await.unwrap().new, 700);
}

#[tokio::test]
async fn an_override_beyond_what_a_start_can_hold_is_clamped_and_kept() {
    let mut room = Room::new(None, Some(100));
    room.set(5000).await;
    for _ in 0..2 {
        room = room.restart_within(900, 100);
        assert_eq!(room.limit_state(), (900, 100, Some(5000), None));
        assert_eq!(room.control.history().latest(1)[0].new, Some(900));
        // A refused change and an unrelated setting drop nothing.
        assert!(room.change(Change::Increase(Amount::Step)).await.is_err());
        room.control.apply_settings(Settings { step: NonZeroU32::MIN, ..PERSIST }).await.unwrap();
    }
    let room = room.restart(None, Some(100));
    assert_eq!(room.limit_state(), (5000, 100, Some(5000), None));
}

#[tokio::test]
async fn only_another_base_a_reset_or_another_limit_drops_a_clamped_override() {
    let clamped = async || {
        let room = Room::new(None, Some(100));
        room.set(5000).await;
        room.restart_within(900, 100)
    };
    let room = clamped().await.restart_within(900, 200);
    assert_eq!(room.restart(None, Some(200)).limit_state(), (200, 200, None, None));
    let room = clamped().await;
    room.change(Change::Reset).await.unwrap();
    assert_eq!(room.restart(None, Some(100)).limit_state(), (100, 100, None, None));
    let room = clamped().await;
    room.set(800).await;
    assert_eq!(room.restart(None, Some(100)).limit_state(), (800, 100, Some(800), None));
}

#[tokio::test]
async fn a_base_beyond_what_a_start_can_hold_counts_again_at_one_that_can() {
    let room = Room::new(None, Some(5000)).restart_within(900, 5000);
    assert_eq!(room.limit_state(), (900, 5000, None, None));
    assert_eq!(room.restart(None, Some(5000)).limit_state(), (5000, 5000, None, None));
}

#[tokio::test]
async fn a_stored_override_that_cannot_be_understood_is_set_aside_and_not_lost() {
    let room = Room::new(None, None);
    let [file, aside] =
        ["limit-override.json", "limit-override.json.damaged"].map(|name| room.directory.path().join(name));
    std::fs::write(&file, "of another version").unwrap();
    let room = room.restart(None, None);
    assert_eq!(room.limit_state(), (1000, 1000, None, None));
    room.set(1500).await;
    assert_eq!(std::fs::read_to_string(aside).unwrap(), "of another version");
}

#[tokio::test]
async fn a_refused_edit_is_applied_when_it_can_be_had() {
    let room = Room::new(None, Some(100));
    let mut held = room.hold(80);
    assert!(matches!(room.file(Some(50)).await, ConfigureOutcome::Refused { .. }));
    assert_eq!(room.control.limit_state().waiting(), Some(50));
    assert!(room.change(Change::Reset).await.is_err(), "a refused change by hand ends nothing");
    let attempts = room.control.history().latest(100).len();
    held.truncate(50);
    room.wait_until_limit(50).await;
    while room.control.limit_state().waiting().is_some()
        || room.control.history().latest(100).len() == attempts
    {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(room.limit_state(), (50, 50, None, None));
    let records = room.control.history().latest(100);
    assert_eq!(records.len(), attempts + 1, "one record of all that trying");
    let newest = &records[0];
    assert_eq!((newest.door.known(), newest.actor.as_str()), (Some(Door::Config), "/etc/shibudb.toml"));
    assert_eq!(
        (newest.old, newest.new, newest.active, &newest.outcome),
        (Some(100), Some(50), 50, &Outcome::Applied)
    );
}

#[tokio::test]
async fn a_change_by_hand_ends_the_waiting_of_a_refused_edit() {
    let room = Room::new(None, Some(100));
    let mut held = room.hold(80);
    assert!(matches!(room.file(Some(50)).await, ConfigureOutcome::Refused { .. }));
    room.set(90).await;
    assert_eq!(room.control.limit_state().waiting(), None);
    held.truncate(10);
    // Longer than it takes to notice that the limit is possible.
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert_eq!(room.limit_state(), (90, 50, Some(90), Some(50)), "it stays visible");
    // A limit above the ceiling is refused and does not wait.
    assert!(matches!(room.file(Some(50_000)).await, ConfigureOutcome::Refused { .. }));
    assert_eq!(room.control.limit_state().waiting(), None);
}

/// The file to be written is replaced by one that cannot be written.
#[tokio::test]
async fn a_limit_that_cannot_be_stored_is_in_force_says_so_and_is_stored_when_it_can_be() {
    let room = Room::new(None, None);
    assert_eq!(room.set(1100).await.stored, Stored::ALL);
    std::fs::remove_file(room.spare()).unwrap();
    std::fs::create_dir(room.spare()).unwrap();
    let change = room.set(1200).await;
    assert_eq!((change.new, change.stored), (1200, Stored { limit: false, record: true }));
    assert_eq!(room.limit(), 1200);
    let why = room.control.not_stored().unwrap();
    assert!(why.contains("directory"), "{why}");
    std::fs::remove_dir(room.spare()).unwrap();
    // The retry comes after a while, without a request.
    while room.control.not_stored().is_some() {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(room.restart(None, None).limit(), 1200);
}

/// Runs the test that contains the closure `test`, on a data directory whose file system stops answering on request.
fn on_a_disk_that_hangs<T: AsyncFnOnce(Room, &HangingFs)>(test: T) {
    if !is_beneath(&OWN_MOUNTS, test_around(&test)) {
        return;
    }
    let disk = HangingFs::new();
    let room = Room::over(tempfile::tempdir_in(disk.path()).unwrap(), None, Some(1000), PERSIST);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(test(room, &disk));
}

#[test]
fn a_disk_that_does_not_answer_stops_no_change() {
    on_a_disk_that_hangs(async |room, disk| {
        assert_eq!(room.set(1050).await.stored, Stored::ALL);
        disk.freeze();
        let change = room.set(1100).await;
        assert_eq!((change.new, change.stored), (1100, Stored::NOTHING));
        // Later changes do not wait for the hanging disk, and report and show it as well.
        for limit in 1101..1200 {
            assert_eq!(room.set(limit).await.stored, Stored::NOTHING);
        }
        assert!(room.change(Change::Set(0)).await.is_err());
        assert_eq!(room.limit(), 1199);
        assert!(room.control.not_stored().unwrap().starts_with("the disk has not responded for "));
        let news = room.control.history().latest(3).into_iter().map(|record| record.new.unwrap());
        assert!(news.eq([0, 1199, 1198]));

        disk.thaw();
        while room.control.not_stored().is_some() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        assert_eq!(room.set(1300).await.stored, Stored::ALL);
        let room = room.restart(None, Some(1000));
        assert_eq!(room.limit(), 1300);
        assert_eq!(room.control.history().latest(1000).len(), 105, "no record is lost");
    });
}

#[test]
fn a_disk_that_does_not_answer_does_not_keep_it_from_ending() {
    on_a_disk_that_hangs(async |room, disk| {
        disk.freeze();
        room.set(1100).await;
        drop(room.control);
        room.thread.join().unwrap();
        disk.thaw();
    });
}

#[tokio::test]
async fn refusals_of_one_actor_are_one_record_with_a_count() {
    let room = Room::new(None, None);
    let _held = room.hold(501);
    for limit in 1001..1011 {
        room.set(limit).await;
    }
    let ask = async |port: u16, limit| {
        let actor = Actor::Peer(([192, 0, 2, 7], port).into());
        let request = LimitRequest { change: Change::Set(limit), door: Door::Http, actor, if_revision: None };
        room.control.change(request).await.unwrap_err();
    };
    // From one address, whatever the port, and for one kind of reason. Not all numbers are distinguished.
    for number in 0..1000_u16 {
        ask(number, i64::from(number % 500) + 1).await;
        if number % 2 == 0 {
            ask(number, -1).await;
        }
    }
    let refusals = |room: &Room| -> Vec<_> {
        let refused = |record: &shibudb::control::Record| record.outcome != Outcome::Applied;
        room.control.history().latest(1000).into_iter().filter(refused).collect()
    };
    let found = refusals(&room);
    let facts: Vec<_> = found.iter().map(|record| (record.new, record.count)).collect();
    let few = |wanted| (Some(wanted), Some(2));
    let mut expected = vec![(Some(8), Some(1000 - 14))];
    expected.extend([7, 6, 5, 4, 3, 2].map(few));
    expected.extend([(Some(-1), Some(500)), few(1)]);
    assert_eq!(facts, expected);
    assert!(found.iter().all(|record| record.last_time.unwrap() > record.time));
    assert_eq!(room.control.history().latest(1000).len(), 1 + 10 + 9, "the changes are there");
    let [http, ..] = room.control.history().attempts().collect::<Vec<_>>()[..] else { panic!() };
    assert_eq!((http.applied, http.refused), (10, 1500), "each of them is counted");

    // The file has few lines for them, and after a restart the counts are the same.
    let lines = std::fs::read_to_string(room.directory.path().join("limit-history.jsonl")).unwrap();
    assert!(lines.lines().count() < 80, "{}", lines.lines().count());
    let room = room.restart(None, None);
    assert_eq!(refusals(&room), found);
}
