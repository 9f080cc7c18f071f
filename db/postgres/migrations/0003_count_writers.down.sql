ALTER TABLE "stored" DROP COLUMN "texts";
--> statement-breakpoint
DROP TABLE "writer";
--> statement-breakpoint
ALTER TABLE "text" DROP COLUMN "writer";
