//! The FUSE protocol, version 7.31: the needed parts of `linux/fuse.h`.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;

/// The most that is written to the file system at once.
pub(super) const LARGEST_WRITE: u32 = 128 * 1024;

/// That, with its headers.
pub(super) const LARGEST_REQUEST: usize = LARGEST_WRITE as usize + 4096;

/// Every read and write reaches the file system; the kernel caches nothing.
const FOPEN_DIRECT_IO: u32 = 1;
/// Closing a file sends no request. A process that waits for an answer to that cannot be killed, not even by
/// SIGKILL: a test that is killed while its own file system is frozen would stay for good.
const FOPEN_NOFLUSH: u32 = 1 << 5;
/// How files are opened.
pub(super) const OPEN_FLAGS: u32 = FOPEN_DIRECT_IO | FOPEN_NOFLUSH;

pub(super) const LOOKUP: u32 = 1;
pub(super) const FORGET: u32 = 2;
pub(super) const GETATTR: u32 = 3;
pub(super) const SETATTR: u32 = 4;
pub(super) const READLINK: u32 = 5;
pub(super) const SYMLINK: u32 = 6;
pub(super) const MKDIR: u32 = 9;
pub(super) const UNLINK: u32 = 10;
pub(super) const RMDIR: u32 = 11;
pub(super) const RENAME: u32 = 12;
pub(super) const OPEN: u32 = 14;
pub(super) const READ: u32 = 15;
pub(super) const WRITE: u32 = 16;
pub(super) const STATFS: u32 = 17;
pub(super) const RELEASE: u32 = 18;
pub(super) const FSYNC: u32 = 20;
pub(super) const INIT: u32 = 26;
pub(super) const OPENDIR: u32 = 27;
pub(super) const READDIR: u32 = 28;
pub(super) const RELEASEDIR: u32 = 29;
pub(super) const FSYNCDIR: u32 = 30;
pub(super) const CREATE: u32 = 35;
pub(super) const INTERRUPT: u32 = 36;
pub(super) const BATCH_FORGET: u32 = 42;
pub(super) const RENAME2: u32 = 45;

/// Which fields of SETATTR count.
pub(super) const FATTR_MODE: u32 = 1 << 0;
pub(super) const FATTR_SIZE: u32 = 1 << 3;

/// The fields of a request, in order.
pub(super) struct Fields<'r>(pub(super) &'r [u8]);

impl<'r> Fields<'r> {
    pub(super) fn u32(&mut self) -> u32 {
        u32::from_ne_bytes(self.take(4).try_into().unwrap())
    }

    pub(super) fn u64(&mut self) -> u64 {
        u64::from_ne_bytes(self.take(8).try_into().unwrap())
    }

    pub(super) fn take(&mut self, length: usize) -> &'r [u8] {
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }

    /// A name, which ends with a zero.
    pub(super) fn name(&mut self) -> &'r [u8] {
        let end = self.0.iter().position(|&byte| byte == 0).unwrap();
        let name = self.take(end);
        self.take(1);
        name
    }
}

/// An answer, or part of one.
#[derive(Default)]
pub(super) struct Bytes(pub(super) Vec<u8>);

impl Bytes {
    pub(super) fn u16(mut self, value: u16) -> Self {
        self.0.extend(value.to_ne_bytes());
        self
    }

    pub(super) fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_ne_bytes());
        self
    }

    pub(super) fn u64(mut self, value: u64) -> Self {
        self.0.extend(value.to_ne_bytes());
        self
    }

    pub(super) fn zeros(mut self, count: usize) -> Self {
        self.0.resize(self.0.len() + count, 0);
        self
    }

    /// `fuse_attr`
    fn attributes(self, of: &Metadata) -> Self {
        let signed = |value: i64| value.cast_unsigned();
        let nanoseconds = |value: i64| u32::try_from(value).unwrap();
        self.u64(of.ino())
            .u64(of.size())
            .u64(of.blocks())
            .u64(signed(of.atime()))
            .u64(signed(of.mtime()))
            .u64(signed(of.ctime()))
            .u32(nanoseconds(of.atime_nsec()))
            .u32(nanoseconds(of.mtime_nsec()))
            .u32(nanoseconds(of.ctime_nsec()))
            .u32(of.mode())
            .u32(u32::try_from(of.nlink()).unwrap())
            .u32(of.uid())
            .u32(of.gid())
            .u32(u32::try_from(of.rdev()).unwrap())
            .u32(4096)
            .u32(0)
    }

    /// `fuse_attr_out`, which the kernel must not cache.
    pub(super) fn attr_out(of: &Metadata) -> Self {
        Self::default().zeros(16).attributes(of)
    }

    /// `fuse_entry_out`, likewise.
    pub(super) fn entry_out(node: u64, of: &Metadata) -> Self {
        Self::default().u64(node).zeros(32).attributes(of)
    }

    /// `fuse_open_out`
    pub(super) fn open_out(self, handle: u64, flags: u32) -> Self {
        self.u64(handle).u32(flags).u32(0)
    }

    /// `fuse_init_out`
    pub(super) fn init_out() -> Self {
        Self::default()
            .u32(7)
            .u32(31)
            .u32(LARGEST_WRITE)
            .u32(0)
            .u16(16)
            .u16(12)
            .u32(LARGEST_WRITE)
            .u32(1)
            .zeros(32)
    }

    /// `fuse_dirent`
    pub(super) fn entry(self, inode: u64, offset: u64, name: &[u8]) -> Self {
        let length = u32::try_from(name.len()).unwrap();
        let mut bytes = self.u64(inode).u64(offset).u32(length).u32(0);
        bytes.0.extend(name);
        let padded = bytes.0.len().next_multiple_of(8);
        bytes.0.resize(padded, 0);
        bytes
    }
}

/// An answer with its header.
pub(super) fn answer(unique: u64, result: io::Result<Bytes>) -> Vec<u8> {
    let (error, body) = match result {
        Ok(body) => (0, body.0),
        Err(error) => (-error.raw_os_error().unwrap_or(libc::EIO), Vec::new()),
    };
    let length = u32::try_from(16 + body.len()).unwrap();
    let mut bytes = Bytes::default().u32(length).u32(error.cast_unsigned()).u64(unique).0;
    bytes.extend(body);
    bytes
}
