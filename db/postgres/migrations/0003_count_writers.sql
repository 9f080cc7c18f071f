ALTER TABLE "text" ADD COLUMN "writer" integer;
--> statement-breakpoint
-- Of the texts that are there already nobody knows the writer.
CREATE TABLE "writer" (
	"number" integer PRIMARY KEY NOT NULL,
	"bytes" bigint NOT NULL
);
--> statement-breakpoint
ALTER TABLE "stored" ADD COLUMN "texts" bigint DEFAULT 0 NOT NULL;
--> statement-breakpoint
UPDATE "stored" SET "texts" = (SELECT count(*) FROM "text") WHERE "part" = 0;
