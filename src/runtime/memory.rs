//! How the process's allocator keeps what was freed.

/// So many arenas: glibc's own bound is eight for each processor, those of the whole machine.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const ARENAS: libc::c_int = 2;

/// Lets all threads share few arenas. Each keeps what was freed in it, and Kafka's clients bring threads that come
/// and go; with one arena for nearly every thread a quarter of what 1,000 migrations take is such leavings. Before
/// the first thread is started.
#[allow(unsafe_code)]
pub fn share_arenas() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: takes two numbers and changes a setting of the allocator; it may be called at any time.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, ARENAS);
    }
}
