-- Ticks a partition a day (UTC), so that old days go at once and the newest are small.
ALTER TABLE ticks RENAME TO ticks_before;

-- Not an identity: before version 17 Postgres gives partitions none.
CREATE SEQUENCE ticks_number;
CREATE TABLE ticks (
    id           bigint NOT NULL DEFAULT nextval('ticks_number'),
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
    -- Half of what the source itself says that it may be off, in units of the quote; null when it says nothing.
    confidence   numeric CHECK (confidence >= 0)
) PARTITION BY RANGE (observed_at);
ALTER SEQUENCE ticks_number OWNED BY ticks.id;

-- Days without a partition: long ago, as history has them, and ahead, by clocks that are wrong. No insert fails.
CREATE TABLE ticks_rest PARTITION OF ticks DEFAULT;

-- Makes the partition of a day and moves what waited for it in ticks_rest; false when there is one already.
CREATE FUNCTION add_ticks_day(day date) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    name    text := 'ticks_' || to_char(day, 'YYYYMMDD');
    from_at timestamptz := day::timestamp AT TIME ZONE 'UTC';
    to_at   timestamptz := (day + 1)::timestamp AT TIME ZONE 'UTC';
BEGIN
    IF to_regclass(name) IS NOT NULL THEN
        RETURN false;
    END IF;
    -- Nothing of that day comes between the move and the attachment. Attaching, unlike CREATE TABLE … PARTITION OF,
    -- lets the other partitions be written meanwhile.
    LOCK TABLE ticks_rest IN ACCESS EXCLUSIVE MODE;
    IF to_regclass(name) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE ticks INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', name);
    EXECUTE format(
        'WITH moved AS (DELETE FROM ticks_rest WHERE observed_at >= %L AND observed_at < %L RETURNING *)
         INSERT INTO %I SELECT * FROM moved', from_at, to_at, name);
    EXECUTE format('ALTER TABLE ticks ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', name, from_at, to_at);
    RETURN true;
END $$;

-- The last month and the days to come; what is older is few and goes to the rest.
SELECT add_ticks_day(d::date)
FROM generate_series((now() AT TIME ZONE 'UTC')::date, (now() AT TIME ZONE 'UTC')::date + 3, interval '1 day') d;
SELECT add_ticks_day(day)
FROM (SELECT DISTINCT (observed_at AT TIME ZONE 'UTC')::date AS day FROM ticks_before
      WHERE observed_at > now() - interval '31 days' AND observed_at < now() + interval '3 days') d;
INSERT INTO ticks (id, token, source, quote, price, observed_at, received_at, chain_id, block_number, block_hash,
                   log_index, confidence)
SELECT id, token, source, quote, price, observed_at, received_at, chain_id, block_number, block_hash, log_index,
       confidence
FROM ticks_before;
SELECT setval('ticks_number', coalesce((SELECT max(id) FROM ticks), 0) + 1, false);
DROP TABLE ticks_before;

-- Ticks come by the ten thousand a second, and each index costs more than the row: those of no chain are in one alone,
-- which serves their pages and their newest.
CREATE INDEX ticks_source_time ON ticks (token, source, observed_at, id);
-- A log is of one block and its tick's time is decoded from it, so the time makes it no less unique.
CREATE UNIQUE INDEX ticks_log ON ticks (chain_id, block_number, log_index, token, source, observed_at)
    WHERE chain_id IS NOT NULL;
-- On a chain the newest is the last in chain order, whatever time it claims.
CREATE INDEX ticks_on_chain ON ticks
    (token, source, chain_id, block_number DESC, log_index DESC, observed_at DESC, id DESC)
    WHERE chain_id IS NOT NULL;

-- Open, high, low and close of announced prices.
CREATE TABLE candles (
    token    text NOT NULL,
    seconds  integer NOT NULL CHECK (seconds IN (60, 300, 900, 3600, 14400, 86400)),
    start    timestamptz NOT NULL,
    open     numeric NOT NULL CHECK (open > 0),
    high     numeric NOT NULL,
    low      numeric NOT NULL CHECK (low > 0),
    close    numeric NOT NULL CHECK (close > 0),
    count    bigint NOT NULL CHECK (count > 0),
    -- Event times of the prices at open and close.
    first_at timestamptz NOT NULL,
    last_at  timestamptz NOT NULL,
    -- How many prices it was made of when it was announced last.
    told     bigint NOT NULL DEFAULT 0 CHECK (told BETWEEN 0 AND count),
    -- Whether its close was announced.
    closed   boolean NOT NULL DEFAULT false,
    PRIMARY KEY (token, seconds, start)
) WITH (fillfactor = 70); -- the open ones are written again and again, within their pages
CREATE INDEX candles_open ON candles (seconds, token, start) WHERE NOT closed;
-- Small ones go with time.
CREATE INDEX candles_start ON candles USING brin (start);

-- What was announced until now, by the time of announcement; then each interval of the one below.
INSERT INTO candles
SELECT token, 60, start, (array_agg(price ORDER BY seq))[1], max(price), min(price),
       (array_agg(price ORDER BY seq DESC))[1], count(*), min(announced_at), max(announced_at), 0,
       start + interval '1 minute' <= now()
FROM (SELECT *, date_bin('1 minute', announced_at, 'epoch'::timestamptz) AS start
      FROM prices WHERE status <> 'stale') p
GROUP BY token, start;
DO $$
DECLARE
    larger  integer;
    smaller integer := 60;
BEGIN
    FOREACH larger IN ARRAY ARRAY[300, 900, 3600, 14400, 86400] LOOP
        INSERT INTO candles
        SELECT token, larger, bucket, (array_agg(open ORDER BY start))[1], max(high), min(low),
               (array_agg(close ORDER BY start DESC))[1], sum(count), min(first_at), max(last_at), 0,
               bucket + make_interval(secs => larger) <= now()
        FROM (SELECT *, date_bin(make_interval(secs => larger), start, 'epoch'::timestamptz) AS bucket
              FROM candles WHERE seconds = smaller) c
        GROUP BY token, bucket;
        smaller := larger;
    END LOOP;
END $$;
