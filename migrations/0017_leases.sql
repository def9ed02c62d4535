-- Who writes each stream. The right to write is an advisory lock that the holder's connection holds; a row here says until when its
-- process is taken for alive. One whose lease has expired hangs or is cut off: a standby ends its connection, and with it the lock.
CREATE TABLE leases (
    stream        text PRIMARY KEY,      -- chain:ID or prices
    term          bigint NOT NULL CHECK (term > 0),     -- rises by one with each holder
    holder        text NOT NULL,         -- host, process id and a random number of the process
    backend_pid   integer NOT NULL,      -- the server process of the connection that writes
    backend_start timestamptz NOT NULL,  -- when that began: a process id is used again
    lease_ms      bigint NOT NULL CHECK (lease_ms > 0), -- how long the lease lasts after it was renewed
    acquired_at   timestamptz NOT NULL,
    renewed_at    timestamptz NOT NULL,  -- by the clock of the database, as all times here
    written_at    timestamptz,           -- about when the holder last committed
    failure       text,                  -- why the holder cannot write; NULL while it can
    failed_since  timestamptz,
    CHECK ((failure IS NULL) = (failed_since IS NULL))
) WITH (fillfactor = 50);

-- Fails unless this session is the holder of that term. Writers call it as they begin a transaction.
CREATE FUNCTION hold_lease(_stream text, _term bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM leases WHERE stream = _stream AND term = _term AND backend_pid = pg_backend_pid()) THEN
        RAISE EXCEPTION 'this session does not hold term % of the lease of %', _term, _stream USING ERRCODE = 'CC001';
    END IF;
END $$;
