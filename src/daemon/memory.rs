//! Memory that is freed goes back to the system.

/// What is at least this long (bytes) is asked of the system by itself, and so goes back to it when it is freed.
///
/// It is what glibc begins with. Left to itself it raises this to the size of whatever is freed, and what it
/// keeps in reserve to twice that: after a few logins the process would sit on the memory of their password
/// hashes, a hundred megabytes, and on that of connections long gone.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const OF_ITS_OWN: libc::c_int = 128 * 1024;

/// Has the allocator give back what is freed. To be called before there are threads.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(super) fn give_back() {
    #[expect(unsafe_code, reason = "mallopt(3) has no safe counterpart, and takes nothing but two numbers")]
    // SAFETY: there are no other threads yet, which is all that mallopt(3) asks for.
    let accepted = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, OF_ITS_OWN) };
    debug_assert_eq!(accepted, 1, "glibc knows this parameter");
}

/// Other allocators do without being told.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(super) fn give_back() {}
