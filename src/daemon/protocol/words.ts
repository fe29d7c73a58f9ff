/**
 * The words that fields of a request may be. Like the limits, they are in a file that imports nothing, because every
 * command loads it.
 */

export const PROMPT_SYNTAXES = ['diffusers', 'a1111'] as const
export const EMPHASES = ['original', 'no-norm'] as const
export const NOISE_CONVENTIONS = ['diffusers', 'a1111'] as const
export const GENERATORS = ['cpu', 'nv'] as const
export const VAE_TILINGS = ['auto', 'on', 'off'] as const

/** How a picture of another size is brought to the request's: stable-diffusion-webui's three ways. */
export const RESIZE_MODES = ['just-resize', 'crop-and-resize', 'resize-and-fill'] as const

/** What is made of a picture before a ControlNet sees it. */
export const PREPROCESSORS = ['none', 'canny', 'invert'] as const

/** Which side wins: neither, the prompt, or the ControlNet (sd-webui-controlnet's control modes). */
export const CONTROL_MODES = ['balanced', 'prompt', 'control'] as const
