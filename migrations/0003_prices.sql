-- What is tracked, as configured when the indexer last started.
CREATE TABLE tokens (
    symbol   text PRIMARY KEY,
    name     text NOT NULL,
    chain_id bigint,
    address  bytea CHECK (octet_length(address) = 20),
    decimals smallint CHECK (decimals BETWEEN 0 AND 255),
    -- Order in the configuration; null when no longer tracked.
    position integer
);

CREATE TABLE price_sources (
    token        text NOT NULL REFERENCES tokens,
    source       text NOT NULL,
    quote        text NOT NULL,
    chain_id     bigint,
    address      bytea,
    max_age_ms   bigint NOT NULL CHECK (max_age_ms > 0),
    -- False when no longer configured.
    active       boolean NOT NULL DEFAULT true,
    PRIMARY KEY (token, source)
);

-- One price observation of one token by one source.
CREATE TABLE ticks (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    token        text NOT NULL,
    source       text NOT NULL,
    quote        text NOT NULL,
    price        numeric NOT NULL CHECK (price > 0),
    observed_at  timestamptz NOT NULL,
    received_at  timestamptz NOT NULL DEFAULT now(),
    -- The log it was decoded from; all null for sources that are not on a chain.
    chain_id     bigint,
    block_number bigint,
    block_hash   bytea,
    log_index    integer,
    UNIQUE (chain_id, block_number, log_index, token, source)
);
CREATE INDEX ticks_token_time ON ticks (token, observed_at, id);
CREATE INDEX ticks_latest ON ticks (token, source, observed_at DESC, id DESC);
-- The newest of a source on a chain is the last in chain order, whatever time it claims.
CREATE INDEX ticks_newest ON ticks
    (token, source, block_number DESC NULLS LAST, log_index DESC NULLS LAST, observed_at DESC, id DESC);

-- Every price announced, by its seq in price:TOKEN.
CREATE TABLE prices (
    token        text NOT NULL,
    seq          bigint NOT NULL CHECK (seq > 0),
    price        numeric NOT NULL CHECK (price > 0),
    confidence   numeric NOT NULL CHECK (confidence >= 0),
    status       text NOT NULL CHECK (status IN ('ok', 'degraded', 'stale')),
    sources      text[] NOT NULL,
    -- Of the newest tick that it stands on; moves while it is the token's newest and ticks confirm it.
    observed_at  timestamptz NOT NULL,
    announced_at timestamptz NOT NULL,
    PRIMARY KEY (token, seq)
);
CREATE INDEX prices_time ON prices (token, announced_at, seq);
