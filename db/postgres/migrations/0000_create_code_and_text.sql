CREATE TABLE "code" (
	"code" text COLLATE "C" PRIMARY KEY NOT NULL,
	"rests_until" bigint
);
--> statement-breakpoint
CREATE TABLE "text" (
	"code" text COLLATE "C" PRIMARY KEY NOT NULL,
	"body" bytea NOT NULL,
	"password_hash" text,
	"once" boolean NOT NULL,
	"erase_token_hash" bytea NOT NULL,
	"created_at" bigint NOT NULL,
	"expires_at" bigint NOT NULL
);
--> statement-breakpoint
CREATE INDEX "text_expires_at" ON "text" ("expires_at");
--> statement-breakpoint
CREATE TABLE "stored" (
	"part" integer PRIMARY KEY NOT NULL,
	"bytes" bigint DEFAULT 0 NOT NULL
);
--> statement-breakpoint
INSERT INTO "stored" ("part") SELECT generate_series(0, 63);
--> statement-breakpoint
-- Unlogged: a counter is worth no wait for the disk. After a crash of the database itself, counting begins anew.
CREATE UNLOGGED TABLE "counter" (
	"key" text PRIMARY KEY NOT NULL,
	"count" bigint NOT NULL,
	"ends_at" bigint NOT NULL
);
--> statement-breakpoint
CREATE INDEX "counter_ends_at" ON "counter" ("ends_at");
