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
        "Ways of writing",
        "As in *One channel, flat out*, over WebSocket: the default, a system call a session; `gateway.io_uring = \
         true`, which writes to 64 sessions with one; and `gateway.flushers = 2`, two tasks that share the sessions. \
         The server has one core here, so several flushers can only show what they cost; they are for machines where \
         one core cannot write for all.",
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
