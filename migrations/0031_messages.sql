-- The keys of messages, so that one that is sent again is stored once. They expire before the messages do.
CREATE TABLE message_keys (
    channel_id bigint NOT NULL REFERENCES channels,
    subject    text NOT NULL, -- the sender
    key        text NOT NULL CHECK (octet_length(key) BETWEEN 1 AND 128),
    seq        bigint NOT NULL CHECK (seq > 0), -- of the message in the channel
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (channel_id, subject, key)
);
CREATE INDEX message_keys_created_at ON message_keys USING brin (created_at);

-- Messages to users that no device has acknowledged. The ids are those of alert_deliveries, so that one request
-- acknowledges both.
CREATE TABLE message_deliveries (
    id         bigint PRIMARY KEY,
    subject    text NOT NULL, -- the receiver
    seq        bigint NOT NULL CHECK (seq > 0), -- of its update in user:SUBJECT
    data       json NOT NULL, -- as it was published
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX message_deliveries_subject ON message_deliveries (subject, id);
CREATE INDEX message_deliveries_created_at ON message_deliveries (created_at);
