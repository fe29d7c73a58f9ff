import { Box, Text } from 'ink'
import type { DeviceStep } from '../../daemon/protocol/event.js'
import { timelineOf, type JobView, type TimelinePart } from './job-view.js'

const LOOKS: Readonly<Record<TimelinePart['what'], { readonly sign: string; readonly color?: string }>> = {
  ControlNet: { sign: '▒', color: 'magenta' },
  encoder: { sign: '▓', color: 'cyan' },
  waits: { sign: '·' },
  decoder: { sign: '█', color: 'blue' },
  UNet: { sign: '█', color: 'blue' },
}

/** What a job's devices compute: by names, and while it denoises also as a timeline of the last step. */
export function DeviceLines({ view, width }: { readonly view: JobView; readonly width: number }) {
  const current = currentWork(view)
  if (current !== undefined) {
    return view.device === undefined ? null : <Text wrap="truncate" dimColor>{`${view.device} ${current}`}</Text>
  }
  return (
    <>
      {view.devices.map((step) => (
        <DeviceLine key={`${step.device} ${step.role}`} step={step} width={width} />
      ))}
    </>
  )
}

/** What runs on the base device outside of the loop. */
function currentWork({ phase, devices, step }: JobView): string | undefined {
  if (phase === 'loading') return 'loads the model'
  if (phase === 'encoding') return 'text encoder'
  if (phase === 'decoding') return 'VAE'
  return devices.length === 0 && step > 0 ? 'UNet' : undefined
}

function DeviceLine({ step, width }: { readonly step: DeviceStep; readonly width: number }) {
  const parts = timelineOf(step)
  const bar = cells(parts, Math.min(24, Math.max(4, width - step.device.length - 28)))
  const words = parts.map(({ what, milliseconds }) => `${what} ${formatMs(milliseconds)}`).join(' · ')
  return (
    <Box>
      <Text dimColor>{`${step.device} `}</Text>
      {width >= 32 &&
        bar.map(({ what, text }) => (
          <Text key={what} color={LOOKS[what].color}>
            {text}
          </Text>
        ))}
      <Text wrap="truncate" dimColor>{` ${words || step.role}`}</Text>
    </Box>
  )
}

/** Each part as long as its share of the time; what is there has at least one cell. */
function cells(parts: readonly TimelinePart[], length: number): { what: TimelinePart['what']; text: string }[] {
  const total = parts.reduce((sum, { milliseconds }) => sum + milliseconds, 0)
  return parts.map(({ what, milliseconds }) => {
    const count = Math.max(1, Math.round((milliseconds / total) * length))
    return { what, text: LOOKS[what].sign.repeat(count) }
  })
}

function formatMs(milliseconds: number): string {
  return milliseconds < 1000 ? `${Math.round(milliseconds)} ms` : `${(milliseconds / 1000).toFixed(1)} s`
}
