//! A server that is measured: a process of its own on a core of its own, told what to do by lines.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::{commands::Pattern, load::Wire, postgres::Postgres, process, running::Running};

/// Arguments that make this program a server.
pub const SERVE_FLOOR: &str = "--serve-floor";
pub const SERVE_PRODUCT: &str = "--serve-product";

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    Floor,
    Product,
    UWebSockets,
    SocketIo,
    NestJs,
}

impl Who {
    pub const PEERS: [Self; 3] = [Self::UWebSockets, Self::SocketIo, Self::NestJs];

    pub fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor: bare send()",
            Self::Product => "chaincast",
            Self::UWebSockets => "uWebSockets (socketify)",
            Self::SocketIo => "socket.io",
            Self::NestJs => "NestJS gateway (socket.io)",
        }
    }

    /// How clients speak to it.
    pub fn wire(self) -> Wire {
        match self {
            Self::Floor => Wire::Raw,
            Self::Product | Self::UWebSockets => Wire::WebSocket,
            Self::SocketIo | Self::NestJs => Wire::SocketIo,
        }
    }

    /// What `scripts/setup bench` installs for it, if anything, and the command that starts it.
    fn peer(self) -> Option<(PathBuf, Command)> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let node = |script: &str| {
            let mut command = Command::new("node");
            command.arg(root.join("benches/peers/node").join(script));
            (
                root.join("benches/peers/node/node_modules/.setup-stamp"),
                command,
            )
        };
        match self {
            Self::Floor | Self::Product => None,
            Self::UWebSockets => {
                let python = root.join("target/bench/peers/python/bin/python");
                let mut command = Command::new(python);
                command.arg(root.join("benches/peers/uwebsockets/server.py"));
                Some((root.join("target/bench/peers/python/.setup-stamp"), command))
            }
            Self::SocketIo => Some(node("socketio.mjs")),
            Self::NestJs => Some(node("nestjs.mjs")),
        }
    }

    /// Whether it can be started; peers have to be installed.
    pub fn is_installed(self) -> bool {
        self.peer().is_none_or(|(stamp, _)| stamp.exists())
    }
}

/// What a product is started with.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub linger_ms: u64,
    /// Channels that exist.
    pub tokens: usize,
    /// `gateway.channels_in_memory`
    pub channels_in_memory: usize,
    pub flushers: usize,
    pub io_uring: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            linger_ms: 5,
            tokens: 64,
            channels_in_memory: 4_096,
            flushers: 1,
            io_uring: false,
        }
    }
}

/// A running server. Killed when dropped.
pub struct Server {
    running: Running,
    pub port: u16,
}

impl Server {
    pub fn start(who: Who, options: Options, postgres: &Postgres) -> Self {
        let this = || Command::new(std::env::current_exe().expect("this program has a path"));
        let command = match (who, who.peer()) {
            (_, Some((_, command))) => command,
            (Who::Floor, _) => {
                let mut command = this();
                command.arg(SERVE_FLOOR);
                command
            }
            _ => {
                let mut command = this();
                let config = postgres.product_config(options);
                command
                    .arg(SERVE_PRODUCT)
                    .arg(config)
                    .arg(options.tokens.to_string());
                command
            }
        };
        Self::spawn(command, |line| line.strip_prefix("ready ")?.parse().ok())
    }

    /// Starts a command on the servers' core, and waits for the line from which `port` can read it.
    pub fn spawn(command: Command, port: impl Fn(&str) -> Option<u16>) -> Self {
        let (running, port) = Running::spawn(command, Some(process::SERVER_CORE), port);
        Self { running, port }
    }

    pub fn pid(&self) -> u32 {
        self.running.pid()
    }

    pub fn cpu(&self) -> f64 {
        process::cpu_seconds(self.pid())
    }

    pub fn pattern(&mut self, pattern: Pattern) {
        self.running
            .tell(&format!("pattern {} {}", pattern.channels, pattern.stride));
    }

    pub fn burst(&mut self, updates: usize) {
        self.running.tell(&format!("burst {updates}"));
    }

    /// When it has published all of them, [`Server::instants`] has an answer.
    pub fn rate(&mut self, hz: usize, updates: usize) {
        self.running.tell(&format!("rate {hz} {updates}"));
    }

    /// The instants at which the updates of the last `rate` were published, once all were.
    pub fn instants(&self) -> Option<Vec<u64>> {
        let line = self.running.lines.try_recv().ok()?;
        let numbers = line.strip_prefix("at ")?;
        Some(
            numbers
                .split(' ')
                .map(|number| number.parse().expect("instants are numbers"))
                .collect(),
        )
    }
}
