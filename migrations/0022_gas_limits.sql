-- Gas limits up to 2^64 - 1, which development nodes without a limit have. Rewrites both tables once.
ALTER TABLE blocks ALTER COLUMN gas_limit TYPE numeric(20, 0);
ALTER TABLE transactions ALTER COLUMN gas_limit TYPE numeric(20, 0);
