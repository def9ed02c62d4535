-- The log of committed updates, one gap-free sequence a channel.
CREATE TABLE meta (
    key   text PRIMARY KEY,
    value text NOT NULL
);
-- A seq means something only within the epoch of the database that gave it.
INSERT INTO meta VALUES ('epoch', substr(md5(gen_random_uuid()::text), 1, 10));

CREATE TABLE channels (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL UNIQUE,
    seq        bigint NOT NULL DEFAULT 0 CHECK (seq >= 0),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
-- The watchdog of a gateway asks which channels moved since it last looked.
CREATE INDEX channels_updated_at ON channels (updated_at);

CREATE TABLE updates (
    channel_id bigint NOT NULL REFERENCES channels,
    seq        bigint NOT NULL CHECK (seq > 0),
    event      text NOT NULL,
    data       json NOT NULL, -- json, not jsonb: the text is sent as it was stored, every digit of it
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (channel_id, seq)
);
-- Rows come in order of time, so a small index finds the old ones that retention deletes.
CREATE INDEX updates_created_at ON updates USING brin (created_at);
