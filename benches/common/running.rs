//! A process that is measured: started on a core if need be, heard by lines, told by lines.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::process::CommandExt,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::Duration,
};

use super::process;

/// How long a process may take to get ready: a large synthetic chain has to be made.
const START_PATIENCE: Duration = Duration::from_secs(180);

/// A process. Killed when dropped.
pub struct Running {
    child: Child,
    input: Option<ChildStdin>,
    pub lines: Receiver<String>,
}

impl Running {
    /// Starts a command, on `core` if one is given, and waits for the line from which `ready` can read something.
    pub fn spawn<T>(
        mut command: Command,
        core: Option<usize>,
        ready: impl Fn(&str) -> Option<T>,
    ) -> (Self, T) {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        #[allow(
            unsafe_code,
            reason = "what runs between fork and exec cannot be checked by the compiler"
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
        let running = Self {
            input: child.stdin.take(),
            child,
            lines,
        };
        loop {
            match running.lines.recv_timeout(START_PATIENCE) {
                Ok(line) => match ready(&line) {
                    Some(said) => return (running, said),
                    None => eprintln!("{line}"),
                },
                Err(RecvTimeoutError::Timeout) => panic!("{shown} did not get ready"),
                Err(RecvTimeoutError::Disconnected) => panic!("{shown} ended before it was ready"),
            }
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn tell(&mut self, line: &str) {
        let input = self.input.as_mut().expect("only dropping takes it");
        writeln!(input, "{line}").expect("the process reads its commands");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.input.take());
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
