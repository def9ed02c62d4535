//! The commands of a running server, one a line on its standard input; it ends when that is closed.
//!
//! | line | what it does |
//! |---|---|
//! | `pattern CHANNELS STRIDE` | sets the order of the updates' channels |
//! | `burst N` | publishes the next N updates at once |
//! | `rate HZ N` | publishes N updates evenly, HZ a second, then prints `at` and the instant of each in ns |
//!
//! A server prints `ready PORT` first. The peers under `benches/peers` implement the same commands.

use std::{
    io::{BufRead, Write},
    thread,
    time::Duration,
};

use crate::process;

/// Cycles through `channels`, `stride` apart, so that `channels / stride` updates in a row share no subscriber when
/// each session subscribes to `stride` neighbours.
#[derive(Debug, Clone, Copy)]
pub struct Pattern {
    pub channels: usize,
    pub stride: usize,
}

impl Pattern {
    pub const ONE: Self = Self {
        channels: 1,
        stride: 1,
    };

    /// The channel of the update with this number.
    pub fn channel(&self, number: usize) -> usize {
        let round = self.channels / self.stride;
        (number % round) * self.stride + (number / round) % self.stride
    }
}

/// Runs the commands of standard input until it is closed. `publish` gets the channels of the due updates.
pub fn run_commands(port: u16, mut publish: impl FnMut(&[usize])) {
    println!("ready {port}");
    let mut pattern = Pattern::ONE;
    let mut number = 0;
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("commands are text");
        let words: Vec<&str> = line.split_whitespace().collect();
        let argument = |index: usize| -> usize {
            let word = words.get(index).expect("a command has its arguments");
            word.parse().expect("arguments are numbers")
        };
        let mut take = |count: usize| -> Vec<usize> {
            let channels = (number..number + count)
                .map(|at| pattern.channel(at))
                .collect();
            number += count;
            channels
        };
        match words[0] {
            "pattern" => {
                let (channels, stride) = (argument(1), argument(2));
                pattern = Pattern { channels, stride };
                number = 0;
            }
            "burst" => publish(&take(argument(1))),
            "rate" => {
                let (hz, count) = (argument(1), argument(2));
                let instants = publish_evenly(hz, count, |due| publish(&take(due)));
                let mut text = "at".to_owned();
                for instant in instants {
                    text.push_str(&format!(" {instant}"));
                }
                println!("{text}");
                std::io::stdout().flush().expect("the other process reads");
            }
            other => panic!("{other:?} is not a command"),
        }
    }
}

/// Calls `publish` with the number of due updates, `hz` a second until the total is `count`; returns the instant of
/// each.
fn publish_evenly(hz: usize, count: usize, mut publish: impl FnMut(usize)) -> Vec<u64> {
    let start = process::now_ns();
    let due_at = |number: usize| start + number as u64 * 1_000_000_000 / hz as u64;
    let mut instants = Vec::with_capacity(count);
    while instants.len() < count {
        let now = process::now_ns();
        let next = due_at(instants.len());
        if next > now {
            thread::sleep(Duration::from_nanos(next - now));
            continue;
        }
        let before = instants.len();
        while instants.len() < count && due_at(instants.len()) <= now {
            instants.push(now);
        }
        publish(instants.len() - before);
    }
    instants
}
