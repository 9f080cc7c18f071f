/** Which servers the options warn of: those that who is on the way can read along with. */
import { expect, test } from 'bun:test'
import { isExposed } from '../extension/exposed.ts'

test.each([
  'https://texts.example.com',
  'https://203.0.113.7',
  'http://localhost:3000',
  'http://texts.localhost',
  'http://127.0.0.1:3000',
  'http://127.9.9.9',
  'http://[::1]:3000',
  'http://[::ffff:192.168.1.2]',
  'http://10.0.0.1',
  'http://172.16.0.1',
  'http://172.31.255.255',
  'http://192.168.1.20:3000',
  'http://169.254.10.10',
  'http://[fe80::1]',
  'http://[fc00::1]',
  'http://[fdff:ffff::1]',
  'http://printer.local',
  'http://printer.local.',
  'http://nas:3000',
  'http://nas.',
])('%s is as safe as the network that it is in', (origin) => {
  expect(isExposed(origin)).toBe(false)
})

test.each([
  'http://texts.example.com',
  'http://example.com:3000',
  'http://local.example.com',
  'http://notlocal.com',
  'http://203.0.113.7',
  'http://172.15.0.1',
  'http://172.32.0.1',
  'http://192.169.0.1',
  'http://11.0.0.1',
  'http://126.0.0.1',
  'http://[2001:db8::1]',
  'http://[::ffff:203.0.113.7]',
  'http://[fec0::1]',
  'http://2130706432.example.com',
])('%s can be read on the way', (origin) => {
  expect(isExposed(origin)).toBe(true)
})
