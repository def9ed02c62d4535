//! Runs the command line interface.

use std::process::ExitCode;

fn main() -> ExitCode {
    limit_arenas();
    chaincast::cli::run()
}

/// By default glibc uses up to eight malloc arenas per core, and memory that is free in one is not used by the others: a
/// backfill then takes twice the memory it needs. One arena per core is enough for as many threads.
#[cfg(target_env = "gnu")]
fn limit_arenas() {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let arenas = i32::try_from(cores).unwrap_or(i32::MAX);
    // SAFETY: mallopt only sets a number, and no other thread is running yet.
    #[allow(unsafe_code, reason = "glibc has no safe function for this")]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, arenas);
    }
}

#[cfg(not(target_env = "gnu"))]
fn limit_arenas() {}
