-- Under its code alone anybody could read what only a receive token opens: the sweep deletes it, and returns its code.
UPDATE "text" SET "expires_at" = 0 WHERE "receive_token_hash" IS NOT NULL;
--> statement-breakpoint
DROP INDEX "text_receiving";
--> statement-breakpoint
ALTER TABLE "text" DROP COLUMN "public_key";
--> statement-breakpoint
ALTER TABLE "text" DROP COLUMN "receive_token_hash";
--> statement-breakpoint
DROP TABLE "receipt";
