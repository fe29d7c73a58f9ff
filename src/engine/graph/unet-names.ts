/** Input and output names of the UNet and ControlNet graphs. */
export const UNET_NAMES = {
  sample: 'sample',
  timestep: 'timestep',
  encoderHiddenStates: 'encoder_hidden_states',
  textEmbeds: 'text_embeds',
  timeIds: 'time_ids',
  conditioning: 'conditioning',
  controlImage: 'control_image',
  skip: (index: number) => `skip.${index}`,
  mid: 'mid',
  activatedTime: 'activated_time',
  noise: 'noise',
} as const
