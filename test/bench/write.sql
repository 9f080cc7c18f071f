-- For pgbench: what a write needs on PostgreSQL, each statement a round trip and a transaction: its two limits, then the text.
\set a random(65, 122)
\set b random(65, 122)
\set c random(65, 122)
\set client random(1, 1000)
INSERT INTO counter AS counter (key, count, ends_at)
  VALUES ('bytes ' || :client::text, 40, :later::bigint), ('writes ' || :client::text, 1, :later::bigint)
  ON CONFLICT (key) DO UPDATE SET count = CASE WHEN counter.ends_at > :now::bigint THEN counter.count ELSE 0 END + excluded.count,
    ends_at = CASE WHEN counter.ends_at <= :now::bigint THEN excluded.ends_at
      WHEN counter.count < :max::bigint AND counter.count + excluded.count >= :max::bigint THEN coalesce(NULL, counter.ends_at)
      ELSE counter.ends_at END
  RETURNING counter.count::float8, ends_at::float8;
WITH room AS MATERIALIZED (SELECT sum(bytes) + 40 <= :max::bigint AS has_room FROM stored),
  drawn AS (DELETE FROM code WHERE (SELECT has_room FROM room) AND code.code = coalesce(
    (SELECT code FROM code WHERE code >= (chr(:a) || chr(:b) || chr(:c)) COLLATE "C"
      AND (rests_until IS NULL OR rests_until <= :now::bigint) ORDER BY code LIMIT 1 FOR UPDATE SKIP LOCKED),
    (SELECT code FROM code WHERE code < (chr(:a) || chr(:b) || chr(:c)) COLLATE "C"
      AND (rests_until IS NULL OR rests_until <= :now::bigint) ORDER BY code LIMIT 1 FOR UPDATE SKIP LOCKED)
  ) RETURNING code),
  counted AS (UPDATE stored SET texts = texts + 1, bytes = bytes + 40 WHERE part = pg_backend_pid() % 64 AND EXISTS (SELECT FROM drawn)),
  added AS (INSERT INTO text (code, body, password_hash, once, erase_token_hash, created_at, expires_at)
    SELECT code, 'a text of forty bytes, all of them ASCII'::bytea, NULL, false, decode(repeat('01', 32), 'hex'), :now::bigint,
      :later::bigint FROM drawn RETURNING code)
  SELECT has_room, (SELECT code FROM added) AS code FROM room \gset
