//! A start, from top to bottom: [`start`] builds everything while signals are handled, since opening the store may take
//! minutes, or hang with its disk, and the config file may be on a file system that does not answer. [`build`] defines
//! the order. `run.rs` then serves the result.

mod first_admin;
mod load;
mod progress;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use jiff::Timestamp;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use self::first_admin::first_admin;
pub(crate) use self::load::data_dir_for;
use self::load::load;
use self::progress::{Stage, Starting};
use super::bind::{self, Listeners};
use super::descriptors::{self, Shares};
use super::paths::{self, make_private_dir};
use super::reload::Loaded;
use super::settings::{self, CommandLine};
use super::signal_queue::SignalQueue;
use super::unix_socket::UnixSocket;
use super::{Options, RunError, modes};
use crate::auth::{Accounts, HashCost, PreparedAdmin};
use crate::config::Key;
use crate::control::{Configured, Control};
use crate::limiter::Limiter;
use crate::logging::Log;
use crate::management::ConnectionSlots;
use crate::owner::{self, Foreign};
use crate::series::{Sample, ring};
use crate::store::Store;
use crate::systemd::{self, Inherited};

/// The result of a start.
pub(super) enum Start {
    /// Everything is ready to be served; with the control thread.
    Ready(Box<Built>, JoinHandle<()>),
    /// Everything is ready, but the start was cancelled.
    NotWanted(Box<Built>, JoinHandle<()>),
    /// The start was abandoned. Its thread is still running, and ends with the process.
    GivenUp,
}

/// Everything that must exist before anything is served.
pub(super) struct Built {
    pub(super) loaded: Loaded,
    pub(super) log: Log,
    pub(super) listeners: Listeners,
    pub(super) management_socket: Option<UnixSocket>,
    pub(super) management_slots: ConnectionSlots,
    pub(super) store: Store,
    pub(super) accounts: Accounts,
    /// The account to be created, and where its password comes from.
    pub(super) first_admin: Option<(PreparedAdmin, Option<&'static str>)>,
    pub(super) control: Control,
    pub(super) limiter: Limiter,
    /// The samples of the last hour, as far as an earlier process took them.
    pub(super) past: Vec<Sample>,
    pub(super) data_dir: PathBuf,
}

/// Builds, on a thread of its own. A request to stop aborts it at once while it reads its settings. Later, it first
/// finishes its work for an orderly end, unless asked a second time.
pub(super) async fn start(
    (options, inherited): (Options, Vec<Inherited>),
    log: Log,
    clients: Handle,
    signal_queue: &mut SignalQueue,
) -> Result<Start, RunError> {
    let (done, mut result) = oneshot::channel();
    let stage = Stage::default();
    let build = {
        let stage = stage.clone();
        move || {
            // An abandoned start has no receiver.
            done.send(build(options, log, inherited, &clients, &stage)).ok();
        }
    };
    // Not a thread of a runtime, which would wait for it at the end.
    thread::Builder::new()
        .name("start".into())
        .spawn(build)
        .map_err(|error| RunError::System("start a thread", error))?;
    let mut wanted = true;
    loop {
        tokio::select! {
            built = &mut result => {
                let (built, control) = built.map_err(|_| RunError::ended("the start", "it panicked"))??;
                let built = Box::new(built);
                return Ok(if wanted { Start::Ready(built, control) } else { Start::NotWanted(built, control) });
            }
            Some(actor) = signal_queue.stop() => if let Some(waited_for) = stage.give_up() {
                tracing::info!(%actor, "stopping, as asked by {actor}; startup was still waiting for {waited_for}");
                return Ok(Start::GivenUp);
            } else if wanted {
                wanted = false;
                tracing::info!(%actor, "stopping once startup is complete, as asked by {actor}");
                systemd::stopping("stopping once startup is complete");
            } else {
                tracing::warn!(%actor, "stopping at once, as asked by {actor}");
                return Ok(Start::GivenUp);
            },
        }
    }
}

/// Everything that can fail, in the order in which a failure is cheapest.
fn build(
    options: Options,
    log: Log,
    inherited: Vec<Inherited>,
    clients: &Handle,
    stage: &Stage,
) -> Result<(Built, JoinHandle<()>), RunError> {
    let Options { port, max_connections, config, data_dir, log_file, admin_password, .. } = options;
    let starting = Starting::begin(stage)?;
    let socket = paths::management_socket();
    let mut loaded = load(CommandLine { port, max_connections, config, data_dir, log_file, socket }, stage)?;
    log.set_level(settings::level(&loaded.running));
    let Shares { ceiling, management: management_slots } = descriptors::shares();
    let data_dir = paths::data_dir(loaded.running.storage.path.as_deref())?;
    if !stage.opening(&data_dir) {
        return Err(RunError::ended("the start", "it was given up"));
    }
    refuse_beside_root(&data_dir)?;
    make_private_dir(&data_dir)?;
    let mut listeners = bind::bind(&loaded.running, inherited)?;
    // `start` has a notification socket, too, but keeps no socket.
    listeners.is_shared |= options.pid_file.is_none() && systemd::keeps_sockets();
    let management_socket = bind_management_socket(&loaded)?;
    loaded.settle_on_port(local(&listeners.clients)?.port());
    let open = || {
        let store = Store::open(&data_dir, settings::durability(&loaded.running))?;
        // When no other process has them open.
        modes::mend(&data_dir);
        let accounts = Accounts::open(store.clone(), HashCost::default())?;
        let first_admin = clients.block_on(first_admin(&accounts, admin_password, &data_dir))?;
        let configured =
            Configured { command_line: max_connections, file: settings::file_limit(&loaded.file) };
        let control = settings::control(&loaded.running);
        let started = Control::start(configured, control, ceiling, &data_dir, &loaded.path)?;
        Ok((store, accounts, first_admin, started))
    };
    let (store, accounts, first_admin, (control, limiter, thread)) =
        open().map_err(|error: RunError| error.blame_owner(&data_dir))?;
    let past = ring::read(&data_dir, Timestamp::now());
    drop(starting);
    let built = Built {
        loaded,
        log,
        listeners,
        management_socket,
        management_slots,
        store,
        accounts,
        first_admin,
        control,
        limiter,
        past,
        data_dir,
    };
    Ok((built, thread))
}

/// The management socket, if the server should have one. An error with the default socket does not end the start.
fn bind_management_socket(loaded: &Loaded) -> Result<Option<UnixSocket>, RunError> {
    let management = &loaded.running.management;
    let Some(path) = &management.socket else { return Ok(None) };
    match UnixSocket::bind(path, management.socket_mode) {
        Ok(socket) => Ok(Some(socket)),
        Err(error) if !loaded.file.set.contains(&Key::ManagementSocket) => {
            tracing::warn!(%error, path = %path.display(),
                "cannot create the management socket {}: {error}", path.display());
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Refuses to run as root in the directory of another user, where files of root would remain. Root can start this
/// process as that user; `start` has done so already.
fn refuse_beside_root(data_dir: &Path) -> Result<(), RunError> {
    match owner::beside_root(data_dir) {
        None => Ok(()),
        Some(Foreign { path, owner }) => {
            Err(RunError::OfAnotherUser { path, command: owner.command(data_dir), user: owner.name })
        }
    }
}

/// The address of a listener.
pub(super) fn local(listener: &std::net::TcpListener) -> Result<SocketAddr, RunError> {
    listener.local_addr().map_err(|error| RunError::System("read a socket's address", error))
}
