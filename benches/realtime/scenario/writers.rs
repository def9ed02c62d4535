//! The ways in which the gateway writes to its sockets.

use super::fanout;
use crate::{
    bench::{Bench, Contender},
    load::Wire,
    section::Section,
    server::{Options, ServerKind},
};

pub fn run(bench: &Bench) -> Section {
    let mut section = Section::new(
        "writers",
        "Write methods",
        "As in *One channel, flat out*, over WebSocket, with three write methods: the default, one system call per \
         session; `gateway.io_uring = true`, one system call for 64 sessions; and `gateway.flushers = 2`, two tasks \
         that share the sessions. The server has one core here, so this run shows only the cost of several flushers; \
         they are for machines where one core cannot write for all sessions.",
        fanout::COLUMNS,
    );
    let with = |label: &str, options: Options| Contender {
        options,
        ..Contender::product(label, Wire::WebSocket)
    };
    let defaults = Options::default();
    let contenders = [
        Contender::new(ServerKind::Floor),
        with("default", defaults),
        with(
            "io_uring = true",
            Options {
                io_uring: true,
                ..defaults
            },
        ),
        with(
            "flushers = 2",
            Options {
                flushers: 2,
                ..defaults
            },
        ),
    ];
    section.rounds = fanout::compare(bench, &mut section, &contenders);
    section
}
