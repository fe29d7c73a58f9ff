import { Box, Static, Text, useIsScreenReaderEnabled } from 'ink'
import { DeviceLines } from './device-line.js'
import { colourDepth, halfBlocks } from './half-blocks.js'
import { remainingSeconds, type JobView, type Preview } from './job-view.js'
import { useTerminalSize } from './terminal-size.js'

const BAR_WIDTH = 24
/** Narrower than this, there is room for a short bar and the most important numbers only. */
const WIDE = 60

/** A job in the terminal: notes that stay, a preview, a bar, and what each device computes. */
export function GenerateView({ view }: { readonly view: JobView }) {
  const { columns, rows } = useTerminalSize()
  const spoken = useIsScreenReaderEnabled()
  const notes = view.notes.map((text, index) => ({ text, index }))
  return (
    <>
      <Static items={notes}>{({ text, index }) => <Text key={index} color="yellow">{`! ${text}`}</Text>}</Static>
      {spoken ? (
        <Text>{spokenLine(view)}</Text>
      ) : (
        <Box flexDirection="column" width={columns}>
          {view.preview && columns >= 20 && rows >= 14 && (
            <PreviewPicture preview={view.preview} columns={columns} rows={rows} />
          )}
          {view.total > 0 ? <StepBar view={view} width={columns} /> : <Text wrap="truncate">{headline(view)}</Text>}
          <DeviceLines view={view} width={columns} />
          {view.adapters !== undefined && <Text wrap="truncate" dimColor>{`LoRA ${view.adapters}`}</Text>}
        </Box>
      )}
    </>
  )
}

/** At most half of the screen, so that what was there before can still be read. */
function PreviewPicture(props: { readonly preview: Preview; readonly columns: number; readonly rows: number }) {
  const { preview, columns, rows } = props
  const lines = halfBlocks(preview, Math.min(columns, 48), Math.min(Math.floor(rows / 2), 16), colourDepth())
  return lines.map((line, index) => (
    <Text key={index} wrap="truncate">
      {line}
    </Text>
  ))
}

interface StepBarProps {
  readonly view: JobView
  readonly width: number
  /** Cells of the bar, where there is room. */
  readonly bar?: number
}

/** A bar with the numbers behind it, in one line. */
export function StepBar({ view, width, bar = BAR_WIDTH }: StepBarProps) {
  const length = width >= WIDE ? bar : Math.max(4, Math.min(12, width - 16))
  const filled = Math.round((view.step / view.total) * length)
  return (
    <Text wrap="truncate">
      <Text color="green">{'█'.repeat(filled)}</Text>
      <Text dimColor>{'░'.repeat(length - filled)}</Text>
      {` ${width >= WIDE ? stepText(view) : shortText(view)}`}
    </Text>
  )
}

/** What a job does before its first step. */
export function headline({ phase, queuePosition, device }: JobView): string {
  if (phase === 'queued') return queuePosition > 0 ? `Waiting for ${queuePosition} jobs` : 'Waiting for a device'
  return phase === 'loading' ? `Loading the model on ${device}` : `Encoding the prompt on ${device}`
}

function stepText(view: JobView): string {
  const { step, total, sigma, secondsPerStep, phase } = view
  if (phase === 'decoding' || phase === 'done') return `${total} steps done, decoding`
  const remaining = remainingSeconds(view)
  return [
    `step ${step}/${total}`,
    sigma === undefined ? undefined : `σ ${sigma.toFixed(2)}`,
    secondsPerStep === undefined ? undefined : `${secondsPerStep.toFixed(2)} s/step`,
    remaining === undefined ? undefined : `${Math.ceil(remaining)} s left`,
    view.images === undefined || view.images === 1 ? undefined : `${view.images} images`,
  ]
    .filter((part) => part !== undefined)
    .join(' · ')
}

function shortText(view: JobView): string {
  const remaining = Math.ceil(remainingSeconds(view) ?? 0)
  return remaining > 0 ? `${view.step}/${view.total} ${remaining} s` : `${view.step}/${view.total}`
}

/** One sentence without signs, which a screen reader reads again whenever it changes: so only in tenths. */
function spokenLine(view: JobView): string {
  if (view.total === 0) return headline(view)
  if (view.phase === 'decoding' || view.phase === 'done') return 'All steps are done, decoding'
  const tenths = Math.floor((10 * view.step) / view.total)
  return `${10 * tenths} percent of ${view.total} steps done`
}
