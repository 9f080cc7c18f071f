/** A file system of its own for a server, in a mount namespace that ends with it. */
export const NAMESPACE = ['unshare', '--user', '--map-root-user', '--mount']
export const canMount = Bun.spawnSync([...NAMESPACE, 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt']).success
