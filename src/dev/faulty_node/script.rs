//! The script of a node while it runs: what was asked, and which fault is next.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::fault::{By, Fault, Kind};

/// One request, as faults choose by it.
pub(super) struct Asked<'a> {
    pub(super) method: &'a str,
    pub(super) height: Option<u64>,
    /// How it names a block, when it does.
    pub(super) by: Option<By>,
    /// Requests in the array that this is about; 0 for one request.
    pub(super) size: usize,
}

/// What becomes of a request.
pub(super) struct Hit {
    pub(super) kind: Kind,
    /// Releases before it.
    releases: u64,
}

#[derive(Default)]
pub(super) struct Script {
    state: Mutex<State>,
    /// Counts releases of what is held.
    released: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    /// Counts releases, as the sender does.
    releases: u64,
    faults: Vec<Line>,
    asked: BTreeMap<String, u64>,
    held: u64,
}

struct Line {
    fault: Fault,
    /// Requests that fitted, and those of them that were hit.
    fitted: u64,
    hit: u64,
}

impl Script {
    pub(super) fn push(&self, fault: Fault) -> usize {
        let mut state = self.state.lock();
        state.faults.push(Line {
            fault,
            fitted: 0,
            hit: 0,
        });
        state.faults.len() - 1
    }

    /// Withdraws every fault; positions count from 0 again.
    pub(super) fn clear(&self) {
        self.state.lock().faults.clear();
    }

    /// Counts a request, and says what is to be done with it: the first fault that has to hit it.
    pub(super) fn take(&self, asked: &Asked<'_>) -> Option<Hit> {
        let mut state = self.state.lock();
        *state.asked.entry(asked.method.to_owned()).or_default() += 1;
        let kind = state.faults.iter_mut().find_map(|line| line.take(asked))?;
        if kind == Kind::Hold {
            state.held += 1;
        }
        Some(Hit {
            kind,
            releases: state.releases,
        })
    }

    /// Whether any fault chooses by height: finding it out costs a request to a real node.
    pub(super) fn asks_for_height(&self) -> bool {
        let state = self.state.lock();
        state.faults.iter().any(|line| line.fault.height.is_some())
    }

    pub(super) fn asked(&self, method: &str) -> u64 {
        self.state.lock().asked.get(method).copied().unwrap_or(0)
    }

    /// How often the fault at this position hit.
    pub(super) fn hits(&self, position: usize) -> u64 {
        let state = self.state.lock();
        state.faults.get(position).map_or(0, |line| line.hit)
    }

    /// Those that were to hit a certain number of times and did not yet.
    pub(super) fn unspent(&self) -> Vec<Fault> {
        let state = self.state.lock();
        let unspent = state
            .faults
            .iter()
            .filter(|line| line.fault.times.is_some_and(|times| line.hit < times));
        unspent.map(|line| line.fault.clone()).collect()
    }

    pub(super) fn held(&self) -> u64 {
        self.state.lock().held
    }

    /// Waits for the first release after a hit.
    pub(super) async fn hold(&self, hit: &Hit) {
        let mut released = self.released.subscribe();
        // The sender lives as long as `self`.
        released.wait_for(|count| *count > hit.releases).await.ok();
        self.state.lock().held -= 1;
    }

    pub(super) fn release(&self) {
        let mut state = self.state.lock();
        state.releases += 1;
        self.released.send_replace(state.releases);
    }
}

impl Line {
    fn take(&mut self, asked: &Asked<'_>) -> Option<Kind> {
        let fault = &self.fault;
        let array = asked.method == "batch" || asked.method == "newHeads";
        let fits = (fault.method == asked.method || (fault.method == "*" && !array))
            && fault
                .height
                .is_none_or(|height| asked.height == Some(height))
            && fault.by.is_none_or(|by| asked.by == Some(by))
            && asked.size >= fault.at_least;
        if !fits || fault.times.is_some_and(|times| self.hit >= times) {
            return None;
        }
        self.fitted += 1;
        let unskipped = self
            .fitted
            .checked_sub(fault.skip)
            .filter(|&count| count > 0)?;
        if fault
            .every
            .is_some_and(|every| unskipped % every.max(1) != 0)
        {
            return None;
        }
        self.hit += 1;
        Some(fault.kind.clone())
    }
}
