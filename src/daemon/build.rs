//! From the options to everything that must be there before anything is served.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use jiff::Timestamp;
use tokio::runtime::Handle;

use super::bind::{self, Listeners};
use super::descriptors::{self, Shares};
use super::reload::Loaded;
use super::settings::{self, CommandLine};
use super::starting::{Stage, Starting};
use super::trouble::Problems;
use super::unix_socket::UnixSocket;
use super::{AdminPassword, DEFAULT_CONFIG, Options, RunError, files, may_pass, modes, paths};
use crate::auth::{AccountError, Accounts, FirstAdminError, HashCost, PreparedAdmin};
use crate::config::{self, Key, Parsed};
use crate::control::{Configured, Control};
use crate::limiter::Limiter;
use crate::logging::Log;
use crate::management::{ConnectionSlots, TokenError};
use crate::owner::{self, Foreign};
use crate::private;
use crate::series::{Sample, ring};
use crate::store::Store;
use crate::systemd::{self, Inherited};

/// The credential with the administrator's first password.
const ADMIN_CREDENTIAL: &str = "shibudb.admin-password";

/// What must be there before anything is served.
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
    /// The last hour, as far as an earlier process has seen it.
    pub(super) past: Vec<Sample>,
    pub(super) data_dir: PathBuf,
}

/// Where data goes with this config file and command line, for `start`, which keeps its log there.
///
/// # Errors
/// [`RunError`] if the file is invalid or there is no place.
pub fn data_dir_for(config: Option<&Path>, named: Option<&Path>) -> Result<PathBuf, RunError> {
    let command_line = CommandLine {
        config: config.map(Path::to_owned),
        data_dir: named.map(Path::to_owned),
        ..CommandLine::default()
    };
    let loaded = load(command_line, &Stage::default())?;
    Ok(paths::data_dir(loaded.running.storage.path.as_deref())?)
}

/// Everything that can fail, in the order in which a failure is cheapest.
pub(super) fn build(
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
    // `start` notifies, too, but keeps no socket.
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

/// Reads the config file, if there is one, and puts the command line above it.
fn load(mut command_line: CommandLine, stage: &Stage) -> Result<Loaded, RunError> {
    // A later reader of the path has another working directory.
    if let Some(named) = &mut command_line.data_dir {
        *named = std::path::absolute(&*named).map_err(RunError::file("find", &*named))?;
    }
    let path = command_line.config.clone().unwrap_or_else(|| DEFAULT_CONFIG.into());
    let path = std::path::absolute(&path).map_err(RunError::file("find", &path))?;
    stage.reading(&path);
    let (file, text) = match files::read_at_start(&path) {
        Ok(text) => (config::parse_file(&path, &text)?, text),
        Err(error) if error.is_missing() && command_line.config.is_none() => (Parsed::default(), Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let wanted = command_line.over(&file.config);
    settings::validate(&wanted).map_err(|problem| match command_line.port {
        Some(_) => RunError::Usage(problem),
        None => RunError::Config(format!("{}: {problem}", path.display())),
    })?;
    if let Some(token_file) = &wanted.management.token_file {
        stage.reading(token_file);
    }
    let token = settings::token(&wanted).map_err(|problem| {
        let words = format!("{}: {problem}", path.display());
        match problem {
            TokenError::Read { source, .. } if may_pass(&source) => RunError::Unreadable(words),
            _ => RunError::Config(words),
        }
    })?;
    Ok(Loaded {
        running: wanted.clone(),
        wanted,
        set_at_start: file.set.clone(),
        file,
        token,
        command_line,
        default_data_dir: paths::data_dir(None).ok(),
        path,
        text: Ok(text),
        last_reload: None,
        problems: Problems::default(),
        in_force_since: Timestamp::now(),
    })
}

/// The first account to be made, with the password that is given. One that cannot be used ends the start, unless
/// there are accounts: then there is no use for it.
async fn first_admin(
    accounts: &Accounts,
    of_environment: Option<AdminPassword>,
    data_dir: &Path,
) -> Result<Option<(PreparedAdmin, Option<&'static str>)>, RunError> {
    let in_environment = of_environment.as_ref().is_some_and(|AdminPassword(password)| !password.is_empty());
    let given = match given_password(of_environment) {
        Err(problem) if accounts.is_empty() => return Err(RunError::Config(problem)),
        Err(problem) => {
            tracing::warn!("{problem}; it is not needed because accounts already exist");
            None
        }
        Ok(given) => given,
    };
    let password = given.as_ref().map(|given| given.password.as_str());
    let prepared =
        accounts.prepare_admin(password, data_dir).await.map_err(|error| match (error, given.as_ref()) {
            (FirstAdminError::Account(problem @ AccountError::InvalidPassword(_)), Some(given)) => {
                RunError::Config(format!("{}: the {problem}", given.source))
            }
            (error, _) => error.into(),
        })?;
    if let (Some(_), Some(GivenPassword { giver: OF_CREDENTIAL, source, .. })) = (&prepared, &given)
        && in_environment
    {
        tracing::warn!("using the password of {source} for the account admin; {OF_ENVIRONMENT} is ignored");
    }
    Ok(prepared.map(|admin| (admin, given.map(|given| given.giver))))
}

/// The source of the administrator's first password.
const OF_CREDENTIAL: &str = "the credential shibudb.admin-password";
const OF_ENVIRONMENT: &str = "the environment variable SHIBUDB_ADMIN_PASSWORD";

/// The administrator's first password.
struct GivenPassword {
    password: String,
    /// [`OF_CREDENTIAL`] or [`OF_ENVIRONMENT`].
    giver: &'static str,
    /// The same with the place where it is to be found.
    source: String,
}

/// The administrator's first password: systemd's credential, else the environment. If it cannot be one, the
/// error says whose fault that is and what to do.
fn given_password(of_environment: Option<AdminPassword>) -> Result<Option<GivenPassword>, String> {
    if let Some(directory) = std::env::var_os("CREDENTIALS_DIRECTORY") {
        let path = Path::new(&directory).join(ADMIN_CREDENTIAL);
        let source = format!("{OF_CREDENTIAL} ({})", path.display());
        match std::fs::read(&path) {
            Ok(bytes) => {
                let text = String::from_utf8(bytes).map_err(|_| format!("{source} is not UTF-8"))?;
                let password = text.trim_end_matches(['\r', '\n']).to_owned();
                if password.is_empty() {
                    return Err(format!(
                        "{source} is empty: store the initial password of the account admin there, or remove the \
                         credential to have one generated"
                    ));
                }
                return Ok(Some(GivenPassword { password, giver: OF_CREDENTIAL, source }));
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(format!("cannot read {source}: {error}")),
        }
    }
    // An empty variable is how a template says that there is none.
    let Some(AdminPassword(password)) = of_environment.filter(|AdminPassword(password)| !password.is_empty())
    else {
        return Ok(None);
    };
    Ok(Some(GivenPassword { password, giver: OF_ENVIRONMENT, source: OF_ENVIRONMENT.to_owned() }))
}

/// Makes a directory, and those above it, for nobody but this user: stored data is not the whole
/// machine's to read.
///
/// # Errors
/// [`RunError::File`]
pub fn make_private_dir(path: &Path) -> Result<(), RunError> {
    private::make_dir(path).map_err(RunError::file("create", path))
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

pub(super) fn local(listener: &std::net::TcpListener) -> Result<SocketAddr, RunError> {
    listener.local_addr().map_err(|error| RunError::System("read a socket's address", error))
}
