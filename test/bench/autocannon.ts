/** What drives the server where wrk is not installed: slower, and its times are whole milliseconds. */
import { readFileSync } from 'node:fs'
import autocannon from 'autocannon'

const WRITTEN = /^{"code":"[A-Za-z]{4}","expiresAt":"[^"]+","eraseToken":"[\w-]+"}$/

/** @param env what `requests.lua` takes from its environment */
export async function drive(url: string, connections: number, seconds: number, env: Record<string, string | number>) {
  const json = { 'content-type': 'application/json' }
  const codes = env.CODES ? readFileSync(String(env.CODES), 'utf8').trim().split('\n') : []
  const body = env.BODY_FILE ? readFileSync(String(env.BODY_FILE), 'utf8') : env.BODY
  const bodies = codes.length > 0 ? codes.map((code) => JSON.stringify({ code })) : [body]
  const random = () => Math.floor(Math.random() * 65_536).toString(16)
  let asked = 0

  function setupRequest(request: autocannon.Request): autocannon.Request {
    const at = asked++
    if (env.WRITE && at % 10 === 9)
      return { ...request, method: 'POST', path: '/api/write', headers: json, body: String(env.WRITE) }
    const body = bodies[at % bodies.length]
    if (body === undefined) return request
    const one = at % Number(env.SPREAD ?? 1)
    const client = env.CLIENTS ? `2001:${random()}:${random()}:${random()}::1` : `10.0.${one >> 8}.${one & 255}`
    const headers = env.CLIENTS || env.SPREAD ? { ...json, 'x-client': client } : json
    return { ...request, method: 'POST', headers, body: String(body) }
  }

  const { requests, latency, errors, timeouts, non2xx, mismatches } = await autocannon({
    url,
    connections,
    duration: seconds,
    timeout: 30,
    requests: [{ setupRequest }],
    verifyBody: (answer) =>
      (env.EXPECT === undefined ? !url.endsWith('/api/write') : answer === env.EXPECT) || WRITTEN.test(String(answer)),
  })
  return {
    rate: requests.average,
    p50: latency.p50,
    p99: latency.p99,
    longest: latency.max,
    requests: requests.total,
    failed: errors + timeouts + non2xx + mismatches,
  }
}
