//! A measured process: pinned to a core if requested, with line-based input and output.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::process::CommandExt,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::Duration,
};

use super::process;

/// How long a process may take to become ready: a large synthetic chain has to be created.
const START_PATIENCE: Duration = Duration::from_secs(180);

/// A process. Killed when dropped.
pub struct ChildProcess {
    child: Child,
    input: Option<ChildStdin>,
    pub lines: Receiver<String>,
}

impl ChildProcess {
    /// Starts a command, on `core` if one is given, and waits for the first line that `ready` can parse.
    pub fn spawn<T>(
        mut command: Command,
        core: Option<usize>,
        ready: impl Fn(&str) -> Option<T>,
    ) -> (Self, T) {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        #[allow(
            unsafe_code,
            reason = "the compiler cannot check the code between fork and exec"
        )]
        // SAFETY: between fork and exec only the affinity and the file limit are set: system calls, no allocation.
        unsafe {
            command.pre_exec(move || {
                if let Some(core) = core {
                    process::pin(core);
                }
                process::raise_file_limit();
                Ok(())
            });
        }
        let shown = format!("{command:?}");
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{shown}: {error}"));
        let output = child.stdout.take().expect("it is piped");
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let started = Self {
            input: child.stdin.take(),
            child,
            lines,
        };
        loop {
            match started.lines.recv_timeout(START_PATIENCE) {
                Ok(line) => match ready(&line) {
                    Some(value) => return (started, value),
                    None => eprintln!("{line}"),
                },
                Err(RecvTimeoutError::Timeout) => panic!("{shown} did not become ready"),
                Err(RecvTimeoutError::Disconnected) => panic!("{shown} ended before it was ready"),
            }
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn send_line(&mut self, line: &str) {
        let input = self.input.as_mut().expect("only dropping takes it");
        writeln!(input, "{line}").expect("the process reads its commands");
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        drop(self.input.take());
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
