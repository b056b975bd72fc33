//! Descriptors passed as in sd_listen_fds(3): by a socket unit, or by an earlier run through the file-descriptor store.
//!
//! The environment only claims that there are descriptors. Each is checked before it is used, and a false claim ends
//! the start: otherwise the server would run without sockets whose owner believes that they are served.

use std::env;
use std::ffi::OsString;
use std::io;
use std::iter;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{OwnedFd, RawFd};
use std::process;

use rustix::fs::{FileType, fstat};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::sockopt::{socket_acceptconn, socket_domain, socket_type};
use rustix::net::{AddressFamily, SocketType};

use super::{is_open, take_over};

/// The first descriptor that is passed.
const FIRST: RawFd = 3;

/// The name of a descriptor that was passed without one.
const UNNAMED: &str = "unknown";

/// A descriptor that was passed.
#[derive(Debug)]
pub(crate) struct Inherited {
    /// The name it was passed under.
    pub name: String,
    /// What it is.
    pub descriptor: Descriptor,
}

/// What a descriptor is.
#[derive(Debug)]
pub(crate) enum Descriptor {
    /// A listening TCP socket, and its address.
    Listener(TcpListener, SocketAddr),
    /// Anything else, which was closed.
    Other(&'static str),
}

/// Why the passed descriptors cannot be determined.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InheritError {
    /// A variable has an unexpected value.
    #[error(
        "{name} is {value:?}: expected {expected}; the process that starts shibudb sets it to hand over sockets, see \
         sd_listen_fds(3)"
    )]
    Variable {
        /// Its name.
        name: &'static str,
        /// Its value.
        value: OsString,
        /// What was expected.
        expected: &'static str,
    },
    /// There are more or fewer names than descriptors.
    #[error(
        "LISTEN_FDNAMES names {names} descriptors, but LISTEN_FDS says that {descriptors} were handed over; the \
         process that starts shibudb sets both, see sd_listen_fds(3)"
    )]
    Names {
        /// How many names there are.
        names: usize,
        /// How many descriptors there should be.
        descriptors: RawFd,
    },
    /// A descriptor does not exist.
    #[error(
        "LISTEN_FDS={descriptors} says that the descriptors {FIRST} to {last} were handed over, but {missing} \
         is not open: hand the sockets over as sd_listen_fds(3) says, or unset LISTEN_FDS and LISTEN_PID",
        last = FIRST + descriptors - 1
    )]
    NotOpen {
        /// How many descriptors there should be.
        descriptors: RawFd,
        /// The first that does not exist.
        missing: RawFd,
    },
    /// The system does not report its state, or cannot set it close-on-exec.
    #[error("cannot take over descriptor {descriptor}: {source}")]
    System {
        /// Its number.
        descriptor: RawFd,
        /// The system's error.
        source: io::Error,
    },
}

impl InheritError {
    /// Whether the next start would fail in the same way.
    #[must_use]
    pub(crate) fn is_permanent(&self) -> bool {
        !matches!(self, Self::System { .. })
    }
}

/// Takes over the descriptors passed to this process. Must be called once and before anything else: a descriptor that
/// this process opens itself could have one of these numbers.
///
/// # Errors
/// [`InheritError`]; nothing was taken.
pub(crate) fn inherited() -> Result<Vec<Inherited>, InheritError> {
    let Some(claim) = Claim::from_environment(env::var_os, process::id())? else {
        return Ok(Vec::new());
    };
    let numbers = FIRST..FIRST + claim.descriptors;
    if let Some(missing) = numbers.clone().find(|&number| !is_open(number)) {
        return Err(InheritError::NotOpen { descriptors: claim.descriptors, missing });
    }
    // All of them, so that none stays open if one is unusable.
    let descriptors: Vec<_> = numbers.map(|number| (number, take_over(number))).collect();
    let names = claim.names.into_iter().chain(iter::repeat(UNNAMED.to_owned()));
    descriptors
        .into_iter()
        .zip(names)
        .map(|((number, descriptor), name)| {
            let system = |source| InheritError::System { descriptor: number, source };
            fcntl_setfd(&descriptor, FdFlags::CLOEXEC).map_err(|error| system(error.into()))?;
            Ok(Inherited { name, descriptor: Descriptor::of(descriptor).map_err(system)? })
        })
        .collect()
}

/// What the environment claims about descriptors for this process.
#[derive(Debug, PartialEq, Eq)]
struct Claim {
    descriptors: RawFd,
    /// One for each descriptor, or none: then they have no names.
    names: Vec<String>,
}

impl Claim {
    fn from_environment(
        get: impl Fn(&'static str) -> Option<OsString>,
        this_process: u32,
    ) -> Result<Option<Self>, InheritError> {
        let number = |name, value: OsString, expected| match value.to_str().map(str::parse::<u32>) {
            Some(Ok(number)) => Ok(number),
            _ => Err(InheritError::Variable { name, value, expected }),
        };
        let Some(pid) = get("LISTEN_PID") else { return Ok(None) };
        if number("LISTEN_PID", pid, "the id of the process that sockets are handed to")? != this_process {
            return Ok(None);
        }
        let Some(value) = get("LISTEN_FDS") else { return Ok(None) };
        let expected = "the number of descriptors that are handed over";
        let descriptors = number("LISTEN_FDS", value.clone(), expected)?;
        let fits = |descriptors: &RawFd| descriptors.checked_add(FIRST).is_some();
        let Some(descriptors) = RawFd::try_from(descriptors).ok().filter(fits) else {
            return Err(InheritError::Variable { name: "LISTEN_FDS", value, expected });
        };
        if descriptors == 0 {
            return Ok(None);
        }
        let names: Option<Vec<_>> = match get("LISTEN_FDNAMES") {
            None => None,
            Some(value) => match value.to_str() {
                Some(names) => Some(names.split(':').map(str::to_owned).collect()),
                None => {
                    let expected = "names with colons between them";
                    return Err(InheritError::Variable { name: "LISTEN_FDNAMES", value, expected });
                }
            },
        };
        match names {
            Some(names) if usize::try_from(descriptors) != Ok(names.len()) => {
                Err(InheritError::Names { names: names.len(), descriptors })
            }
            names => Ok(Some(Self { descriptors, names: names.unwrap_or_default() })),
        }
    }
}

impl Descriptor {
    fn of(descriptor: OwnedFd) -> io::Result<Self> {
        let other = match FileType::from_raw_mode(fstat(&descriptor)?.st_mode) {
            FileType::Socket => {
                let family = socket_domain(&descriptor)?;
                let internet = matches!(family, AddressFamily::INET | AddressFamily::INET6);
                match (family, socket_type(&descriptor)?) {
                    (AddressFamily::UNIX, _) => "a Unix socket",
                    (_, SocketType::STREAM) if internet => {
                        if socket_acceptconn(&descriptor)? {
                            let listener = TcpListener::from(descriptor);
                            let address = listener.local_addr()?;
                            return Ok(Self::Listener(listener, address));
                        }
                        "a socket that does not listen"
                    }
                    (_, SocketType::DGRAM) if internet => "a UDP socket",
                    _ => "a socket, but not of TCP",
                }
            }
            FileType::Fifo => "a pipe",
            FileType::RegularFile => "a file",
            FileType::Directory => "a directory",
            FileType::CharacterDevice | FileType::BlockDevice => "a device",
            _ => "no socket",
        };
        Ok(Self::Other(other))
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    /// The claim made by variables with these values, in process 7.
    fn claim(pid: &str, descriptors: &str, names: Option<&str>) -> Result<Option<Claim>, String> {
        let get = |name| match name {
            "LISTEN_PID" => Some(pid.into()),
            "LISTEN_FDS" => Some(descriptors.into()),
            _ => names.map(Into::into),
        };
        Claim::from_environment(get, 7).map_err(|error| error.to_string())
    }

    #[test]
    fn a_claim_is_for_one_process() {
        let claimed = Claim { descriptors: 2, names: vec!["a".into(), String::new()] };
        assert_eq!(claim("7", "2", Some("a:")), Ok(Some(claimed)));
        assert_eq!(claim("7", "2", None), Ok(Some(Claim { descriptors: 2, names: Vec::new() })));
        assert_eq!(claim("8", "2", Some("a:b")), Ok(None));
        assert_eq!(claim("8", "nonsense", None), Ok(None), "that of somebody else is not looked at");
        assert_eq!(claim("7", "0", Some("")), Ok(None));
        assert_eq!(Claim::from_environment(|_| None, 7).unwrap(), None);
    }

    #[test]
    fn a_variable_that_makes_no_sense_is_named_with_its_value() {
        for (pid, descriptors, names, name) in [
            ("", "1", None, "LISTEN_PID is \"\""),
            ("seven", "1", None, "LISTEN_PID is \"seven\""),
            ("7", "", None, "LISTEN_FDS is \"\""),
            ("7", "-1", None, "LISTEN_FDS is \"-1\""),
            ("7", "2147483645", None, "LISTEN_FDS is \"2147483645\""),
            ("7", "99999999999", None, "LISTEN_FDS is \"99999999999\""),
            ("7", "2", Some("a"), "LISTEN_FDNAMES names 1 descriptors, but LISTEN_FDS says that 2"),
        ] {
            let problem = claim(pid, descriptors, names).unwrap_err();
            assert!(problem.starts_with(name), "{problem}");
        }
        let bytes =
            |name| Some(if name == "LISTEN_PID" { "7".into() } else { OsStr::from_bytes(b"\xff").into() });
        Claim::from_environment(bytes, 7).unwrap_err();
    }

    #[test]
    fn a_descriptor_is_what_it_is() {
        let of = |descriptor: OwnedFd| match Descriptor::of(descriptor).unwrap() {
            Descriptor::Listener(_, address) => address.to_string(),
            Descriptor::Other(what) => what.to_owned(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connection = std::net::TcpStream::connect(address).unwrap();
        assert_eq!(of(listener.into()), address.to_string());
        assert_eq!(of(connection.into()), "a socket that does not listen");
        assert_eq!(of(std::net::UdpSocket::bind("127.0.0.1:0").unwrap().into()), "a UDP socket");
        assert_eq!(of(std::os::unix::net::UnixDatagram::unbound().unwrap().into()), "a Unix socket");
        assert_eq!(of(std::fs::File::open("/dev/null").unwrap().into()), "a device");
        assert_eq!(of(tempfile::tempfile().unwrap().into()), "a file");
        assert_eq!(of(std::io::pipe().unwrap().0.into()), "a pipe");
    }
}
