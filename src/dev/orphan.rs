//! Servers that a killed chaincast left behind.
//!
//! A process is ours only if its command line names the file or directory that we are about to use: a process id alone
//! may have been given to another program since.

use std::{path::Path, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::time::{Instant, sleep};

use super::DevError;

const POLL: Duration = Duration::from_millis(20);

/// The command line of a running process, blanks between its arguments; None when it is gone (or a zombie).
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

/// Ends process `pid` if it is a server that uses `path`: `graceful` first, SIGKILL after `patience`.
pub(super) async fn stop_orphan(
    program: &'static str,
    pid: i32,
    path: &Path,
    graceful: Signal,
    patience: Duration,
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
    for (signal, patience) in [
        (graceful, patience),
        (Signal::SIGKILL, Duration::from_secs(5)),
    ] {
        // A failure shows in the process still being there.
        kill(Pid::from_raw(pid), signal).ok();
        let deadline = Instant::now() + patience;
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
    async fn only_a_process_that_names_the_path_is_stopped() {
        let mut child = Command::new("sh")
            .args(["-c", "while :; do sleep 0.05; done", "/some/data dir"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let pid = child.id().cast_signed();
        // Between fork and exec there is no command line to be read.
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
