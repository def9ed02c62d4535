//! CPU time and memory of the measured processes.

use std::fs;

use serde::Serialize;

use super::process;

/// In seconds.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Usage {
    pub node: f64,
    pub product: f64,
    pub postgres: f64,
}

/// CPU time of a postmaster and all its children, ended ones included, in steps of 10 ms.
pub fn postgres_seconds(postmaster: u32) -> f64 {
    let mut ticks = 0.0;
    for entry in fs::read_dir("/proc").expect("/proc exists").flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let fields: Vec<f64> = after_name
            .split_whitespace()
            .map(|field| field.parse().unwrap_or(0.0))
            .collect();
        // proc_pid_stat(5): after the name come state and parent; user and system time are fields 14 and 15, those of
        // ended children 16 and 17.
        let Some([_, parent, ..]) = fields.get(..15) else {
            continue;
        };
        if pid == postmaster {
            ticks += fields[11..15].iter().sum::<f64>();
        } else if *parent == f64::from(postmaster) {
            ticks += fields[11] + fields[12];
        }
    }
    ticks / 100.0
}

/// The parent of a process.
pub fn parent_of(pid: u32) -> u32 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    process::kib_line(&status, "PPid:") as u32
}

/// The peak resident memory of a process, in bytes (VmHWM of /proc/PID/status); `None` when it has ended.
pub fn peak_memory(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kib = process::kib_line(&status, "VmHWM:");
    (kib > 0).then_some(kib * 1_024)
}

/// CPU time of a process that may be ending; `None` when it has ended.
pub fn cpu_seconds(pid: u32) -> Option<f64> {
    use nix::{
        time::{clock_getcpuclockid, clock_gettime},
        unistd::Pid,
    };
    let clock = clock_getcpuclockid(Pid::from_raw(pid as i32)).ok()?;
    let time = clock_gettime(clock).ok()?;
    Some(time.tv_sec() as f64 + time.tv_nsec() as f64 / 1e9)
}
