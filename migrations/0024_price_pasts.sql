-- How far the logs of each price source on a chain are decoded, whether this machine's clock is off, and one more state of
-- a source.

CREATE TABLE price_pasts (
    chain_id        bigint NOT NULL REFERENCES chains,
    token           text NOT NULL,
    source          text NOT NULL,
    -- Of what is read, and how: another one is read anew.
    definition      bytea NOT NULL CHECK (octet_length(definition) = 32),
    -- Logs of the blocks from here to decoded_through are decoded; downward from where the source became known.
    decoded_from    bigint NOT NULL CHECK (decoded_from >= 0),
    decoded_through bigint NOT NULL CHECK (decoded_through >= -1),
    -- Ticks of another definition are below, and go as theirs are decoded.
    replaces        boolean NOT NULL DEFAULT false,
    PRIMARY KEY (chain_id, token, source)
) WITH (fillfactor = 70); -- written with every block

-- One row while every venue says that the clock of the process that writes prices is off.
CREATE TABLE price_clock (
    one    boolean PRIMARY KEY DEFAULT true CHECK (one),
    off_ms bigint NOT NULL, -- ahead of the venues, or below zero behind
    since  timestamptz NOT NULL DEFAULT now()
);

-- A venue may say that it does not trade as usual.
ALTER TABLE price_sources DROP CONSTRAINT price_sources_state_check;
ALTER TABLE price_sources
    ADD CONSTRAINT price_sources_state_check CHECK (state IN ('connecting', 'live', 'silent', 'limited', 'refused'));
