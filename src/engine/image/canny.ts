import { createRequire } from 'node:module'
import type { CV } from '@techstark/opencv-js'
import type { RgbImage } from './pixels.js'

/** Gradients (the sum of both directions' Sobel values) below `low` are no edge, above `high` they always are one. */
export interface CannyThresholds {
  readonly low: number
  readonly high: number
}

/**
 * Canny's edges of a picture, white on black: at each pixel the strongest of the three channels' Sobel gradients, thinned to
 * one pixel across, kept if over `high` or connected to such a pixel by pixels over `low`.
 *
 * This is OpenCV's own function, since edge ControlNets were trained on its edges (`cv2.Canny` in lllyasviel's ControlNet
 * and in diffusers' examples). Like there, the picture is not blurred before.
 */
export async function cannyEdges(image: RgbImage, { low, high }: CannyThresholds): Promise<RgbImage> {
  const cv = await openCv()
  const picture = new cv.Mat(image.height, image.width, cv.CV_8UC3)
  const edges = new cv.Mat()
  try {
    picture.data.set(image.data)
    cv.Canny(picture, edges, low, high)
    const levels = edges.data
    const data = new Uint8Array(image.data.length)
    levels.forEach((level, pixel) => data.fill(level, 3 * pixel, 3 * pixel + 3))
    return { width: image.width, height: image.height, data }
  } finally {
    // They lie in WebAssembly's memory, where nothing collects them.
    picture.delete()
    edges.delete()
  }
}

let opening: Promise<CV> | undefined

/** OpenCV, loaded when it is first needed: it takes some tenths of a second and 70 MiB. */
function openCv(): Promise<CV> {
  // What the package exports is a promise. `import()` of it depends on who loads the module: namespaces that carry a copy
  // of the promise's `then` are taken for promises themselves, and fail.
  opening ??= createRequire(import.meta.url)('@techstark/opencv-js') as Promise<CV>
  return opening
}
