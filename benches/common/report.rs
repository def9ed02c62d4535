//! Writes `target/bench/*.json`, and `docs/performance.md` from all of them.

use std::{fs, path::PathBuf};

use chaincast_protocol::now_ms;
use serde_json::{from_str, to_string_pretty};

use super::{arguments::Arguments, machine::Machine, section::Section};

const PREFACE: &str = include_str!("preface.md");

/// A suite's part of the document.
pub struct Part {
    preface: &'static str,
    /// In the order of the report.
    pub scenarios: &'static [&'static str],
}

pub const REALTIME: Part = Part {
    preface: include_str!("../realtime/preface.md"),
    scenarios: &[
        "fanout", "writers", "offered", "latency", "memory", "storms", "channels", "slow", "whole",
    ],
};

pub const BACKFILL: Part = Part {
    preface: include_str!("../backfill/preface.md"),
    scenarios: &["node", "backfill", "catchup", "length", "transfers", "live"],
};

pub const PRICES: Part = Part {
    preface: include_str!("../prices/preface.md"),
    scenarios: &["ticks", "locked"],
};

pub const PARTS: [&Part; 3] = [&REALTIME, &BACKFILL, &PRICES];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn file(name: &str) -> PathBuf {
    root().join("target/bench").join(format!("{name}.json"))
}

/// Runs the requested scenarios and saves their results. Results of a quick run are not for the document: it only
/// checks that everything works.
pub fn measure(arguments: &Arguments, run: impl Fn(&str) -> Section) {
    for name in arguments.scenarios() {
        println!("{name}");
        save(run(name), arguments.quick);
    }
    if !arguments.quick {
        write_document();
    }
}

/// Saves a scenario's result, and prints its table.
fn save(mut section: Section, quick: bool) {
    (section.date, section.quick) = (today(), quick);
    println!(
        "\n{}{}\n\n{}",
        section.title,
        if quick { " (short run)" } else { "" },
        section.table()
    );
    write(
        &section.name,
        &to_string_pretty(&section).expect("it is serializable"),
    );
}

pub fn save_machine(machine: &Machine) {
    write(
        "machine",
        &to_string_pretty(machine).expect("it is serializable"),
    );
}

/// Name and version of each peer.
pub fn save_peers(peers: &[String]) {
    write(
        "peers",
        &to_string_pretty(peers).expect("it is serializable"),
    );
}

fn write(name: &str, text: &str) {
    let path = file(name);
    fs::create_dir_all(path.parent().expect("it is in a directory"))
        .expect("target can be written");
    fs::write(&path, text).expect("target can be written");
}

/// Renders all saved results, so that one scenario can be measured again on its own.
fn write_document() {
    let Some(machine) = read::<Machine>("machine") else {
        return;
    };
    let mut text = PREFACE.trim_end().to_owned();
    text.push_str("\n\n## The machine\n\n");
    text.push_str(&format!(
        "{} cores of {}, {} GiB, {}; {}; Node.js {}; PostgreSQL {}.",
        machine.cores,
        machine.cpu,
        machine.memory_gib,
        machine.kernel,
        machine.rustc.split(" (").next().unwrap_or_default(),
        machine.node,
        machine.postgres,
    ));
    if let Some(peers) = read::<Vec<String>>("peers") {
        text.push_str(&format!(" Peers: {}.", peers.join("; ")));
    }
    text.push('\n');
    for part in PARTS {
        text.push_str(&format!("\n{}\n", part.preface.trim()));
        for section in part
            .scenarios
            .iter()
            .filter_map(|name| read::<Section>(name))
        {
            let length = if section.quick { ", a short run" } else { "" };
            text.push_str(&format!(
                "\n### {}\n\n{}\n\n{}\n*{}{length}.*\n",
                section.title,
                section.text,
                section.table(),
                section.date,
            ));
        }
    }
    let path = root().join("docs/performance.md");
    fs::write(&path, text).expect("docs can be written");
    println!("written to target/bench/*.json and docs/performance.md");
}

fn read<T: serde::de::DeserializeOwned>(name: &str) -> Option<T> {
    from_str(&fs::read_to_string(file(name)).ok()?).ok()
}

fn today() -> String {
    chrono::DateTime::from_timestamp_millis(now_ms())
        .map(|now| now.format("%Y-%m-%d %H:%M UTC").to_string())
        .unwrap_or_default()
}
