-- Chains whose writer ended because waiting cannot mend what it met. Gone once a writer goes on.
CREATE TABLE halts (
    chain_id  bigint PRIMARY KEY CHECK (chain_id > 0),
    reason    text NOT NULL, -- for people, with what to do
    halted_at timestamptz NOT NULL DEFAULT now()
);
