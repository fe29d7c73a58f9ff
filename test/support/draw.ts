import type { DaemonClient } from '../../src/daemon/client/client.js'
import type { JobEvent } from '../../src/daemon/protocol/event.js'
import type { Job } from '../../src/daemon/protocol/job.js'
import type { GenerateRequest } from '../../src/daemon/protocol/request.js'
import type { RgbImage } from '../../src/engine/image/pixels.js'
import { decodeImage } from '../../src/engine/image/png.js'

export interface Drawn {
  readonly job: Job
  readonly pngs: readonly Buffer[]
  readonly images: readonly RgbImage[]
  /** What the job warned of. */
  readonly notes: readonly string[]
  readonly events: readonly JobEvent[]
}

/** Runs a job of the daemon to its end, which must be a good one. `watch` sees every event as it comes. */
export async function draw(
  client: DaemonClient,
  request: GenerateRequest,
  watch?: (event: JobEvent) => void,
): Promise<Drawn> {
  const { id } = await client.submit(request)
  const events: JobEvent[] = []
  for await (const event of client.events(id)) {
    if (event.type === 'failed') throw new Error(event.error.message)
    events.push(event)
    watch?.(event)
  }
  const job = await client.job(id)
  const pngs = await Promise.all(job.images.map(({ index }) => client.image(id, index)))
  const images = await Promise.all(pngs.map(decodeImage))
  const notes = events.flatMap((event) => (event.type === 'warning' ? [event.message] : []))
  return { job, pngs, images, notes, events }
}

/** The mean difference of two pictures in grey levels, over the pixels that `where` takes. */
export function difference(a: RgbImage, b: RgbImage, where: (x: number, y: number) => boolean = () => true): number {
  let [sum, count] = [0, 0]
  for (let y = 0; y < a.height; y++) {
    for (let x = 0; x < a.width; x++) {
      if (!where(x, y)) continue
      for (let channel = 0; channel < 3; channel++) {
        const at = 3 * (y * a.width + x) + channel
        sum += Math.abs(a.data[at] - b.data[at])
        count++
      }
    }
  }
  return sum / count
}
