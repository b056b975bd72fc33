//! Returns freed memory to the system.

/// An allocation of at least this size (bytes) is mapped separately, and so returned to the system when freed.
///
/// It is glibc's initial value. By default glibc raises it to the size of every freed block, and its
/// reserve to twice that: after a few logins the process would keep the memory of their password
/// hashes, a hundred megabytes, and that of connections long gone.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const OF_ITS_OWN: libc::c_int = 128 * 1024;

/// Makes the allocator return freed memory. Call it before there are threads.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(super) fn give_back() {
    #[expect(unsafe_code, reason = "mallopt(3) has no safe counterpart, and takes nothing but two numbers")]
    // SAFETY: there are no other threads yet, which is all that mallopt(3) requires.
    let accepted = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, OF_ITS_OWN) };
    debug_assert_eq!(accepted, 1, "glibc knows this parameter");
}

/// Other allocators return memory by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(super) fn give_back() {}
