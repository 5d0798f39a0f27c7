-- Version 5: retries are counted from the first of them, and a reminder that is being made holds up
-- the end of what it reminds of.

-- The first attempt since the delivery was due, was let go by a mute or was retried by hand.
ALTER TABLE delivery ADD COLUMN first_attempt_at INTEGER;
UPDATE delivery SET first_attempt_at = coalesce(retried_at, created_at)
 WHERE state = 'pending' AND attempts > 0;
-- Since when a reminder of it is being made.
ALTER TABLE delivery ADD COLUMN reminding_at INTEGER;
CREATE INDEX delivery_reminding ON delivery (hook) WHERE reminding_at IS NOT NULL;
