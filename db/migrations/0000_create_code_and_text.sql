CREATE TABLE `code` (
	`code` text PRIMARY KEY NOT NULL,
	`rests_until` integer
) WITHOUT ROWID;
--> statement-breakpoint
CREATE TABLE `text` (
	`code` text PRIMARY KEY NOT NULL,
	`body` text NOT NULL,
	`password_hash` text,
	`once` integer NOT NULL,
	`erase_token_hash` blob NOT NULL,
	`created_at` integer NOT NULL,
	`expires_at` integer NOT NULL
);
--> statement-breakpoint
CREATE INDEX `text_expires_at` ON `text` (`expires_at`,octet_length("body"));
