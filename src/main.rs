//! Arguments → config → App → exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    bound_arenas();
    chaincast::cli::run()
}

/// glibc keeps up to eight heaps a core, and what is free in one is of no use to the others: a load of history then
/// holds twice what it needs. One a core is enough for as many threads.
#[cfg(target_env = "gnu")]
fn bound_arenas() {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let arenas = i32::try_from(cores).unwrap_or(i32::MAX);
    // SAFETY: it only sets a number, and no other thread runs yet.
    #[allow(unsafe_code, reason = "glibc has no safe call that bounds its heaps")]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, arenas);
    }
}

#[cfg(not(target_env = "gnu"))]
fn bound_arenas() {}
