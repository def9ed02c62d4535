//! Stops servers that a killed chaincast left running.
//!
//! A process is stopped only if its command line names the file or directory that is about to be used: its process id
//! alone may have been reused by another program.

use std::{path::Path, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::time::{Instant, sleep};

use super::DevError;

const POLL: Duration = Duration::from_millis(20);

/// The command line of a running process, arguments separated by spaces; `None` if the process has ended (or is a
/// zombie).
#[cfg(target_os = "linux")]
pub(super) fn command_line(pid: i32) -> Option<String> {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let text = String::from_utf8_lossy(&bytes).replace('\0', " ");
    (!text.trim().is_empty()).then_some(text)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn command_line(pid: i32) -> Option<String> {
    let output = std::process::Command::new("ps")
        .args(["-o", "command=", "-p", &pid.to_string()])
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (!text.trim().is_empty()).then_some(text)
}

/// Stops process `pid` if it is a server that uses `path`: with signal `graceful` first, and SIGKILL after `timeout`.
pub(super) async fn stop_orphan(
    program: &'static str,
    pid: i32,
    path: &Path,
    graceful: Signal,
    timeout: Duration,
) -> Result<(), DevError> {
    let marker = path.to_string_lossy();
    let runs = || pid > 1 && command_line(pid).is_some_and(|line| line.contains(&*marker));
    if !runs() {
        return Ok(());
    }
    tracing::info!(
        program,
        pid,
        ?path,
        "stopping a server that an earlier chaincast left running"
    );
    for (signal, timeout) in [
        (graceful, timeout),
        (Signal::SIGKILL, Duration::from_secs(5)),
    ] {
        // Failures are detected below: the process still runs.
        kill(Pid::from_raw(pid), signal).ok();
        let deadline = Instant::now() + timeout;
        while Instant::now() < deadline {
            if !runs() {
                return Ok(());
            }
            sleep(POLL).await;
        }
    }
    Err(DevError::InUse(path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[tokio::test]
    async fn stops_only_process_with_the_path() {
        let mut child = Command::new("sh")
            .args(["-c", "while :; do sleep 0.05; done", "/some/data dir"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let pid = child.id().cast_signed();
        // Between fork and exec there is no command line.
        while command_line(pid).is_none() {
            std::thread::yield_now();
        }
        let stop = |path| stop_orphan("sh", pid, path, Signal::SIGTERM, Duration::from_secs(5));

        stop(Path::new("/another/dir")).await.unwrap();
        assert!(
            child.try_wait().unwrap().is_none(),
            "the wrong process was stopped"
        );

        stop(Path::new("/some/data dir")).await.unwrap();
        assert!(!child.wait().unwrap().success());
    }
}
