import type { Socket } from 'node:net'

/** Sends a message as a line of JSON. */
export function sendLine(socket: Socket, message: unknown): void {
  socket.write(`${JSON.stringify(message)}\n`)
}

/** Calls `onMessage` for every line that arrives. */
export function onLines(socket: Socket, onMessage: (message: unknown) => void): void {
  socket.setEncoding('utf8')
  let rest = ''
  socket.on('data', (text: string) => {
    const lines = (rest + text).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) onMessage(JSON.parse(line))
  })
}
