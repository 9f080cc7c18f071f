/** nginx and Apache as Debian sets them up, with this project's files, in front of a real server. Caddy is in `caddy.ts`. */
import { cpSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { freePorts, isMissing as isCaddyMissing, type ReverseProxy, startCaddy, whenServing } from './caddy.ts'
import { temporaryPath } from './support.ts'

const isMissing = (command: string) => !Bun.which(command) && Bun.env.CI !== 'true'

/** What of a proxy's file does not hold in a test: the domain, where the server is, certificates from elsewhere, ports for root. */
async function adapt(file: string, home: string, domain: string, upstream: string) {
  const [http, https] = await freePorts()
  const [key, certificate] = [join(home, 'key.pem'), join(home, 'certificate.pem')]
  const names = `subjectAltName=DNS:${domain},DNS:www.${domain}`
  await Bun.$`openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ${key} -out ${certificate} -subj /CN=${domain} -addext ${names}`.quiet()
  const text = (await Bun.file(file).text())
    .replaceAll('/etc/letsencrypt/live/example.com/privkey.pem', key)
    .replaceAll('/etc/letsencrypt/live/example.com/fullchain.pem', certificate)
    .replaceAll('example.com', domain)
    .replaceAll('127.0.0.1:3000', new URL(upstream).host)
  return { http, https, text }
}

const run = (command: string[], env: Record<string, string> = {}) =>
  Bun.spawn(command, { env: { PATH: Bun.env.PATH ?? '', ...env }, stdout: 'ignore', stderr: 'inherit' })

async function startNginx(domain: string, upstream: string): Promise<ReverseProxy> {
  const home = temporaryPath('nginx')
  const log = join(home, 'extextcloud.log')
  mkdirSync(join(home, 'conf.d'), { recursive: true })
  const { http, https, text } = await adapt('proxies/nginx.conf', home, domain, upstream)
  const site = text
    .replace(/^\s*listen \[::\].*\n/gm, '')
    .replaceAll('listen 80;', `listen 127.0.0.1:${http};`)
    .replaceAll('listen 443 ', `listen 127.0.0.1:${https} `)
    .replaceAll('/var/log/nginx/', `${home}/`)
  await Bun.write(join(home, 'conf.d/extextcloud.conf'), site)
  const debian = (await Bun.file('/etc/nginx/nginx.conf').text())
    .replaceAll('/var/log/nginx/', `${home}/`)
    .replace(/\/etc\/nginx\/(conf\.d\/)/, `${home}/$1`)
    .replace(/^\s*include \/etc\/nginx\/sites-enabled.*\n/m, '')
    .replace(/^pid .*/m, `pid ${home}/nginx.pid;`)
    .replace('http {', `http {\n\tclient_body_temp_path ${home}/body;\n\tproxy_temp_path ${home}/proxy;\n`)
  const main = join(home, 'nginx.conf')
  await Bun.write(main, debian)
  const nginx = run(['nginx', '-c', main, '-e', join(home, 'error.log'), '-g', 'daemon off;'])
  const proxy = await whenServing({ domain, http, https, log, process: nginx })
  // Whatever would lay a text on the disk fails from here on.
  for (const folder of ['body', 'proxy']) rmSync(join(home, folder), { recursive: true })
  return proxy
}

async function startApache(domain: string, upstream: string): Promise<ReverseProxy> {
  const home = temporaryPath('apache')
  const log = join(home, 'extextcloud.log')
  cpSync('/etc/apache2', home, { recursive: true, verbatimSymlinks: true })
  const { http, https, text } = await adapt('proxies/apache.conf', home, domain, upstream)
  await Bun.write(join(home, 'ports.conf'), `Listen 127.0.0.1:${http}\nListen 127.0.0.1:${https} https\n`)
  const site = text.replaceAll('*:80>', `*:${http}>`).replaceAll('*:443>', `*:${https}>`)
  await Bun.write(join(home, 'sites-available/extextcloud.conf'), site)
  const env = {
    APACHE_CONFDIR: home,
    APACHE_RUN_USER: 'www-data',
    APACHE_RUN_GROUP: 'www-data',
    APACHE_PID_FILE: join(home, 'apache2.pid'),
    APACHE_RUN_DIR: home,
    APACHE_LOCK_DIR: home,
    APACHE_LOG_DIR: home,
  }
  await Bun.$`a2dissite -q 000-default`
    .env({ ...Bun.env, ...env })
    .quiet()
    .nothrow()
  // As the file says it.
  for (const [, command = ''] of text.matchAll(/^#\s+(a2.*)/gm))
    await Bun.$`sh -c ${command}`.env({ ...Bun.env, ...env }).quiet()
  const apache = run(['apache2', '-d', home, '-DFOREGROUND'], env)
  return whenServing({ domain, http, https, log, process: apache })
}

/**
 * Every proxy that there is a file for and a program here. `waits`: it lets loads wait while the server starts anew.
 * `limits`: the bodies that it refuses itself where they are too large, others being left to the server.
 */
export const PROXIES = [
  {
    ...{ name: 'Caddy', isMissing: isCaddyMissing, start: startCaddy },
    ...{ waits: true, limits: 'unannounced ones', offersHttp3: true },
  },
  {
    ...{ name: 'nginx', isMissing: isMissing('nginx'), start: startNginx },
    ...{ waits: false, limits: 'every body', offersHttp3: false },
  },
  {
    ...{ name: 'Apache', isMissing: isMissing('apache2'), start: startApache },
    ...{ waits: false, limits: 'none', offersHttp3: false },
  },
]
