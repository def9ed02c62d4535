-- When a definition of a contract came into force: an update from before may be of another definition, by which its event
-- had other arguments. Of those that are there, nothing is known but that they were there by now.
ALTER TABLE contracts ADD COLUMN defined_at timestamptz NOT NULL DEFAULT now();
