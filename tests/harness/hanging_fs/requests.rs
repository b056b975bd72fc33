//! The effects of requests on the underlying directory.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{
    DirBuilderExt as _, DirEntryExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _,
    PermissionsExt as _, symlink,
};
use std::path::{Path, PathBuf};

use super::wire::{self, Bytes, Fields};

const ROOT: u64 = 1;

/// The underlying directory, and what the kernel knows about it.
pub(super) struct Requests {
    /// The paths of the nodes known to the kernel.
    nodes: HashMap<u64, PathBuf>,
    last_node: u64,
    open: HashMap<u64, File>,
    /// Listings, as of the opening of the directory.
    listed: HashMap<u64, Vec<(u64, Vec<u8>)>>,
    last_handle: u64,
}

impl Requests {
    pub(super) fn on(source: PathBuf) -> Self {
        Self {
            nodes: HashMap::from([(ROOT, source)]),
            last_node: ROOT,
            open: HashMap::new(),
            listed: HashMap::new(),
            last_handle: 0,
        }
    }

    /// Executes a request; `None` if no answer is expected.
    pub(super) fn answer(&mut self, request: &[u8]) -> Option<Vec<u8>> {
        let mut fields = Fields(request);
        let _length = fields.u32();
        let operation = fields.u32();
        let unique = fields.u64();
        let node = fields.u64();
        let _caller = fields.take(16);
        if matches!(operation, wire::FORGET | wire::BATCH_FORGET | wire::INTERRUPT) {
            return None;
        }
        Some(wire::answer(unique, self.act(operation, node, fields)))
    }

    fn act(&mut self, operation: u32, node: u64, mut fields: Fields<'_>) -> io::Result<Bytes> {
        match operation {
            wire::INIT => Ok(Bytes::init_out()),
            wire::LOOKUP => self.entry(node, fields.name()),
            wire::GETATTR => Ok(Bytes::attr_out(&self.metadata(node)?)),
            wire::SETATTR => self.set_attributes(node, fields),
            wire::READLINK => {
                Ok(Bytes(fs::read_link(self.path(node)?)?.into_os_string().as_bytes().to_vec()))
            }
            wire::SYMLINK => {
                let (name, target) = (fields.name(), fields.name());
                symlink(OsStr::from_bytes(target), self.beneath(node, name)?)?;
                self.entry(node, name)
            }
            wire::MKDIR => {
                let (mode, _umask, name) = (fields.u32(), fields.u32(), fields.name());
                fs::DirBuilder::new().mode(mode).create(self.beneath(node, name)?)?;
                self.entry(node, name)
            }
            wire::UNLINK => {
                self.beneath(node, fields.name()).and_then(fs::remove_file).map(|()| Bytes::default())
            }
            wire::RMDIR => {
                self.beneath(node, fields.name()).and_then(fs::remove_dir).map(|()| Bytes::default())
            }
            wire::RENAME => self.rename(node, fields),
            wire::RENAME2 => {
                let (directory, flags) = (fields.u64(), fields.u32());
                if flags != 0 {
                    return Err(refusal(libc::EINVAL));
                }
                fields.u32();
                self.rename_to(node, directory, fields)
            }
            wire::OPEN => {
                let flags = fields.u32();
                let file = open(flags).open(self.path(node)?)?;
                Ok(Bytes::default().open_out(self.keep(file), wire::OPEN_FLAGS))
            }
            wire::CREATE => {
                let (flags, mode, _umask, _) = (fields.u32(), fields.u32(), fields.u32(), fields.u32());
                let name = fields.name();
                let file = open(flags).create(true).mode(mode).open(self.beneath(node, name)?)?;
                let entry = self.entry(node, name)?;
                Ok(entry.open_out(self.keep(file), wire::OPEN_FLAGS))
            }
            wire::READ => {
                let (handle, offset, size) = (fields.u64(), fields.u64(), fields.u32());
                let mut buffer = vec![0; size as usize];
                let length = self.file(handle)?.read_at(&mut buffer, offset)?;
                buffer.truncate(length);
                Ok(Bytes(buffer))
            }
            wire::WRITE => {
                let (handle, offset, size) = (fields.u64(), fields.u64(), fields.u32());
                fields.take(20);
                self.file(handle)?.write_all_at(fields.take(size as usize), offset)?;
                Ok(Bytes::default().u32(size).u32(0))
            }
            wire::FSYNC => self.file(fields.u64())?.sync_all().map(|()| Bytes::default()),
            wire::FSYNCDIR => File::open(self.path(node)?)?.sync_all().map(|()| Bytes::default()),
            wire::RELEASE | wire::RELEASEDIR => {
                let handle = fields.u64();
                self.open.remove(&handle);
                self.listed.remove(&handle);
                Ok(Bytes::default())
            }
            wire::OPENDIR => self.open_directory(node),
            wire::READDIR => self.read_directory(fields),
            // Larger than any caller needs.
            wire::STATFS => {
                let blocks =
                    Bytes::default().u64(1 << 30).u64(1 << 29).u64(1 << 29).u64(1 << 30).u64(1 << 29);
                Ok(blocks.u32(4096).u32(255).u32(4096).zeros(28))
            }
            _ => Err(refusal(libc::ENOSYS)),
        }
    }

    fn path(&self, node: u64) -> io::Result<&Path> {
        self.nodes.get(&node).map(PathBuf::as_path).ok_or_else(|| refusal(libc::ESTALE))
    }

    fn beneath(&self, node: u64, name: &[u8]) -> io::Result<PathBuf> {
        Ok(self.path(node)?.join(OsStr::from_bytes(name)))
    }

    fn metadata(&self, node: u64) -> io::Result<fs::Metadata> {
        self.path(node)?.symlink_metadata()
    }

    fn file(&self, handle: u64) -> io::Result<&File> {
        self.open.get(&handle).ok_or_else(|| refusal(libc::EBADF))
    }

    fn keep(&mut self, file: File) -> u64 {
        self.last_handle += 1;
        self.open.insert(self.last_handle, file);
        self.last_handle
    }

    /// The kernel's entry for a name. A path has one node as long as it is the same file.
    fn entry(&mut self, node: u64, name: &[u8]) -> io::Result<Bytes> {
        let path = self.beneath(node, name)?;
        let metadata = path.symlink_metadata()?;
        let known = self.nodes.iter().find(|(_, known)| **known == path).map(|(&node, _)| node);
        let node = known.unwrap_or_else(|| {
            self.last_node += 1;
            self.nodes.insert(self.last_node, path);
            self.last_node
        });
        Ok(Bytes::entry_out(node, &metadata))
    }

    fn set_attributes(&self, node: u64, mut fields: Fields<'_>) -> io::Result<Bytes> {
        let valid = fields.u32();
        fields.take(12);
        let size = fields.u64();
        // The lock's owner, the times.
        fields.take(44);
        let mode = fields.u32();
        let path = self.path(node)?;
        if valid & wire::FATTR_SIZE != 0 {
            OpenOptions::new().write(true).open(path)?.set_len(size)?;
        }
        if valid & wire::FATTR_MODE != 0 {
            fs::set_permissions(path, Permissions::from_mode(mode & 0o7777))?;
        }
        Ok(Bytes::attr_out(&path.symlink_metadata()?))
    }

    fn rename(&mut self, node: u64, mut fields: Fields<'_>) -> io::Result<Bytes> {
        let directory = fields.u64();
        self.rename_to(node, directory, fields)
    }

    fn rename_to(&mut self, node: u64, directory: u64, mut fields: Fields<'_>) -> io::Result<Bytes> {
        let (from, to) = (self.beneath(node, fields.name())?, self.beneath(directory, fields.name())?);
        fs::rename(&from, &to)?;
        // The replaced file is a different one; its open descriptors use handles.
        self.nodes.retain(|_, path| !path.starts_with(&to));
        for path in self.nodes.values_mut() {
            if let Ok(rest) = path.strip_prefix(&from) {
                *path = if rest.as_os_str().is_empty() { to.clone() } else { to.join(rest) };
            }
        }
        Ok(Bytes::default())
    }

    fn open_directory(&mut self, node: u64) -> io::Result<Bytes> {
        let mut entries = vec![(self.metadata(node)?.ino(), b".".to_vec()), (ROOT, b"..".to_vec())];
        for entry in fs::read_dir(self.path(node)?)? {
            let entry = entry?;
            entries.push((entry.ino(), entry.file_name().as_bytes().to_vec()));
        }
        self.last_handle += 1;
        self.listed.insert(self.last_handle, entries);
        Ok(Bytes::default().open_out(self.last_handle, 0))
    }

    fn read_directory(&self, mut fields: Fields<'_>) -> io::Result<Bytes> {
        let (handle, offset, size) = (fields.u64(), fields.u64(), fields.u32() as usize);
        let entries = self.listed.get(&handle).ok_or_else(|| refusal(libc::EBADF))?;
        let mut bytes = Bytes::default();
        for (position, (inode, name)) in (1..).zip(entries).skip(usize::try_from(offset).unwrap()) {
            let longer = Bytes(bytes.0.clone()).entry(*inode, position, name);
            if longer.0.len() > size {
                break;
            }
            bytes = longer;
        }
        Ok(bytes)
    }
}

/// The options of an open. Only CREATE permits a missing file.
fn open(flags: u32) -> OpenOptions {
    let flags = flags.cast_signed();
    let access = flags & libc::O_ACCMODE;
    let mut options = OpenOptions::new();
    options.read(access != libc::O_WRONLY).write(access != libc::O_RDONLY);
    options.custom_flags(flags & (libc::O_EXCL | libc::O_TRUNC | libc::O_NONBLOCK));
    options
}

fn refusal(error: i32) -> io::Error {
    io::Error::from_raw_os_error(error)
}
