/// <reference lib="webworker" />
/** A worker that computes one Argon2id hash, so that the page goes on meanwhile; `seal.ts` fetches it with the first password. */
import { argon2id } from 'hash-wasm'

declare const self: DedicatedWorkerGlobalScope

// A rejection in here would be told to nobody: instead of a hash there comes none.
self.onmessage = ({ data }) =>
  argon2id(data).then(
    (hash) => self.postMessage(hash),
    () => self.postMessage(undefined),
  )
