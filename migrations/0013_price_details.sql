-- What each source of an announced price stood at: [{"source":…,"at":ms,"chain":…,"block":…,"outlier":…}].
ALTER TABLE prices ADD COLUMN details jsonb NOT NULL DEFAULT '[]';

-- How a source outside the chains stood when the price writer last heard of it; null for sources on a chain.
ALTER TABLE price_sources
    ADD COLUMN state        text CHECK (state IN ('connecting', 'live', 'silent', 'refused')),
    ADD COLUMN state_reason text,
    ADD COLUMN state_since  timestamptz;
