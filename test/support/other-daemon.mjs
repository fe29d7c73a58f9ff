// Stands for a daemon of another version: it speaks protocol 99, and knows the paths that all versions share.
import { createServer } from 'node:http'

const [socket] = process.argv.slice(2)
const status = {
  ...{ version: '9.9.9', protocolVersion: 99, pid: process.pid, state: 'ready', uptimeMs: 1, logFile: '' },
  ...{ devices: [], jobs: { queued: 0, queueLimit: 1, running: 0, finished: 0 }, arena: { used: 0, size: 0 } },
}
const server = createServer((request, response) => {
  response.setHeader('x-swiftd-protocol', '99')
  response.setHeader('content-type', 'application/json')
  if (request.url === '/v1/status') return response.end(JSON.stringify(status))
  if (request.url !== '/v1/shutdown') return response.end('{"jobs": []}')
  response.end(JSON.stringify({ pid: process.pid, running: 0, queued: 0 }), () => {
    server.close()
    server.closeAllConnections()
    process.exit(0)
  })
})
server.listen(socket)
