import { SwiftdError } from '../../engine/errors.js'
import type { Job } from '../../daemon/protocol/job.js'
import { submitJob, withDaemon } from './follow-job.js'
import { finishJob, showSaved, type GenerateSession } from './generate-job.js'
import type { GenerateResult } from './generate-result.js'
import { requestOf } from './generate-request.js'
import { readPictureFile } from './picture-file.js'
import { createProgress, type Progress } from './progress.js'
import { remake, type Remake } from './remake.js'
import { targetOf } from './save-images.js'

/**
 * Makes what one prompt, or the metadata of an image, stand for.
 * @returns the job itself with --detach
 */
export async function generateOne(session: GenerateSession, prompt: string | undefined): Promise<GenerateResult | Job> {
  const { client, paths, flags, output, quiet } = session
  const progress = createProgress({ quiet })
  try {
    const { request, index } = await requestFor(session, prompt, progress)
    const previews = progress.previews && !flags.detach
    const onStart = (): void => progress.note('Starting the daemon')
    const job = await submitJob(client, paths, { ...request, previews }, onStart)
    if (flags.detach) {
      output.submitted(job)
      return job
    }
    progress.job(job)
    const result = await finishJob(session, job, {
      target: targetOf(session.target, job),
      onEvent(event) {
        progress.event(event)
        output.event(event)
      },
      ...(index !== undefined && { index }),
    })
    progress.close()
    await showSaved(session, result)
    output.result(result)
    return result
  } finally {
    progress.close()
    output.release()
  }
}

async function requestFor(
  { client, paths, flags }: GenerateSession,
  prompt: string | undefined,
  progress: Progress,
): Promise<Remake> {
  const { from } = flags
  if (from === undefined) {
    if (prompt !== undefined) return { request: await requestOf(prompt, flags), index: undefined }
    const remedy = 'give it in quotes, or - to read prompts from stdin, or an image by --from'
    throw new SwiftdError('INVALID_REQUEST', `There is no prompt; ${remedy}.`)
  }
  const { data } = await readPictureFile('--from', from)
  const recipe = await withDaemon(
    paths,
    () => progress.note('Starting the daemon'),
    () => client.recipe(data),
  )
  for (const note of recipe.notes) progress.note(`Note: ${note}`)
  return remake(recipe, prompt, flags)
}
