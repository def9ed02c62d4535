-- Whether prices that are degraded fire an alert and arm it again. Alerts that are there did not ask for it, so they
-- are from now on as new ones are that do not ask for it: such a price does nothing to them.
ALTER TABLE alerts ADD COLUMN fire_on_degraded boolean NOT NULL DEFAULT false;
