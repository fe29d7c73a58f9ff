import { Box, render, Static, Text, type Instance } from 'ink'
import { remainingSeconds, type JobView } from './job-view.js'

const BAR_WIDTH = 24

/** A job in the terminal: notes that stay, then one line with what happens. */
export function GenerateView({ view }: { readonly view: JobView }) {
  const notes = view.notes.map((text, index) => ({ text, index }))
  return (
    <>
      <Static items={notes}>{({ text, index }) => <Text key={index} color="yellow">{`! ${text}`}</Text>}</Static>
      <Box>{view.total > 0 ? <StepBar view={view} /> : <Text>{headline(view)}</Text>}</Box>
    </>
  )
}

function StepBar({ view }: { readonly view: JobView }) {
  const filled = Math.round((view.step / view.total) * BAR_WIDTH)
  return (
    <Text wrap="truncate">
      <Text color="green">{'█'.repeat(filled)}</Text>
      <Text dimColor>{'░'.repeat(BAR_WIDTH - filled)}</Text>
      {` ${stepText(view)}`}
    </Text>
  )
}

function headline({ phase, queuePosition, device }: JobView): string {
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
  ]
    .filter((part) => part !== undefined)
    .join(' · ')
}

/** Shows the view on stderr, so that stdout stays free for results. */
export function renderGenerateView(view: JobView): Instance {
  return render(<GenerateView view={view} />, { stdout: process.stderr, exitOnCtrlC: false, patchConsole: false })
}
