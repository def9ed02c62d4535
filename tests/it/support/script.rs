//! A Node or Python script as a client: its standard output is read line by line, closing its standard input ends it.

use std::{path::Path, process::Stdio};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use super::PATIENCE;

pub struct Script {
    child: Child,
    input: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
    pub said: Vec<String>,
}

impl Script {
    pub fn node(script: &str, arguments: &[&str]) -> Self {
        Self::run(Path::new("node"), script, arguments)
    }

    /// With the Python that has the tests' clients.
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
            said: Vec::new(),
        }
    }

    /// The next line that `wanted` takes.
    pub async fn line(&mut self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.lines.next_line()).await;
            match next {
                Ok(Ok(Some(line))) => {
                    self.said.push(line.clone());
                    if wanted(&line) {
                        return line;
                    }
                }
                Ok(_) => panic!(
                    "the script ended while waiting for {what}; it said:\n{}",
                    self.said.join("\n")
                ),
                Err(_) => panic!(
                    "not within {PATIENCE:?}: {what}; it said:\n{}",
                    self.said.join("\n")
                ),
            }
        }
    }

    /// The next line that is a JSON object which `wanted` takes.
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
            match tokio::time::timeout(PATIENCE, self.lines.next_line()).await {
                Ok(Ok(Some(line))) => self.said.push(line),
                Ok(_) => break,
                Err(_) => panic!("the script did not end; it said:\n{}", self.said.join("\n")),
            }
        }
        let status = self.child.wait().await.unwrap();
        assert!(
            status.success(),
            "the script ended with {status}; it said:\n{}",
            self.said.join("\n")
        );
        self.said
    }
}
