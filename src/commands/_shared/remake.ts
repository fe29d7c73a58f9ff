import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { SwiftdError } from '../../engine/errors.js'
import type { Recipe, SourcePicture } from '../../daemon/protocol/recipe.js'
import type { GenerateRequest } from '../../daemon/protocol/request.js'
import { fieldsOf, picturesOf, type GenerateFlags, type RequestFields } from './generate-request.js'

/** A request that makes an image again. */
export interface Remake {
  readonly request: GenerateRequest
  /** Which image of the job it is; undefined means all of them. */
  readonly index: number | undefined
}

/**
 * An image's recipe with what flags change.
 *
 * An image of a batch is made with its batch again, because a network rounds differently for other batch sizes; with
 * another seed or number of images it leaves the batch.
 * @param prompt instead of the image's own
 * @throws SwiftdError INVALID_REQUEST that names a picture which is needed again and not to be found
 */
export async function remake(recipe: Recipe, prompt: string | undefined, flags: GenerateFlags): Promise<Remake> {
  const changes = fieldsOf(flags)
  const own = await picturesOf(flags)
  const leavesBatch = changes.seed !== undefined || changes.numImages !== undefined
  return {
    request: {
      ...unlessContradicted(recipe.request, changes),
      ...(leavesBatch && { numImages: 1, ...recipe.alone }),
      ...changes,
      ...(prompt !== undefined && { prompt, loraTags: true }),
      ...(await recordedPictures(recipe, own)),
      ...own,
    },
    index: leavesBatch ? undefined : recipe.index,
  }
}

/** The fields of a request that do not exclude one of the changes to it. */
export function unlessContradicted<T extends Pick<RequestFields, 'loraAt' | 'loraBound'>>(
  request: T,
  changes: { readonly loraAt?: unknown; readonly loraBound?: unknown },
): Omit<T, 'loraAt' | 'loraBound'> & Pick<RequestFields, 'loraAt' | 'loraBound'> {
  const { loraAt, loraBound, ...rest } = request
  if (changes.loraAt !== undefined || changes.loraBound !== undefined) return rest
  return { ...rest, ...(loraAt !== undefined && { loraAt }), ...(loraBound !== undefined && { loraBound }) }
}

/** The pictures of a recipe that flags do not replace. */
async function recordedPictures(
  { image, mask, controls }: Recipe,
  own: RequestFields,
): Promise<Pick<RequestFields, 'image' | 'mask' | 'controls'>> {
  return {
    ...(image && !own.image && { image: await find(image, 'the picture it starts from', '--image FILE') }),
    ...(mask && !own.mask && { mask: await find(mask, 'the mask', '--mask FILE') }),
    ...(controls.length > 0 &&
      !own.controls && {
        controls: await Promise.all(
          controls.map(async ({ settings, picture }) => {
            const { controlNet } = settings
            const what = `the picture of its ControlNet "${controlNet}"`
            return { ...settings, image: await find(picture, what, `--control ${controlNet}=FILE`) }
          }),
        ),
      }),
  }
}

/** Reads a picture from where it was, if it is still the same there. */
async function find({ sha256, path }: SourcePicture, what: string, flag: string) {
  const missing = (why: string): SwiftdError => {
    return new SwiftdError(
      'INVALID_REQUEST',
      `To make this image again, ${what} is needed; ${why}. Give it by ${flag}.`,
    )
  }
  if (path === undefined) throw missing('the image does not say where it is')
  const bytes = await readFile(path).catch(() => undefined)
  if (!bytes) throw missing(`it was ${path}, which cannot be read`)
  if (createHash('sha256').update(bytes).digest('hex') !== sha256) throw missing(`${path} has changed since then`)
  return { data: bytes.toString('base64'), path }
}
