-- For pgbench: what a load needs on PostgreSQL, each statement a round trip.
\set a random(65, 90)
\set b random(65, 90)
\set client random(1, 1000)
SELECT * FROM text WHERE code = chr(:a) || chr(:b) || 'AA' \gset
SELECT count::float8, ends_at::float8 FROM counter WHERE key = 'misses ' || :client::text AND ends_at > :now::bigint;
