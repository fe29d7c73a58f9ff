import { SwiftdError } from '../../engine/errors.js'
import { parseInfotext } from '../../engine/image/infotext.js'
import { readPngText } from '../../engine/image/png.js'
import { findControlNet, findLora } from '../models/adapters.js'
import { findModel } from '../models/registry.js'
import { vaePath } from '../models/vae.js'
import { ImageRecordSchema, RECORD_KEYWORD, type ImageRecord } from '../protocol/image-record.js'
import type { PictureInfo } from '../protocol/picture.js'
import type { Recipe, SourcePicture } from '../protocol/recipe.js'
import { recipeOfInfotext } from './infotext-recipe.js'

/**
 * Reads from a PNG what makes it again: swiftd's own record, or the parameters that stable-diffusion-webui and compatible
 * programs write.
 * @throws SwiftdError INVALID_REQUEST if it is no intact PNG, or says nothing of how it was made
 */
export function readRecipe(png: Uint8Array): Recipe {
  const { [RECORD_KEYWORD]: json, parameters, workflow } = readPngText(png)
  const record = json === undefined ? undefined : parseRecord(json)
  if (record) return recipeOfRecord(record)
  if (parameters !== undefined) return recipeOfInfotext(parseInfotext(parameters))
  const found = workflow === undefined ? 'it has no generation parameters' : 'it has a workflow of ComfyUI only'
  const sentence = `The image does not say how it was made: ${found}; give a PNG of swiftd or stable-diffusion-webui.`
  throw new SwiftdError('INVALID_REQUEST', sentence)
}

/** Of another version, or edited: then what stands beside it counts. */
function parseRecord(json: string): ImageRecord | undefined {
  try {
    return ImageRecordSchema.safeParse(JSON.parse(json)).data
  } catch {
    return undefined
  }
}

function recipeOfRecord({ request, index, seed, loraPatchStep }: ImageRecord): Recipe {
  const { image, mask, controls, loras, modelPath, modelOptions, loraBound, loraAt, ...plain } = request
  const patchStep = loraPatchStep ?? loraAt
  return {
    request: {
      ...plain,
      // Where it ran does not make the image.
      placement: undefined,
      model: nameAt(plain.model, modelPath, findModel),
      // The autoencoder of a registered model comes with its name.
      ...(plain.vae !== undefined && { vae: nameAt(plain.vae, modelOptions?.vae ?? plain.vae, findVae) }),
      loras: loras
        .filter(({ inPrompt }) => !inPrompt)
        .map(({ name, path, scale, textEncoderScale }) => {
          return { name: nameAt(name, path, findLora), scale, textEncoderScale }
        }),
      ...(patchStep === undefined ? loraBound !== undefined && { loraBound } : { loraAt: patchStep }),
    },
    ...(image && { image: sourceOf(image) }),
    ...(mask && { mask: sourceOf(mask) }),
    controls: controls.map(({ controlNet, path, image: picture, ...settings }) => ({
      settings: { controlNet: nameAt(controlNet, path, findControlNet), ...settings },
      picture: sourceOf(picture),
    })),
    index,
    alone: { seed, ...(plain.variationSeed !== undefined && { variationSeed: plain.variationSeed + index }) },
    notes: [],
  }
}

const findVae = (nameOrPath: string) => ({ path: vaePath(nameOrPath) })

/** The name, if it still means what lies at the path; else the path, if something lies there at all. */
function nameAt(name: string, path: string, find: (nameOrPath: string) => { readonly path: string }): string {
  if (pathOf(name, find) === path) return name
  return pathOf(path, find) === undefined ? name : path
}

function pathOf(nameOrPath: string, find: (nameOrPath: string) => { readonly path: string }): string | undefined {
  try {
    return find(nameOrPath).path
  } catch {
    return undefined
  }
}

function sourceOf({ sha256, path }: PictureInfo): SourcePicture {
  return { sha256, ...(path !== undefined && { path }) }
}
