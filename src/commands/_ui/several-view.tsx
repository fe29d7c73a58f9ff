import { Box, Static, Text, useIsScreenReaderEnabled } from 'ink'
import { headline, StepBar } from './generate-view.js'
import { runningJobs, type JobOfMany, type ManyJobs } from './several-model.js'
import { useTerminalSize } from './terminal-size.js'

/** The line below the bars, and one that the cursor is in. */
const OTHER_ROWS = 2

/** Many jobs in the terminal: notes that stay, a bar for each that runs, and how many are done. */
export function SeveralView({ view }: { readonly view: ManyJobs }) {
  const { columns, rows } = useTerminalSize()
  const spoken = useIsScreenReaderEnabled()
  const notes = view.notes.map((text, index) => ({ text, index }))
  const running = runningJobs(view)
  const room = Math.max(1, rows - OTHER_ROWS)
  // One row less, where it tells how many have none.
  const shown = running.length <= room ? running : running.slice(0, Math.max(0, room - 1))
  const hidden = running.length - shown.length
  return (
    <>
      <Static items={notes}>{({ text, index }) => <Text key={index} color="yellow">{`! ${text}`}</Text>}</Static>
      {spoken ? (
        <Text>{`${view.done} of ${view.total} prompts done`}</Text>
      ) : (
        <Box flexDirection="column" width={columns}>
          {shown.map((job) => (
            <JobRow key={job.line} job={job} width={columns} />
          ))}
          {hidden > 0 && <Text wrap="truncate" dimColor>{`and ${hidden} more`}</Text>}
          <Text wrap="truncate">{summary(view, running.length)}</Text>
        </Box>
      )}
    </>
  )
}

/** Shorter than that of a single job, for the number of the line. */
const BAR_WIDTH = 16

/** Wide terminals have room for the prompt. */
const WITH_PROMPT = 100

function JobRow({ job, width }: { readonly job: JobOfMany; readonly width: number }) {
  const { line, prompt, view } = job
  const label = `${line}: `
  return (
    <Box width={width} height={1} overflow="hidden">
      <Box flexShrink={0}>
        <Text dimColor>{label}</Text>
      </Box>
      <Box flexShrink={width >= WITH_PROMPT ? 0 : 1}>
        {view.total > 0 ? (
          <StepBar view={view} width={width - label.length} bar={BAR_WIDTH} />
        ) : (
          <Text wrap="truncate">{headline(view)}</Text>
        )}
      </Box>
      {width >= WITH_PROMPT && <Text wrap="truncate" dimColor>{`  ${oneLine(prompt)}`}</Text>}
    </Box>
  )
}

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, ' ')
}

function summary({ total, done, failed }: ManyJobs, running: number): string {
  const waiting = total - done - failed - running
  return [`${done} of ${total} done`, failed > 0 && `${failed} failed`, waiting > 0 && `${waiting} wait`]
    .filter((part) => part !== false)
    .join(' · ')
}
