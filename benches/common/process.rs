//! Resource usage of a process, and the core that it runs on.

use std::fs;

use nix::{
    sched::{CpuSet, sched_setaffinity},
    sys::resource::{Resource, getrlimit, setrlimit},
    time::{ClockId, clock_getcpuclockid, clock_gettime},
    unistd::{Pid, SysconfVar, sysconf},
};

/// The core of every measured server.
pub const SERVER_CORE: usize = 0;
/// The core of the load client.
pub const CLIENT_CORE: usize = 1;

/// Pins the calling thread and the threads and processes it starts from now on. Does nothing on a machine with one
/// core.
pub fn pin(core: usize) {
    if cores() < 2 {
        return;
    }
    let mut set = CpuSet::new();
    set.set(core).expect("core numbers are small");
    sched_setaffinity(Pid::from_raw(0), &set).expect("a process may choose among its own cores");
}

pub fn cores() -> usize {
    match sysconf(SysconfVar::_NPROCESSORS_ONLN) {
        Ok(Some(count)) => count as usize,
        _ => 1,
    }
}

/// Raises the soft limit of open files: sessions are sockets.
pub fn raise_file_limit() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("the limit can be read");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("raising to the hard limit is allowed");
}

/// CPU time of all threads of a process, ended ones included, in seconds: its CPU-time clock, which counts the same as
/// /proc/PID/stat, but in ns.
pub fn cpu_seconds(pid: u32) -> f64 {
    let clock = clock_getcpuclockid(Pid::from_raw(pid as i32)).expect("the server runs");
    seconds(clock)
}

/// User and system time of a process in seconds, in steps of 10 ms (proc_pid_stat(5), fields 14 and 15).
pub fn user_and_system(pid: u32) -> (f64, f64) {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the server runs");
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = |index: usize| {
        let field = after_name.split_whitespace().nth(index);
        field
            .and_then(|field| field.parse::<f64>().ok())
            .unwrap_or(0.0)
            / 100.0
    };
    (ticks(11), ticks(12))
}

/// Resident memory of a process, in bytes (VmRSS of /proc/PID/status).
pub fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the server runs");
    kib_line(&status, "VmRSS:") * 1_024
}

/// Memory that the kernel holds for TCP sockets of this machine, in bytes.
pub fn tcp_memory() -> u64 {
    let text = fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
    let line = text
        .lines()
        .find(|line| line.starts_with("TCP:"))
        .unwrap_or_default();
    let pages = line
        .split_whitespace()
        .skip_while(|word| *word != "mem")
        .nth(1);
    pages
        .and_then(|pages| pages.parse::<u64>().ok())
        .unwrap_or(0)
        * 4_096
}

pub fn kib_line(text: &str, name: &str) -> u64 {
    let line = text
        .lines()
        .find(|line| line.starts_with(name))
        .unwrap_or_default();
    line.split_whitespace()
        .nth(1)
        .and_then(|count| count.parse().ok())
        .unwrap_or(0)
}

/// The clock that all processes of the machine share, in ns (CLOCK_MONOTONIC).
pub fn now_ns() -> u64 {
    (seconds_and_nanos(ClockId::CLOCK_MONOTONIC)) as u64
}

fn seconds(clock: ClockId) -> f64 {
    seconds_and_nanos(clock) as f64 / 1e9
}

fn seconds_and_nanos(clock: ClockId) -> i64 {
    let time = clock_gettime(clock).expect("the clock exists");
    time.tv_sec() as i64 * 1_000_000_000 + time.tv_nsec() as i64
}
