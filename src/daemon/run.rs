//! The life of the daemon, from its options to its last connection: [started](super::start), served, drained, closed.
//!
//! The file is a little long because the order in which everything begins and ends is read from top to bottom.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio_util::sync::CancellationToken;

use super::connections::RosterView;
use super::drain::drain;
use super::files::Files;
use super::follow::follow;
use super::pid_file::PidFile;
use super::published::Published;
use super::reload::{Loaded, Reloader};
use super::signal_queue::{self, SignalQueue};
use super::start::{self, Built, Start, local};
use super::store_state::StoreWatch;
use super::tasks::Tasks;
use super::unix_socket::{SocketFile, UnixSocket};
use super::{Options, RunError, bounded, usage, watchdog};
use crate::auth::{FirstAdmin, PreparedAdmin};
use crate::control::{LimitState, Override};
use crate::limiter::Limiter;
use crate::logging::{AUDIT, Log};
use crate::management::{self, Listener, Management, ReloadDoor};
use crate::metrics::{self, Sources};
use crate::series::{self, ring::Keeper};
use crate::server::{Server, Services};
use crate::signals::{Held, ReceivedSignal, Signals};
use crate::store::Store;
use crate::systemd::{self, Inherited};

/// How long tasks of the clients' runtime may take to notice the end.
const RUNTIME_GRACE: Duration = Duration::from_secs(2);

/// How long writing the last samples may take.
const SERIES_GRACE: Duration = Duration::from_secs(1);

/// How long closing the store may take, and how long after an immediate stop.
const CLOSE_GRACE: Duration = Duration::from_secs(10);
const CLOSE_AT_ONCE: Duration = Duration::from_secs(1);

/// How many requests to read the config file again may wait.
const RELOADS: usize = 16;

pub(super) fn run(options: Options, held: Held, log: Log, inherited: Vec<Inherited>) -> Result<(), RunError> {
    let operators = operators_runtime()?;
    let signals = {
        let _in_runtime = operators.enter();
        Signals::install(held).map_err(|error| RunError::System("handle signals", error))?
    };
    if options.pid_file.is_some() {
        leave_the_terminal()?;
    }
    let pid_file = options.pid_file.as_deref().map(take_pid_file).transpose()?;
    let clients = client_runtime()?;
    let (mut signal_queue, to_apply) = SignalQueue::new(signals);
    let start = start::start((options, inherited), log, clients.handle().clone(), &mut signal_queue);
    let start = operators.block_on(start)?;
    let (result, control_thread) = match start {
        Start::Ready(built, control_thread) => {
            let serving = serve(*built, signal_queue, to_apply, clients.handle());
            (operators.block_on(serving), control_thread)
        }
        Start::NotWanted(built, control_thread) => {
            close(built.store, CLOSE_GRACE);
            (Ok(()), control_thread)
        }
        Start::GivenUp => {
            clients.shutdown_background();
            return Ok(());
        }
    };
    clients.shutdown_timeout(RUNTIME_GRACE);
    // The tasks that held its handles have ended, so its last handle is gone.
    match bounded::within(RUNTIME_GRACE, move || control_thread.join()) {
        Some(Ok(())) => {}
        Some(Err(_)) => tracing::error!("the control thread panicked"),
        None => tracing::error!("the control thread did not end in time; exiting without it"),
    }
    drop(pid_file);
    result
}

/// Serves until told to stop, or until a task ends unexpectedly.
async fn serve(
    built: Built,
    mut signal_queue: SignalQueue,
    to_apply: UnboundedReceiver<ReceivedSignal>,
    clients: &Handle,
) -> Result<(), RunError> {
    let (address, management_address) =
        (local(&built.listeners.clients)?, local(&built.listeners.management)?);
    let settings_from = settings_from(&built.loaded);
    let files =
        Files::follow(&built.loaded).map_err(|error| RunError::System("follow the config file", error))?;
    let reloader = Reloader::new(built.loaded, built.control.clone(), built.log.clone());
    let settings = reloader.subscribe();
    let published = Published::new(&settings.borrow());
    let over = CancellationToken::new();

    let services = Services {
        limiter: built.limiter.clone(),
        store: built.store.clone(),
        accounts: built.accounts,
        settings: published.client_settings.subscribe(),
    };
    let mut server = {
        let _in_runtime = clients.enter();
        Server::start(built.listeners.clients, services)
            .map_err(|error| RunError::System("serve clients", error))?
    };
    if built.listeners.is_shared {
        server.share_listener();
    }
    let (reload_door, asked) = ReloadDoor::new();
    let (reloads, signalled) = mpsc::channel(RELOADS);
    let mut tasks = Tasks::default();
    let denials = Arc::default();
    let metrics = metrics::registry(Sources {
        limiter: built.limiter.clone(),
        control: built.control.clone(),
        counters: server.counters(),
        store: built.store.clone(),
        denials: Arc::clone(&denials),
        config: published.config_state.subscribe(),
        log: built.log,
    });
    let (recorder, series) = series::series(built.past);
    let keeper = Keeper::start(&built.data_dir, series.clone())
        .map_err(|error| RunError::System("start a thread", error))?;
    let store_watch = StoreWatch::new(built.store.clone());
    let api = Management {
        limiter: built.limiter.clone(),
        control: built.control.clone(),
        reload: reload_door,
        config: published.config_report.subscribe(),
        store: store_watch.subscribe(),
        token: published.token.subscribe(),
        denials,
        metrics: Arc::new(metrics),
        connections: Arc::new(RosterView(server.roster())),
        series,
        slots: built.management_slots,
    };
    // The socket's file is removed when this function ends.
    let (listeners, _socket_file) = management_listeners(built.listeners.management, built.management_socket)
        .map_err(|error| RunError::System("serve management", error))?;
    tasks.spawn("reload", follow(reloader, files, asked, signalled, published));
    tasks.spawn("signals", signal_queue::apply(to_apply, built.control.clone(), reloads));
    tasks.spawn("first admin", first_admin_task(built.first_admin));
    tasks.spawn("management", management_task(listeners, api, over.clone()));
    let snapshot = built.limiter.snapshot();
    let draining = CancellationToken::new();
    let status = usage::status(snapshot);
    let usage = usage::watch(
        built.limiter.clone(),
        built.control.clone(),
        store_watch,
        settings.clone(),
        recorder,
        status.clone(),
        draining.clone(),
    );
    tasks.spawn("usage", usage);

    let other_limit = other_limit(&built.control.limit_state(), &built.limiter, address.port());
    let (version, data_dir) = (env!("CARGO_PKG_VERSION"), built.data_dir.display());
    let why = other_limit.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
    tracing::info!(%address, management = %management_address, limit = snapshot.limit, version,
        config = settings_from, %data_dir,
        "ready: clients on {address}, management on {management_address}, limit {}{why}; shibudb {version}, \
         {settings_from}, data in {data_dir}", snapshot.limit);
    systemd::ready(address.port(), management_address.port(), (snapshot.limit, other_limit), &status);

    // Not a task: while draining there is nothing left to prove.
    let watchdog = watchdog::run(server.prober());
    let result = tokio::select! {
        () = watchdog => Err(RunError::ended("watchdog", "it returned")),
        asked = signal_queue.stop() => match asked {
            Some(actor) => {
                tracing::info!(%actor, "stopping, as asked by {actor}");
                Ok(())
            }
            None => Err(RunError::ended("signals", "the stream is closed")),
        },
        fault = server.failure() => Err(RunError::ended("server", fault)),
        error = tasks.ended() => Err(error),
    };
    draining.cancel();
    systemd::stopping(&usage::draining(built.limiter.snapshot()));
    let drained = drain(server, settings, &mut signal_queue, clients).await;
    drop(signal_queue);
    over.cancel();
    tasks.end().await;
    if bounded::within(SERIES_GRACE, move || keeper.end()).is_none() {
        tracing::warn!("the samples of the last seconds may be lost: the data disk does not respond");
    }
    close(built.store, if drained.at_once { CLOSE_AT_ONCE } else { CLOSE_GRACE });
    result
}

/// The sources of the settings, in words.
fn settings_from(loaded: &Loaded) -> String {
    let path = loaded.path.display();
    if loaded.has_file() {
        format!("config file {path}")
    } else {
        format!("no config file ({path} is not there)")
    }
}

/// Why the limit is not the configured one, in words; `None` if it is.
fn other_limit(limit_state: &LimitState, limiter: &Limiter, port: u16) -> Option<String> {
    let (base, limit) = (limit_state.base, limiter.snapshot().limit);
    if base == limit {
        return None;
    }
    Some(match &limit_state.override_ {
        Some(Override { limit: set, actor, door, .. }) if *set != limit => format!(
            "{set} was set by {actor} through {door} before this start, instead of the configured {base}, but this \
             process can hold at most {limit}"
        ),
        Some(Override { actor, door, .. }) => format!(
            "set by {actor} through {door} before this start, instead of the configured {base}; `shibudb manager \
             {port} reset` restores that"
        ),
        None => format!("{base} is configured, but this process can hold at most {}", limiter.ceiling()),
    })
}

/// Closes the store, on a thread of its own: its disk may not answer. Acknowledged writes are safe without it.
fn close(store: Store, longest: Duration) {
    match bounded::within(longest, move || store.close()) {
        Some(Ok(())) => {}
        Some(Err(error)) => tracing::error!(%error, "cannot close the store cleanly: {error}"),
        None => tracing::error!(
            "the store could not be closed within {longest:?}: its disk does not respond. Synced data is safe; with \
             durability = \"1s\" the last second may be lost"
        ),
    }
    tracing::info!("stopped");
}

/// The port, and the Unix socket if there is one, with its file.
fn management_listeners(
    port: std::net::TcpListener,
    socket: Option<UnixSocket>,
) -> io::Result<(Vec<Listener>, Option<SocketFile>)> {
    let mut listeners = vec![Listener::Tcp(TcpListener::from_std(port)?)];
    let Some(UnixSocket { listener, file }) = socket else { return Ok((listeners, None)) };
    listeners.push(Listener::Unix(UnixListener::from_std(listener)?));
    tracing::info!(socket = %file.path().display(), "management API also listening on {}", file.path().display());
    Ok((listeners, Some(file)))
}

/// Creates the first admin. Only logins wait for that.
async fn first_admin_task(prepared: Option<(PreparedAdmin, Option<&'static str>)>) {
    if let Some((admin, giver)) = prepared {
        match admin.create().await {
            Ok(FirstAdmin::NotNeeded) => {}
            Ok(FirstAdmin::Given) => {
                let giver = giver.unwrap_or("the process that started the server");
                tracing::info!(target: AUDIT, act = "user_created", object = "admin", giver, outcome = "done",
                    "created the account admin with the password of {giver}");
            }
            Ok(FirstAdmin::Written(path)) => {
                tracing::info!(target: AUDIT, act = "user_created", object = "admin",
                path = %path.display(), outcome = "done", "created the account admin; its password is in {}", path.display())
            }
            Err(error) => {
                tracing::error!(%error, "{error}");
                return;
            }
        }
    }
    std::future::pending().await
}

async fn management_task(listeners: Vec<Listener>, api: Management, over: CancellationToken) {
    let serving =
        listeners.into_iter().map(|listener| management::serve(listener, api.clone(), over.clone()));
    if let Err(error) = try_join_all(serving).await {
        tracing::error!(%error, "the management API failed: {error}");
    }
}

fn operators_runtime() -> Result<Runtime, RunError> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| RunError::System("start the runtime", error))
}

fn client_runtime() -> Result<Runtime, RunError> {
    // Sessions have threads of their own; only slow work runs here: logins and administration.
    Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("clients-slow")
        .enable_all()
        .build()
        .map_err(|error| RunError::System("start the clients' runtime", error))
}

fn take_pid_file(path: &Path) -> Result<PidFile, RunError> {
    PidFile::take(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::WouldBlock => RunError::AlreadyRunning(path.to_owned()),
        _ => RunError::file("write", path)(error),
    })
}

/// Starts a session of its own, so that the server outlives the terminal.
fn leave_the_terminal() -> Result<(), RunError> {
    match rustix::process::setsid() {
        // It already leads a session.
        Ok(_) | Err(rustix::io::Errno::PERM) => Ok(()),
        Err(error) => Err(RunError::System("leave the terminal", error.into())),
    }
}
