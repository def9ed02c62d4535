//! The environment of every scenario: the thoroughness, and the servers to measure.

use crate::{
    load::Wire,
    postgres::Postgres,
    server::{Options, Server, ServerKind},
};

pub struct Bench {
    pub postgres: Postgres,
    /// Short runs, to check that everything works.
    pub quick: bool,
    pub rounds: usize,
    /// Installed peers.
    pub peers: Vec<ServerKind>,
}

/// A server that is measured, over one wire format.
#[derive(Debug, Clone)]
pub struct Contender {
    pub label: String,
    pub kind: ServerKind,
    pub wire: Wire,
    pub options: Options,
}

impl Contender {
    pub fn new(kind: ServerKind) -> Self {
        let label = kind.name().to_owned();
        Self {
            label,
            kind,
            wire: kind.wire(),
            options: Options::default(),
        }
    }

    pub fn product(label: &str, wire: Wire) -> Self {
        let label = format!("chaincast, {label}");
        Self {
            label,
            wire,
            ..Self::new(ServerKind::Product)
        }
    }

    pub fn start(&self, bench: &Bench) -> Server {
        Server::start(self.kind, self.options, &bench.postgres)
    }
}

impl Bench {
    /// One of two numbers: for a full run or for a quick one.
    pub fn pick<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    pub fn peers(&self) -> impl Iterator<Item = Contender> + '_ {
        self.peers.iter().map(|kind| Contender::new(*kind))
    }

    /// Prints progress.
    pub fn print_progress(&self, text: &str) {
        println!("  {text}");
    }
}
