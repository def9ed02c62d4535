//! The built binary as a child process.

use std::{
    path::Path,
    process::{ExitStatus, Stdio},
    sync::Arc,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
    sync::mpsc,
};

use super::TIMEOUT;

const BINARY: &str = env!("CARGO_BIN_EXE_chaincast");
const READY: &str = "chaincast is ready on ";

/// A chaincast that is ready. Killed when dropped.
pub struct Server {
    child: Child,
    url: String,
    output: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Runs `chaincast serve --config FILE` and waits until it is ready.
    pub async fn serve(config: &Path) -> Self {
        Self::start(&["serve", "--config", config.to_str().unwrap()]).await
    }

    /// Runs any command that prints the ready line.
    pub async fn start(arguments: &[&str]) -> Self {
        Self::started(command(arguments), arguments).await
    }

    /// As [`Self::start`], with environment variables.
    pub async fn start_with(environment: &[(&str, &str)], arguments: &[&str]) -> Self {
        let mut command = command(arguments);
        command.envs(environment.iter().copied());
        Self::started(command, arguments).await
    }

    /// As [`Self::start`], with a limit of open files.
    pub async fn start_with_files(files: usize, arguments: &[&str]) -> Self {
        Self::started(limited(files, arguments), arguments).await
    }

    async fn started(mut command: Command, arguments: &[&str]) -> Self {
        let mut child = command.spawn().unwrap();
        let output = Arc::new(Mutex::new(Vec::new()));
        let (lines_in, mut lines) = mpsc::unbounded_channel();
        collect(child.stdout.take().unwrap(), output.clone(), Some(lines_in));
        collect(child.stderr.take().unwrap(), output.clone(), None);
        let ready = async {
            while let Some(line) = lines.recv().await {
                if let Some(url) = line.strip_prefix(READY) {
                    return Some(url.trim().to_owned());
                }
            }
            None
        };
        match tokio::time::timeout(TIMEOUT, ready).await {
            Ok(Some(url)) => Self { child, url, output },
            _ => panic!(
                "chaincast {arguments:?} did not become ready; its output:\n{}",
                output.lock().join("\n")
            ),
        }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn port(&self) -> u16 {
        self.url.rsplit(':').next().unwrap().parse().unwrap()
    }

    /// Host and port to connect to.
    pub fn address(&self) -> &str {
        self.url.strip_prefix("http://").unwrap()
    }

    pub fn realtime(&self) -> String {
        format!("{}/realtime", self.url.replacen("http", "ws", 1))
    }

    pub fn pid(&self) -> i32 {
        self.child.id().unwrap() as i32
    }

    /// Its output so far.
    pub fn output(&self) -> String {
        self.output.lock().join("\n")
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).unwrap();
    }

    pub async fn ended(&mut self) -> ExitStatus {
        match tokio::time::timeout(TIMEOUT, self.child.wait()).await {
            Ok(status) => status.unwrap(),
            Err(_) => panic!("chaincast did not end; its output:\n{}", self.output()),
        }
    }

    /// Its exit status, once it has ended.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Sends SIGTERM; the exit code must be 0.
    pub async fn stop(mut self) {
        self.signal(Signal::SIGTERM);
        let status = self.ended().await;
        assert!(
            status.success(),
            "chaincast ended with {status}; its output:\n{}",
            self.output()
        );
    }

    /// Sends SIGKILL, as a crash.
    pub async fn crash(mut self) {
        self.signal(Signal::SIGKILL);
        self.ended().await;
    }
}

/// Runs a command that ends by itself: (exit code, standard output, standard error).
pub async fn run_to_end(arguments: &[&str]) -> (i32, String, String) {
    ended(command(arguments), arguments).await
}

/// As [`run_to_end`], with environment variables.
pub async fn run_to_end_with(
    environment: &[(&str, &str)],
    arguments: &[&str],
) -> (i32, String, String) {
    let mut command = command(arguments);
    command.envs(environment.iter().copied());
    ended(command, arguments).await
}

/// As [`run_to_end`], with a limit of open files.
pub async fn run_to_end_with_files(files: usize, arguments: &[&str]) -> (i32, String, String) {
    ended(limited(files, arguments), arguments).await
}

async fn ended(mut command: Command, arguments: &[&str]) -> (i32, String, String) {
    let child = command.spawn().unwrap();
    let ended = tokio::time::timeout(TIMEOUT, child.wait_with_output()).await;
    let output = ended
        .unwrap_or_else(|_| panic!("chaincast {arguments:?} did not end"))
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap_or(-1),
        text(output.stdout),
        text(output.stderr),
    )
}

/// A long-running command; killed when dropped.
pub fn spawn(arguments: &[&str]) -> Child {
    command(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// A command with a soft and hard limit of open files.
fn limited(files: usize, arguments: &[&str]) -> Command {
    let limit = format!("ulimit -n {files} && exec \"$0\" \"$@\"");
    clean_command("/bin/sh", &[&["-c", &limit, BINARY], arguments].concat())
}

fn command(arguments: &[&str]) -> Command {
    clean_command(BINARY, arguments)
}

/// A command without the environment variables of the user who runs the tests.
fn clean_command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
        .kill_on_drop(true)
        .env_remove("DATABASE_URL")
        .env_remove("PORT")
        .env_remove("RUST_LOG")
        .env("NO_COLOR", "1");
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CHAINCAST")) {
        command.env_remove(name);
    }
    command
}

fn collect(
    from: impl AsyncRead + Unpin + Send + 'static,
    output: Arc<Mutex<Vec<String>>>,
    lines_in: Option<mpsc::UnboundedSender<String>>,
) {
    tokio::spawn(async move {
        let mut lines = BufReader::new(from).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            output.lock().push(line.clone());
            if let Some(lines_in) = &lines_in {
                lines_in.send(line).ok();
            }
        }
    });
}
