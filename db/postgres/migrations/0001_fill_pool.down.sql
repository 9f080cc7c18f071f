-- A resting code stays: its rest is the one thing here that filling the pool again could not restore.
DELETE FROM "code" WHERE "rests_until" IS NULL;
