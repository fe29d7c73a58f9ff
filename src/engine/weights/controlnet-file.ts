import { join } from 'node:path'
import type { Checkpoint, Component } from './checkpoint.js'
import { readControlNetConfig, type ControlNetConfig } from './config.js'
export function openControlNetComponent(path: string, _base: Checkpoint): Component<ControlNetConfig> {
  return {
    config: readControlNetConfig(join(path, 'config.json')),
    weightsPath: join(path, 'diffusion_pytorch_model.safetensors'),
    names: () => (name) => ({ name }),
  }
}
