//! What travels over one Redis channel.

/// A kind of messages. Each has its own Redis channel and connections, so that a flood of one does not delay another.
pub(crate) trait Carried: Send + Sync + 'static {
    /// What this process sends.
    type Item: Send + 'static;
    /// The messages, in log lines.
    const WHAT: &'static str;
    /// What an outage of Redis means for them, in log lines.
    const WITHOUT_REDIS: &'static str;

    /// The name of the Redis channel.
    fn topic(&self) -> &str;

    fn write(&self, item: &Self::Item) -> Result<String, String>;

    /// A message arrived, possibly from this process or from a foreign program.
    fn receive(&self, message: &[u8]);

    /// Earlier messages were missed: the subscription begins.
    fn missed(&self);

    /// Messages were dropped because they arrived faster than they were read.
    fn overflowed(&self);

    /// An item was not sent.
    fn skipped(&self);

    /// The subscription began or ended.
    fn connected(&self, yes: bool);
}
