/** Whether who is on the way to a server can read what is sent there. */
import ipaddr from 'ipaddr.js'

/** Whether the way to the server at `origin` is neither encrypted nor inside this computer or the local network. */
export function isExposed(origin: string): boolean {
  const { protocol, hostname } = new URL(origin)
  if (protocol === 'https:') return false
  const host = hostname.replace(/^\[|\]$|\.$/g, '')
  if (ipaddr.isValid(host)) return !/^(loopback|private|linkLocal|uniqueLocal)$/.test(ipaddr.process(host).range())
  return host.includes('.') && !/\.(local|localhost)$/.test(host)
}
