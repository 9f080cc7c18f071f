-- The index is built afterwards, in a third of the time.
ALTER TABLE "code" DROP CONSTRAINT "code_pkey";
--> statement-breakpoint
-- Every code that no text has and that does not rest already.
INSERT INTO "code" ("code")
WITH
	"letter" AS MATERIALIZED (SELECT chr("n") COLLATE "C" AS "l" FROM generate_series(65, 122) AS "n" WHERE "n" <= 90 OR "n" >= 97),
	"drawn" AS (
		SELECT "a"."l" || "b"."l" || "c"."l" || "d"."l" AS "code"
		FROM "letter" AS "a", "letter" AS "b", "letter" AS "c", "letter" AS "d"
	)
SELECT "code" FROM "drawn" WHERE "code" NOT IN (SELECT "code" FROM "text" UNION ALL SELECT "code" FROM "code");
--> statement-breakpoint
ALTER TABLE "code" ADD CONSTRAINT "code_pkey" PRIMARY KEY ("code");
--> statement-breakpoint
ANALYZE "code";
