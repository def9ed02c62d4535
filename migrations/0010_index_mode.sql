-- How much of a chain is indexed; fixed with its first block.
ALTER TABLE chains
    ADD COLUMN index_mode text NOT NULL DEFAULT 'blocks' CHECK (index_mode IN ('blocks', 'logs', 'transfers'));
