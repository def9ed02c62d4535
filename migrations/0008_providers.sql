-- How the providers of a chain do, as the process that indexes it sees them: /status may be served by another one.
CREATE TABLE chain_providers (
    chain_id     bigint NOT NULL REFERENCES chains,
    position     integer NOT NULL CHECK (position >= 0), -- 0 is the preferred one
    name         text NOT NULL,
    url          text NOT NULL, -- scheme, host and port alone
    role         text NOT NULL CHECK (role IN ('all', 'live', 'history')),
    state        text NOT NULL CHECK (state IN ('ok', 'lagging', 'resting', 'failed')),
    active       boolean NOT NULL, -- whether its head is followed
    head_number  bigint CHECK (head_number >= 0),
    latency_ms   bigint CHECK (latency_ms >= 0),
    last_error   text,
    failures     bigint NOT NULL CHECK (failures >= 0), -- in a row
    since        timestamptz NOT NULL, -- when state last changed
    PRIMARY KEY (chain_id, position)
);
