//! A Node or Python script as a client: its standard output is read line by line, and closing its standard input ends
//! it.

use std::{path::Path, process::Stdio};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use super::TIMEOUT;

pub struct Script {
    child: Child,
    input: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
    pub output: Vec<String>,
}

impl Script {
    pub fn node(script: &str, arguments: &[&str]) -> Self {
        Self::run(Path::new("node"), script, arguments)
    }

    /// Runs it with the Python that has the clients of the tests.
    pub fn python(script: &str, arguments: &[&str]) -> Self {
        let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/python/bin/python");
        assert!(
            python.exists(),
            "the Python clients are not installed: run scripts/setup test"
        );
        Self::run(&python, script, arguments)
    }

    fn run(interpreter: &Path, script: &str, arguments: &[&str]) -> Self {
        let mut child = Command::new(interpreter)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .arg(script)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self {
            input: child.stdin.take(),
            child,
            lines,
            output: Vec::new(),
        }
    }

    /// Waits for the next line that matches `wanted`.
    pub async fn line(&mut self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        loop {
            let next = tokio::time::timeout(TIMEOUT, self.lines.next_line()).await;
            match next {
                Ok(Ok(Some(line))) => {
                    self.output.push(line.clone());
                    if wanted(&line) {
                        return line;
                    }
                }
                Ok(_) => panic!(
                    "the script ended while waiting for {what}; its output:\n{}",
                    self.output.join("\n")
                ),
                Err(_) => panic!(
                    "timed out after {TIMEOUT:?} waiting for {what}; its output:\n{}",
                    self.output.join("\n")
                ),
            }
        }
    }

    /// Waits for the next line that is a JSON object and matches `wanted`.
    pub async fn json(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let line = self
            .line(what, |line| {
                serde_json::from_str::<Value>(line).is_ok_and(|value| wanted(&value))
            })
            .await;
        serde_json::from_str(&line).unwrap()
    }

    /// Waits for the end, which must be a success.
    pub async fn finish(mut self) -> Vec<String> {
        self.input = None;
        loop {
            match tokio::time::timeout(TIMEOUT, self.lines.next_line()).await {
                Ok(Ok(Some(line))) => self.output.push(line),
                Ok(_) => break,
                Err(_) => panic!(
                    "the script did not end; its output:\n{}",
                    self.output.join("\n")
                ),
            }
        }
        let status = self.child.wait().await.unwrap();
        assert!(
            status.success(),
            "the script ended with {status}; its output:\n{}",
            self.output.join("\n")
        );
        self.output
    }
}
