//! Commits between processes. An outage of Redis costs latency, never data: a hub polls the store in any case. Messages
//! are trusted only as described for [`Codec`].

use tokio::sync::broadcast;

use super::{
    carried::Carried,
    message::{Codec, Hint, Received},
    rejection::Rejection,
};
use crate::{Commit, telemetry};

/// The channels of this process that received messages are passed to.
#[derive(Clone)]
pub(crate) struct LocalChannels {
    pub(crate) commits: broadcast::Sender<Commit>,
    pub(crate) hints: broadcast::Sender<Hint>,
}

/// See the module's description.
pub(crate) struct Commits {
    codec: Codec,
    incoming: LocalChannels,
}

impl Commits {
    pub(super) fn new(codec: Codec, incoming: LocalChannels) -> Self {
        Self { codec, incoming }
    }

    fn hint(&self, hint: Hint) {
        // A failed send means that this process has no hub.
        let _ = self.incoming.hints.send(hint);
    }
}

impl Carried for Commits {
    type Item = Commit;
    const WHAT: &'static str = "updates";
    const WITHOUT_REDIS: &'static str = "updates of other processes are read from the store";

    fn topic(&self) -> &str {
        self.codec.topic()
    }

    fn write(&self, commit: &Commit) -> Result<String, String> {
        self.codec.write(commit)
    }

    fn receive(&self, message: &[u8]) {
        match self.codec.read(message) {
            Ok(Received::Own) => {}
            Ok(Received::Commit(commit)) => {
                let _ = self.incoming.commits.send(commit);
            }
            Ok(Received::Hint(hint)) => self.hint(hint),
            Err(rejection) => telemetry::rejected(rejection),
        }
    }

    fn missed(&self) {
        self.hint(Hint::Anywhere);
    }

    fn overflowed(&self) {
        telemetry::rejected(Rejection::Overflow);
        self.hint(Hint::Anywhere);
    }

    fn skipped(&self) {
        telemetry::skipped();
    }

    fn connected(&self, yes: bool) {
        telemetry::connected(yes);
    }
}
