/** The log: one JSON object a line, on standard error. It never holds a text, a code, a password, a token or a whole address. */
import pino from 'pino'

// Written at once where it fills a page, else within the quarter of a second: a line each would cost a system call each.
const destination = pino.destination({ dest: 2, sync: true, minLength: 4096, periodicFlush: 250 })

export const log = pino(
  {
    base: undefined,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (level) => ({ level }) },
  },
  destination,
)

process.on('exit', () => destination.flushSync())
