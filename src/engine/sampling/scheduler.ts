/**
 * The noise scheduler: which timesteps the UNet is asked at, and how its prediction moves the latents.
 *
 * Names follow diffusers. A scheduler is created for one job (`createScheduler`) and holds that job's state: multistep
 * methods remember earlier predictions. It knows nothing of networks or devices; it works on flat arrays.
 */
export interface Scheduler {
  /** One timestep per model call, in call order. Second-order methods list every call, so there can be more than steps. */
  readonly timesteps: readonly number[]
  /** The sigma (noise relative to signal) of each model call, in call order; some methods list the schedule's end too. */
  readonly sigmas: readonly number[]
  /** The deviation of the initial noise: latents start as `noise * initNoiseSigma`. */
  readonly initNoiseSigma: number
  /** Model calls per step. A run that skips the first k steps (img2img) starts at model call `k * order`. */
  readonly order: number
  /** True if `step` draws noise. */
  readonly stochastic: boolean
  /** The UNet's input at model call `index`. Returns a new array, or `sample` itself where the method does not scale. */
  scaleModelInput(sample: Float32Array, index: number): Float32Array
  /**
   * Moves `sample` by one model call.
   * @param modelOutput the (guided) prediction for `sample` at `timesteps[index]`, same length as `sample`; the caller may
   * reuse it afterwards
   * @param index number of the model call; calls come in order, once each, but may begin in the middle of the schedule
   * @param sample may be kept until the next call and must not be changed
   * @param drawNoise gives standard normal noise of the sample's length; called once per stochastic step
   * @returns the next sample, a new array
   */
  step(modelOutput: Float32Array, index: number, sample: Float32Array, drawNoise: () => Float32Array): Float32Array
  /** Noises clean latents to the level of model call `index` (img2img, inpainting). */
  addNoise(sample: Float32Array, noise: Float32Array, index: number): Float32Array
}

/** The fields of diffusers' scheduler_config.json that schedulers read. Unknown fields are ignored. */
export interface SchedulerConfig {
  readonly num_train_timesteps?: number
  readonly beta_start?: number
  readonly beta_end?: number
  readonly beta_schedule?: 'linear' | 'scaled_linear' | 'squaredcos_cap_v2'
  readonly trained_betas?: readonly number[] | null
  readonly prediction_type?: 'epsilon' | 'v_prediction' | 'sample'
  readonly timestep_spacing?: 'leading' | 'trailing' | 'linspace'
  readonly steps_offset?: number
  readonly set_alpha_to_one?: boolean
  readonly clip_sample?: boolean
  readonly clip_sample_range?: number
  readonly rescale_betas_zero_snr?: boolean
  readonly use_karras_sigmas?: boolean
  readonly [field: string]: unknown
}
