//! Where messages of clients are stored.

use std::{future::Future, pin::Pin};

use chaincast_rooms::{MessageWriter, Outgoing, PublishError, Published};

pub(crate) type PublishFuture<'a> =
    Pin<Box<dyn Future<Output = Result<Published, PublishError>> + Send + 'a>>;

/// Stores messages, which then arrive with the commit stream. Implemented by [`MessageWriter`]; a trait so that tests can
/// replace it.
pub(crate) trait MessageSink: Send + Sync {
    fn publish(&self, message: Outgoing) -> PublishFuture<'_>;
}

impl MessageSink for MessageWriter {
    fn publish(&self, message: Outgoing) -> PublishFuture<'_> {
        Box::pin(MessageWriter::publish(self, message))
    }
}
