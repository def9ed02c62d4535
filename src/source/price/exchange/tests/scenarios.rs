//! Plays `tests/venues/*.toml`; docs/venue.md tells what is in them.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use tokio::task::JoinSet;

use super::{super::super::running_feeds::soon, stage::Stage};
use crate::dev::venue::{Act, Venue, VenueScenario, VenueStep};

async fn play(path: PathBuf) {
    let VenueScenario {
        about,
        venue: speaks,
        symbols,
        hot,
        steps,
    } = VenueScenario::read(&path).unwrap();
    let names: Vec<&str> = symbols.iter().map(String::as_str).collect();
    let at: BTreeMap<&str, usize> = names.iter().copied().zip(0..).collect();
    let venue = Venue::start(speaks).await.unwrap();
    let mut refused = Vec::new();
    let mut steps = steps.into_iter().peekable();
    // What the venue does before anybody connects.
    while let Some(step) = steps.next_if(|step| step.connections.is_none()) {
        step.does.iter().for_each(|act| venue.act(act));
        note_refusals(&step, &mut refused);
    }
    // A machine that is slow is not a venue that is silent.
    let keys = format!(
        "first_tick_ms = 500\nmissed_heartbeats = 100\nconnections = {}",
        hot.unwrap_or(1)
    );
    let mut stage = Stage::reading(venue, speaks, &names, &keys, "");
    for (number, step) in steps.enumerate() {
        let place = format!("{about} ({}, step {number})", path.display());
        step.does.iter().for_each(|act| stage.venue.act(act));
        note_refusals(&step, &mut refused);
        if let Some(connections) = step.connections {
            let is_given = |name: &str| !refused.iter().any(|no| no == name);
            let given: Vec<&str> = names
                .iter()
                .copied()
                .filter(|name| is_given(name))
                .collect();
            stage.connected(connections, &given).await;
        }
        if let Some(answered) = step.answered {
            let all = stage.venue.until(|seen| seen.answered >= answered);
            soon(&place, all).await;
        }
        if let Some(open) = step.open {
            soon(&place, stage.venue.until(|seen| seen.open == open)).await;
        }
        for expected in &step.ticks {
            let (symbol, price) = expected.split_once(' ').unwrap();
            let got = stage.feeds.price().await;
            assert_eq!(got, format!("T{} {price}", at[symbol]), "{place}");
        }
        for (symbol, state) in &step.states {
            stage.feeds.until_state(at[symbol.as_str()], state).await;
        }
        if let Some(made) = step.made {
            assert_eq!(stage.venue.seen().connections, made, "{place}");
        }
    }
    assert!(
        stage.feeds.left().is_empty(),
        "{about}: {:?}",
        stage.feeds.left()
    );
    stage.feeds.end().await;
}

fn note_refusals(step: &VenueStep, refused: &mut Vec<String>) {
    for act in &step.does {
        match act {
            Act::Refuse(symbol) => refused.push(symbol.clone()),
            Act::Admit => refused.clear(),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_scenario_of_a_venue_comes_out_as_it_says() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/venues");
    let mut playing = JoinSet::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        playing.spawn(play(entry.unwrap().path()));
    }
    assert!(playing.len() >= 10, "{} scenarios", playing.len());
    while let Some(played) = playing.join_next().await {
        played.unwrap();
    }
}
