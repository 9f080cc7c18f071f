CREATE TABLE `receipt` (
	`erase_token_hash` blob PRIMARY KEY NOT NULL,
	`loads` integer NOT NULL,
	`last_loaded_at` integer,
	`expires_at` integer NOT NULL
);
--> statement-breakpoint
CREATE INDEX `receipt_expires_at` ON `receipt` (`expires_at`);--> statement-breakpoint
ALTER TABLE `text` ADD `receive_token_hash` blob;--> statement-breakpoint
ALTER TABLE `text` ADD `public_key` text;--> statement-breakpoint
CREATE INDEX `text_receiving` ON `text` (`code`) WHERE "text"."receive_token_hash" IS NOT NULL;