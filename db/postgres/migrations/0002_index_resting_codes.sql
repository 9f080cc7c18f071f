CREATE INDEX "code_rests_until" ON "code" ("rests_until") WHERE "rests_until" IS NOT NULL;
