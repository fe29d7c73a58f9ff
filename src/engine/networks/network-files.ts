import { typesOf, type GraphTarget } from '../graph/target.js'
import type { Component } from '../weights/checkpoint.js'
import { storedFloats, type NetworkRole } from '../weights/network-tensors.js'
import { openSafetensors, type SafetensorsFile } from '../weights/safetensors.js'
import { weightsFromFile, type Weights } from '../weights/weights.js'
import { openAsFloat32 } from '../weights/widened-cache.js'
import { targetOfFile, type DeviceTarget } from './network-target.js'

/** The weights of a network, and what the graphs that read them are to be built for. */
export interface NetworkFile {
  readonly weights: Weights
  readonly target: GraphTarget
}

/** The files of some networks of a device. A single file is mapped once for all its networks that can read it as it lies. */
export interface NetworkFiles {
  /** @throws SwiftdError as `openAsFloat32` */
  open(component: Pick<Component<unknown>, 'weightsPath' | 'names'>, role: NetworkRole): Promise<NetworkFile>
  /** Unmaps them all; bindings of their weights must be released before. */
  close(): void
}

/**
 * @param device what its graphs are built for
 * @param cacheDirectory where float32 copies are kept; see `openAsFloat32`
 */
export function createNetworkFiles(device: DeviceTarget, cacheDirectory: string): NetworkFiles {
  const files = new Map<string, SafetensorsFile>()
  const opened: Weights[] = []
  const once = async (
    key: string,
    open: () => SafetensorsFile | Promise<SafetensorsFile>,
  ): Promise<SafetensorsFile> => {
    const file = files.get(key) ?? (await open())
    files.set(key, file)
    return file
  }
  return {
    async open({ weightsPath, names }, role) {
      const stored = await once(weightsPath, () => openSafetensors(weightsPath))
      const target = targetOfFile(device, stored, role)
      const file = isReadable(stored, role, target)
        ? stored
        : await once(`float32 ${weightsPath}`, () => openAsFloat32(weightsPath, { cacheDirectory }))
      const weights = weightsFromFile({ ...file, close: () => undefined }, names(file))
      opened.push(weights)
      return { weights, target }
    },
    close() {
      for (const each of [...opened.splice(0), ...files.values()]) each.close()
      files.clear()
    },
  }
}

/** Whether weights are taken as they lie in the file. Where some are float16, a device has a copy in a type of its own. */
function isReadable(file: SafetensorsFile, role: NetworkRole, target: GraphTarget): boolean {
  const stored = storedFloats(file, role)
  return stored === 'float32' || (stored !== 'other' && typesOf(target).weights === 'float16')
}
