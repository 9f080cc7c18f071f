/** Writes what takes each engine to its schema: `bun run db:generate --name what_it_does`, with any option of drizzle-kit's. */
for (const [dialect, folder] of [
  ['sqlite', 'db'],
  ['postgresql', 'db/postgres'],
] as const) {
  const where = ['--dialect', dialect, '--schema', `${folder}/schema.ts`, '--out', `${folder}/migrations`]
  const kit = Bun.spawnSync(['drizzle-kit', 'generate', ...where, '--casing', 'snake_case', ...process.argv.slice(2)], {
    stdio: ['inherit', 'inherit', 'inherit'], // It asks whether a column is new or was renamed.
  })
  if (!kit.success) process.exit(kit.exitCode)
}
