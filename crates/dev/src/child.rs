//! A supervised server process that never outlives this process.
//!
//! Each child is spawned by its own thread, which then waits for it. The kernel's parent-death signal is tied to the
//! *thread* that forked, so that thread must live exactly as long as the child. Only this thread reaps the child, under
//! a lock, so that no signal is sent to a reused process id.
//!
//! A child has its own process group: the terminal's Ctrl-C reaches only this process, which stops the children in
//! order.

use std::{
    collections::VecDeque,
    io::{self, BufRead, BufReader, Read},
    os::unix::process::CommandExt,
    process::{Command, ExitStatus, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, getpid, getppid},
};
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};

use super::DevError;

/// Lines of output that are kept for error messages.
const KEPT_LINES: usize = 12;
/// Longer lines are split, in bytes.
const LINE_LIMIT: u64 = 4_096;
/// Limit for a killed process to end.
const KILL_TIMEOUT: Duration = Duration::from_secs(30);
/// Limit for the last output of an ended process.
const OUTPUT_TIMEOUT: Duration = Duration::from_secs(2);

/// A running child. Dropping it sends the graceful signal without waiting.
pub(super) struct Child {
    program: &'static str,
    pid: Pid,
    graceful: Signal,
    exit: watch::Receiver<Option<ExitStatus>>,
    reaped: Arc<Mutex<bool>>,
    output: Arc<Mutex<VecDeque<String>>>,
}

/// The lines of a child's standard output. Drop the receiver when it is no longer read: a full channel blocks the
/// child's output.
pub(super) type Lines = tokio::sync::mpsc::Receiver<String>;
type Sender = tokio::sync::mpsc::Sender<String>;

impl Child {
    /// Starts `command`. `graceful` is the signal for an orderly shutdown: [`Child::stop`] sends it first, and the
    /// kernel sends it if this process dies.
    pub(super) async fn spawn(
        program: &'static str,
        mut command: Command,
        graceful: Signal,
    ) -> Result<(Self, Lines), DevError> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        die_with_parent(&mut command, graceful);

        let (started_tx, started) = oneshot::channel::<io::Result<(Pid, Lines)>>();
        let (exit_tx, exit) = watch::channel(None);
        let reaped = Arc::new(Mutex::new(false));
        let output = Arc::new(Mutex::new(VecDeque::new()));
        let supervisor = Supervisor {
            program,
            reaped: Arc::clone(&reaped),
            output: Arc::clone(&output),
        };
        thread::Builder::new()
            .name(format!("{program} supervisor"))
            .spawn(move || supervisor.run(command, started_tx, exit_tx))
            .map_err(|source| DevError::Spawn { program, source })?;

        let (pid, lines) = started
            .await
            .unwrap_or_else(|_| Err(io::Error::other("its supervisor thread ended")))
            .map_err(|source| DevError::Spawn { program, source })?;
        let child = Self {
            program,
            pid,
            graceful,
            exit,
            reaped,
            output,
        };
        Ok((child, lines))
    }

    pub(super) fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// Resolves when the process has ended, with an error.
    pub(super) async fn exited(&mut self) -> DevError {
        let status = match self.exit.wait_for(Option::is_some).await {
            Ok(status) => status.map(|status| status.to_string()),
            Err(_) => None,
        };
        DevError::Exited {
            program: self.program,
            status: status.unwrap_or_else(|| "its supervisor thread ended".into()),
            log: self.last_output(),
        }
    }

    /// Its last lines of output, for an error message.
    pub(super) fn last_output(&self) -> String {
        let lines = self.output.lock();
        if lines.is_empty() {
            return "It wrote no output.".into();
        }
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        format!("Its last output:\n{}", lines.join("\n"))
    }

    /// Sends the graceful signal, waits up to `timeout`, then kills it.
    pub(super) async fn stop(mut self, timeout: Duration) -> Result<(), DevError> {
        self.signal(self.graceful);
        if self.ended_within(timeout).await {
            return Ok(());
        }
        tracing::warn!(
            program = self.program,
            pid = self.pid(),
            ?timeout,
            "did not stop in time; killing it"
        );
        self.signal(Signal::SIGKILL);
        if self.ended_within(KILL_TIMEOUT).await {
            return Ok(());
        }
        Err(DevError::Exited {
            program: self.program,
            status: "still running after SIGKILL".into(),
            log: self.last_output(),
        })
    }

    /// Sends `signal` and blocks until the process has ended. For tests that cannot await.
    pub(super) fn end_now(&self, signal: Signal) {
        self.signal(signal);
        let deadline = Instant::now() + KILL_TIMEOUT;
        while !*self.reaped.lock() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
    }

    async fn ended_within(&mut self, timeout: Duration) -> bool {
        tokio::time::timeout(timeout, self.exit.wait_for(Option::is_some))
            .await
            .is_ok()
    }

    fn signal(&self, signal: Signal) {
        let reaped = self.reaped.lock();
        if !*reaped {
            // This only fails if the process has just ended.
            kill(self.pid, signal).ok();
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.signal(self.graceful);
    }
}

/// The thread that spawns the child and waits for it.
struct Supervisor {
    program: &'static str,
    reaped: Arc<Mutex<bool>>,
    output: Arc<Mutex<VecDeque<String>>>,
}

impl Supervisor {
    fn run(
        self,
        mut command: Command,
        started: oneshot::Sender<io::Result<(Pid, Lines)>>,
        exit: watch::Sender<Option<ExitStatus>>,
    ) {
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => {
                started.send(Err(error)).ok();
                return;
            }
        };
        // Process ids are positive i32 on every Unix.
        let pid = Pid::from_raw(child.id().cast_signed());
        let (lines_tx, lines) = tokio::sync::mpsc::channel(64);
        let readers = [
            child
                .stdout
                .take()
                .map(|pipe| self.read(pipe, Some(lines_tx))),
            child.stderr.take().map(|pipe| self.read(pipe, None)),
        ];
        started.send(Ok((pid, lines))).ok();

        await_end(pid);
        let status = {
            let mut reaped = self.reaped.lock();
            let status = child.wait();
            *reaped = true;
            status
        };
        // The last output may still be in the pipes; a grandchild may keep them open longer.
        let deadline = Instant::now() + OUTPUT_TIMEOUT;
        while readers
            .iter()
            .flatten()
            .flatten()
            .any(|reader| !reader.is_finished())
            && Instant::now() < deadline
        {
            thread::park_timeout(Duration::from_millis(2));
        }
        exit.send_replace(Some(status.unwrap_or_default()));
    }

    /// Drains a pipe, so that the child never blocks on it. Lines go to `lines` until its receiver is dropped.
    fn read(
        &self,
        pipe: impl Read + Send + 'static,
        mut lines: Option<Sender>,
    ) -> io::Result<thread::JoinHandle<()>> {
        let (program, output) = (self.program, Arc::clone(&self.output));
        thread::Builder::new()
            .name(format!("{program} output"))
            .spawn(move || {
                let mut pipe = BufReader::new(pipe);
                let mut bytes = Vec::new();
                loop {
                    bytes.clear();
                    match pipe.by_ref().take(LINE_LIMIT).read_until(b'\n', &mut bytes) {
                        Ok(0) | Err(_) => return,
                        Ok(_) => {}
                    }
                    let line = String::from_utf8_lossy(&bytes).trim_end().to_owned();
                    if line.is_empty() {
                        continue;
                    }
                    tracing::debug!(program, "{line}");
                    let taken = |sender: &Sender| sender.blocking_send(line.clone()).is_ok();
                    lines = lines.filter(taken);
                    let mut output = output.lock();
                    if output.len() == KEPT_LINES {
                        output.pop_front();
                    }
                    output.push_back(line);
                }
            })
    }
}

/// Blocks until the process has ended, without reaping it.
#[cfg(target_os = "linux")]
fn await_end(pid: Pid) {
    use nix::{
        errno::Errno,
        sys::wait::{Id, WaitPidFlag, waitid},
    };
    while waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) == Err(Errno::EINTR) {}
}

/// Other systems: `nix` has no waitid without reaping, and a blocking wait would delay signals, so poll.
#[cfg(not(target_os = "linux"))]
fn await_end(pid: Pid) {
    use nix::unistd::getpgid;
    while super::orphan_processes::command_line(pid.as_raw()).is_some()
        && getpgid(Some(pid)).is_ok()
    {
        thread::park_timeout(Duration::from_millis(100));
    }
}

/// Makes the kernel send `signal` to the child when the forking thread ends.
#[cfg(target_os = "linux")]
#[allow(
    unsafe_code,
    reason = "the compiler cannot check code between fork and exec"
)]
fn die_with_parent(command: &mut Command, signal: Signal) {
    let parent = getpid();
    let set_death_signal = move || {
        nix::sys::prctl::set_pdeathsig(signal)?;
        // The parent may have died before the line above.
        if getppid() == parent {
            Ok(())
        } else {
            Err(io::Error::from(io::ErrorKind::BrokenPipe))
        }
    };
    // SAFETY: between fork and exec only async-signal-safe calls are allowed: prctl and getppid are plain system
    // calls, nothing is allocated, and no lock is taken.
    unsafe {
        command.pre_exec(set_death_signal);
    }
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent(_command: &mut Command, _signal: Signal) {
    let _ = (getpid, getppid);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.arg("-c").arg(script);
        command
    }

    #[tokio::test]
    async fn reports_exit_with_last_output() {
        let (mut child, _lines) =
            Child::spawn("sh", shell("echo it hurts >&2; exit 3"), Signal::SIGTERM)
                .await
                .unwrap();
        let error = child.exited().await.to_string();
        assert!(error.contains("exit status: 3"), "{error}");
    }

    #[tokio::test]
    async fn kills_child_that_ignores_graceful_signal() {
        let script = "trap '' TERM; echo ready; while :; do sleep 0.05; done";
        let (child, mut lines) = Child::spawn("sh", shell(script), Signal::SIGTERM)
            .await
            .unwrap();
        assert_eq!(lines.recv().await.as_deref(), Some("ready"));
        child.stop(Duration::from_millis(50)).await.unwrap();
    }

    #[tokio::test]
    async fn missing_program_is_an_error() {
        let result =
            Child::spawn("ghost", Command::new("/nonexistent/ghost"), Signal::SIGTERM).await;
        assert!(matches!(
            result,
            Err(DevError::Spawn {
                program: "ghost",
                ..
            })
        ));
    }
}
