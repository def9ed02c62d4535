//! Plays `tests/venues/*.toml`; docs/venue.md documents the format.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use tokio::task::JoinSet;

use super::{super::super::running_feeds::within_limit, fixture::Fixture};
use chaincast_testkit::venue::{Action, Venue, VenueScenario, VenueStep};

async fn play(path: PathBuf) {
    let VenueScenario {
        about,
        venue: protocol,
        symbols,
        hot,
        steps,
    } = VenueScenario::read(&path).unwrap();
    let names: Vec<&str> = symbols.iter().map(String::as_str).collect();
    let at: BTreeMap<&str, usize> = names.iter().copied().zip(0..).collect();
    let venue = Venue::start(protocol).await.unwrap();
    let mut refused = Vec::new();
    let mut steps = steps.into_iter().peekable();
    // Behavior before anyone connects.
    while let Some(step) = steps.next_if(|step| step.connections.is_none()) {
        step.does.iter().for_each(|act| venue.perform(act));
        note_refusals(&step, &mut refused);
    }
    // A slow machine must not look like a silent venue.
    let keys = format!(
        "first_tick_ms = 500\nmissed_heartbeats = 100\nconnections = {}",
        hot.unwrap_or(1)
    );
    let mut fixture = Fixture::with_venue(venue, protocol, &names, &keys, "");
    for (number, step) in steps.enumerate() {
        let place = format!("{about} ({}, step {number})", path.display());
        step.does.iter().for_each(|act| fixture.venue.perform(act));
        note_refusals(&step, &mut refused);
        if let Some(connections) = step.connections {
            let is_accepted = |name: &str| !refused.iter().any(|no| no == name);
            let accepted: Vec<&str> = names
                .iter()
                .copied()
                .filter(|name| is_accepted(name))
                .collect();
            fixture.connected(connections, &accepted).await;
        }
        if let Some(answered) = step.answered {
            let all = fixture.venue.wait_until(|seen| seen.answered >= answered);
            within_limit(&place, all).await;
        }
        if let Some(open) = step.open {
            within_limit(&place, fixture.venue.wait_until(|seen| seen.open == open)).await;
        }
        for expected in &step.ticks {
            let (symbol, price) = expected.split_once(' ').unwrap();
            let got = fixture.feeds.price().await;
            assert_eq!(got, format!("T{} {price}", at[symbol]), "{place}");
        }
        for (symbol, state) in &step.states {
            fixture.feeds.until_state(at[symbol.as_str()], state).await;
        }
        if let Some(made) = step.made {
            assert_eq!(fixture.venue.observed().connections, made, "{place}");
        }
    }
    assert!(
        fixture.feeds.remaining().is_empty(),
        "{about}: {:?}",
        fixture.feeds.remaining()
    );
    fixture.feeds.end().await;
}

fn note_refusals(step: &VenueStep, refused: &mut Vec<String>) {
    for act in &step.does {
        match act {
            Action::Refuse(symbol) => refused.push(symbol.clone()),
            Action::Admit => refused.clear(),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn venue_scenarios_have_expected_outcome() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/venues");
    let mut playing = JoinSet::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        playing.spawn(play(entry.unwrap().path()));
    }
    assert!(playing.len() >= 10, "{} scenarios", playing.len());
    while let Some(played) = playing.join_next().await {
        played.unwrap();
    }
}
