//! Live messages between processes. What is lost stays lost.

use tokio::sync::broadcast;

use super::{
    carried::Carried,
    live_codec::{LiveCodec, ReceivedLive},
};
use crate::{
    live_message::LiveMessage,
    telemetry::{self, LiveDrop},
};

/// See the module's description.
pub(crate) struct Live {
    codec: LiveCodec,
    incoming: broadcast::Sender<LiveMessage>,
}

impl Live {
    pub(super) fn new(codec: LiveCodec, incoming: broadcast::Sender<LiveMessage>) -> Self {
        Self { codec, incoming }
    }
}

impl Carried for Live {
    type Item = LiveMessage;
    const WHAT: &'static str = "live messages";
    const WITHOUT_REDIS: &'static str =
        "live messages reach only clients of the process that sends them";

    fn topic(&self) -> &str {
        self.codec.topic()
    }

    fn write(&self, message: &LiveMessage) -> Result<String, String> {
        self.codec.write(message)
    }

    fn receive(&self, message: &[u8]) {
        match self.codec.read(message) {
            // A failed send means that this process has no hub.
            Ok(ReceivedLive::Message(message)) => drop(self.incoming.send(message)),
            Ok(ReceivedLive::Own | ReceivedLive::Unknown) => {}
            Err(rejection) => telemetry::rejected(rejection),
        }
    }

    fn missed(&self) {}

    fn overflowed(&self) {
        telemetry::live_dropped(LiveDrop::Overflow, 1);
    }

    fn skipped(&self) {
        telemetry::live_dropped(LiveDrop::NotSent, 1);
    }

    fn connected(&self, _yes: bool) {}
}
