import { koffi } from '../engine/memory/foreign.js'

/**
 * The two things that a service of type "notify" with a socket unit has to do: take the socket that systemd opened, and
 * tell systemd when it is ready and when it stops. man: sd_listen_fds(3), sd_notify(3).
 */

/** The first descriptor that systemd hands over. */
const FIRST_FD = 3

/**
 * The listening socket that this process was started with.
 * @param environment its LISTEN_ variables are removed: they are meant for this process, not for its children
 * @returns the descriptor, or undefined if there is none for this process
 */
export function takeInheritedSocket(environment: NodeJS.ProcessEnv = process.env): number | undefined {
  const { LISTEN_PID, LISTEN_FDS } = environment
  for (const name of ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES']) delete environment[name]
  return LISTEN_PID === String(process.pid) && Number(LISTEN_FDS) >= 1 ? FIRST_FD : undefined
}

/** Tells systemd a state such as `READY=1`. Does nothing where systemd did not ask to be told. */
export type Notify = (state: string) => void

/**
 * @param environment its NOTIFY_SOCKET is removed: workers have nothing to tell
 */
export function createNotify(environment: NodeJS.ProcessEnv = process.env): Notify {
  const { NOTIFY_SOCKET } = environment
  delete environment.NOTIFY_SOCKET
  if (!NOTIFY_SOCKET || process.platform !== 'linux') return () => undefined
  const send = openDatagrams(NOTIFY_SOCKET)
  return (state) => send(Buffer.from(`${state}\n`))
}

const AF_UNIX = 1
const SOCK_DGRAM = 2
const SOCK_CLOEXEC = 0o2000000
const MSG_NOSIGNAL = 0x4000

/** Node has no datagrams on unix sockets. The library stays in the closure: koffi closes it with its handle. */
function openDatagrams(path: string): (message: Buffer) => void {
  const library = koffi.load('libc.so.6')
  const socket = library.func('int socket(int domain, int type, int protocol)') as (
    domain: number,
    type: number,
    protocol: number,
  ) => number
  const sendto = library.func(
    'int64_t sendto(int fd, void *bytes, size_t length, int flags, void *address, uint32_t size)',
  ) as (fd: number, bytes: Buffer, length: number, flags: number, address: Buffer, size: number) => number
  const address = socketAddress(path)
  const fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)
  return (message) => {
    // Nobody listens any more: no reason to fail, and systemd has its own timeouts.
    if (fd >= 0) sendto(fd, message, message.byteLength, MSG_NOSIGNAL, address, address.byteLength)
  }
}

/** A sockaddr_un: the family, then the path; "@" stands for the zero byte of an abstract name. */
function socketAddress(path: string): Buffer {
  const name = Buffer.from(path)
  if (path.startsWith('@')) name[0] = 0
  const family = Buffer.alloc(2)
  family.writeUInt16LE(AF_UNIX)
  return Buffer.concat([family, name])
}
