import { koffi } from '../../src/engine/memory/foreign.js'

/** The two kinds of sockets that systemd has for a service and Node has not: one that listens only, and datagrams. */

const library = koffi.load(process.platform === 'darwin' ? 'libSystem.B.dylib' : 'libc.so.6')
const socket = library.func('int socket(int domain, int type, int protocol)')
const bind = library.func('int bind(int fd, void *address, uint32_t size)')
const listen = library.func('int listen(int fd, int backlog)')
const recv = library.func('int64_t recv(int fd, void *bytes, size_t length, int flags)')
const close = library.func('int close(int fd)')

const AF_UNIX = 1
const SOCK_STREAM = 1
const SOCK_DGRAM = 2
const MSG_DONTWAIT = 0x40

function openSocket(type: number, path: string): number {
  const family = Buffer.alloc(2)
  family.writeUInt16LE(AF_UNIX)
  const address = Buffer.concat([family, Buffer.from(path), Buffer.alloc(1)])
  const fd = socket(AF_UNIX, type, 0) as number
  if (bind(fd, address, address.byteLength) !== 0) throw new Error(`cannot bind ${path}`)
  return fd
}

/** A socket that takes connections into its queue; who gets the descriptor accepts them. */
export function openListeningSocket(path: string): { readonly fd: number; close(): void } {
  const fd = openSocket(SOCK_STREAM, path)
  listen(fd, 16)
  return { fd, close: () => void close(fd) }
}

/** A socket for datagrams, as systemd's NOTIFY_SOCKET. */
export function openDatagramSocket(path: string): { receive(): string | undefined; close(): void } {
  const fd = openSocket(SOCK_DGRAM, path)
  const bytes = Buffer.alloc(4096)
  return {
    /** The next datagram that is there. */
    receive() {
      const length = Number(recv(fd, bytes, bytes.byteLength, MSG_DONTWAIT))
      return length < 0 ? undefined : bytes.toString('utf8', 0, length)
    },
    close: () => void close(fd),
  }
}
