//! What every scenario is given: how thorough to be, and whom to measure.

use crate::{
    load::Wire,
    postgres::Postgres,
    server::{Options, Server, Who},
};

pub struct Bench {
    pub postgres: Postgres,
    /// Short runs, to see that everything works.
    pub quick: bool,
    pub rounds: usize,
    /// Peers that are installed.
    pub peers: Vec<Who>,
}

/// Someone who is measured, in one way.
#[derive(Debug, Clone)]
pub struct Contender {
    pub label: String,
    pub who: Who,
    pub wire: Wire,
    pub options: Options,
}

impl Contender {
    pub fn new(who: Who) -> Self {
        let label = who.name().to_owned();
        Self {
            label,
            who,
            wire: who.wire(),
            options: Options::default(),
        }
    }

    pub fn product(label: &str, wire: Wire) -> Self {
        let label = format!("chaincast, {label}");
        Self {
            label,
            wire,
            ..Self::new(Who::Product)
        }
    }

    pub fn start(&self, bench: &Bench) -> Server {
        Server::start(self.who, self.options, &bench.postgres)
    }
}

impl Bench {
    /// One of two numbers: in full, or when it has to be quick.
    pub fn pick<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    pub fn peers(&self) -> impl Iterator<Item = Contender> + '_ {
        self.peers.iter().map(|who| Contender::new(*who))
    }

    /// Says what is going on.
    pub fn say(&self, text: &str) {
        println!("  {text}");
    }
}
