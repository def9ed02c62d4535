-- Subjects whose sessions must end: every gateway reads the newest ones once a second and ends the sessions that are older.
-- Rows are deleted an hour later.
CREATE TABLE disconnects (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subject text NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX disconnects_requested_at ON disconnects (requested_at);
