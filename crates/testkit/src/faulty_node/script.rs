//! The running script of a node: the requests so far, and the next fault.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::fault::{BlockSelector, Fault, Kind};

/// The properties of a request that faults match.
pub(super) struct RpcRequest<'a> {
    pub(super) method: &'a str,
    pub(super) height: Option<u64>,
    /// How it identifies a block, if it does.
    pub(super) by: Option<BlockSelector>,
    /// Number of requests in its batch; 0 for a single request.
    pub(super) size: usize,
}

/// The fault of a request.
pub(super) struct Hit {
    pub(super) kind: Kind,
    /// Number of releases before the request.
    releases: u64,
}

#[derive(Default)]
pub(super) struct Script {
    state: Mutex<State>,
    /// Counts releases.
    released: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    /// Counts releases, as the sender does.
    releases: u64,
    faults: Vec<ScriptedFault>,
    requests: BTreeMap<String, u64>,
    held: u64,
}

struct ScriptedFault {
    fault: Fault,
    /// Number of matching requests, and of those that were hit.
    matched: u64,
    hit: u64,
}

impl Script {
    pub(super) fn push(&self, fault: Fault) -> usize {
        let mut state = self.state.lock();
        state.faults.push(ScriptedFault {
            fault,
            matched: 0,
            hit: 0,
        });
        state.faults.len() - 1
    }

    /// Removes all faults; positions start at 0 again.
    pub(super) fn clear(&self) {
        self.state.lock().faults.clear();
    }

    /// Counts a request, and returns the first fault that hits it.
    pub(super) fn take(&self, requests: &RpcRequest<'_>) -> Option<Hit> {
        let mut state = self.state.lock();
        *state
            .requests
            .entry(requests.method.to_owned())
            .or_default() += 1;
        let kind = state
            .faults
            .iter_mut()
            .find_map(|line| line.take(requests))?;
        if kind == Kind::Hold {
            state.held += 1;
        }
        Some(Hit {
            kind,
            releases: state.releases,
        })
    }

    /// Whether any fault matches by height: the height costs a request to a real node.
    pub(super) fn needs_height(&self) -> bool {
        let state = self.state.lock();
        state.faults.iter().any(|line| line.fault.height.is_some())
    }

    pub(super) fn requests(&self, method: &str) -> u64 {
        self.state.lock().requests.get(method).copied().unwrap_or(0)
    }

    /// How often the fault at this position was applied.
    pub(super) fn hits(&self, position: usize) -> u64 {
        let state = self.state.lock();
        state.faults.get(position).map_or(0, |line| line.hit)
    }

    /// Faults with a count that were not applied that often yet.
    pub(super) fn unused_faults(&self) -> Vec<Fault> {
        let state = self.state.lock();
        let unused_faults = state
            .faults
            .iter()
            .filter(|line| line.fault.times.is_some_and(|times| line.hit < times));
        unused_faults.map(|line| line.fault.clone()).collect()
    }

    pub(super) fn held(&self) -> u64 {
        self.state.lock().held
    }

    /// Waits for the first release after the hit.
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

impl ScriptedFault {
    fn take(&mut self, requests: &RpcRequest<'_>) -> Option<Kind> {
        let fault = &self.fault;
        let array = requests.method == "batch" || requests.method == "newHeads";
        let matches = (fault.method == requests.method || (fault.method == "*" && !array))
            && fault
                .height
                .is_none_or(|height| requests.height == Some(height))
            && fault.by.is_none_or(|by| requests.by == Some(by))
            && requests.size >= fault.at_least;
        if !matches || fault.times.is_some_and(|times| self.hit >= times) {
            return None;
        }
        self.matched += 1;
        let unskipped = self
            .matched
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
