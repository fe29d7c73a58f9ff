import { useStdout } from 'ink'
import { useEffect, useState } from 'react'

export interface TerminalSize {
  readonly columns: number
  readonly rows: number
}

/** The size of the terminal that the view is on; the view is drawn again when it changes. */
export function useTerminalSize(): TerminalSize {
  const { stdout } = useStdout()
  const [size, setSize] = useState(() => sizeOf(stdout))
  useEffect(() => {
    const update = (): void => setSize(sizeOf(stdout))
    stdout.on('resize', update)
    return () => void stdout.off('resize', update)
  }, [stdout])
  return size
}

function sizeOf({ columns, rows }: NodeJS.WriteStream): TerminalSize {
  return { columns: columns || 80, rows: rows || 24 }
}
