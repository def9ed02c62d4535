//! A measured server: a separate process on its own core, controlled by lines on standard input.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    child_process::ChildProcess, commands::Pattern, load::Wire, postgres::Postgres, process,
};

/// Arguments that make this program a server.
pub const SERVE_FLOOR: &str = "--serve-floor";
pub const SERVE_PRODUCT: &str = "--serve-product";

/// The measured servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerKind {
    Floor,
    Product,
    UWebSockets,
    SocketIo,
    NestJs,
}

impl ServerKind {
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

    /// The wire format of its clients.
    pub fn wire(self) -> Wire {
        match self {
            Self::Floor => Wire::Raw,
            Self::Product | Self::UWebSockets => Wire::WebSocket,
            Self::SocketIo | Self::NestJs => Wire::SocketIo,
        }
    }

    /// The directory that `scripts/setup bench` installs it to, and the command that starts it; `None` if it is not a
    /// peer.
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

/// Options of a product.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub linger_ms: u64,
    /// Number of channels.
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
    child: ChildProcess,
    pub port: u16,
}

impl Server {
    pub fn start(kind: ServerKind, options: Options, postgres: &Postgres) -> Self {
        let this = || Command::new(std::env::current_exe().expect("this program has a path"));
        let command = match (kind, kind.peer()) {
            (_, Some((_, command))) => command,
            (ServerKind::Floor, _) => {
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

    /// Starts a command on the servers' core, and waits for the line from which `port` can read the port.
    pub fn spawn(command: Command, port: impl Fn(&str) -> Option<u16>) -> Self {
        let (child, port) = ChildProcess::spawn(command, Some(process::SERVER_CORE), port);
        Self { child, port }
    }

    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    pub fn cpu(&self) -> f64 {
        process::cpu_seconds(self.pid())
    }

    pub fn pattern(&mut self, pattern: Pattern) {
        self.child
            .send_line(&format!("pattern {} {}", pattern.channels, pattern.stride));
    }

    pub fn burst(&mut self, updates: usize) {
        self.child.send_line(&format!("burst {updates}"));
    }

    /// Once it has published all of them, [`Server::instants`] returns their instants.
    pub fn rate(&mut self, hz: usize, updates: usize) {
        self.child.send_line(&format!("rate {hz} {updates}"));
    }

    /// The instants at which the updates of the last `rate` were published, once all were.
    pub fn instants(&self) -> Option<Vec<u64>> {
        let line = self.child.lines.try_recv().ok()?;
        let numbers = line.strip_prefix("at ")?;
        Some(
            numbers
                .split(' ')
                .map(|number| number.parse().expect("instants are numbers"))
                .collect(),
        )
    }
}
