CREATE TABLE "receipt" (
	"erase_token_hash" "bytea" PRIMARY KEY NOT NULL,
	"loads" bigint NOT NULL,
	"last_loaded_at" bigint,
	"expires_at" bigint NOT NULL
);
--> statement-breakpoint
ALTER TABLE "text" ADD COLUMN "receive_token_hash" "bytea";--> statement-breakpoint
ALTER TABLE "text" ADD COLUMN "public_key" text;--> statement-breakpoint
CREATE INDEX "receipt_expires_at" ON "receipt" USING btree ("expires_at");--> statement-breakpoint
CREATE INDEX "text_receiving" ON "text" USING btree ("code") WHERE "text"."receive_token_hash" IS NOT NULL;