import type { BaseModel } from '../../src/engine/networks/base-model.js'
import { isPositiveOnly } from '../../src/engine/pipeline/control-strength.js'
import { localStages } from '../../src/engine/pipeline/local-stages.js'
import { nativeOf, type LocalTensor } from '../../src/engine/pipeline/local-tensor.js'
import type { Conditioning, PassOptions, Stages, Tensor, UnetStages } from '../../src/engine/pipeline/stages.js'
import { splitRows, type Rows } from '../../src/daemon/workers/parts.js'
import { elementCount, tensorBytes, type NativeTensor } from '../../src/engine/tensor.js'

/** Stages of this process that compute every pass in two parts, as latent parallelism does on two devices. */
export function splitStages(model: BaseModel): Stages & UnetStages {
  const whole = localStages(model)
  return {
    ...whole,
    async predictNoise(sample, timestep, conditioning, out, options = {}) {
      let runtimeMs = 0
      for (const rows of splitRows(sample.dims[0])) {
        const part = [rowsOf(sample, rows), timestep, conditioningOf(conditioning, rows), rowsOf(out, rows)] as const
        runtimeMs += (await whole.predictNoise(...part, optionsOf(options, rows))).runtimeMs
      }
      return { runtimeMs }
    },
  }
}

/** Rows of a tensor, as a view. */
function rowsOf(tensor: Tensor, [begin, end]: Rows): Tensor {
  const { type, dims, address } = nativeOf(tensor)
  const rest = dims.slice(1)
  const native: NativeTensor = {
    ...{ type, dims: [end - begin, ...rest] },
    address: address + BigInt(begin * tensorBytes(type, rest)),
  }
  const row = elementCount(rest)
  const part: LocalTensor = {
    ...{ native, dims: native.dims, release: () => undefined },
    data: tensor.data.subarray(begin * row, end * row),
  }
  return part
}

function conditioningOf({ encoderHiddenStates, textEmbeds, timeIds }: Conditioning, rows: Rows): Conditioning {
  return {
    encoderHiddenStates: rowsOf(encoderHiddenStates, rows),
    ...(textEmbeds && { textEmbeds: rowsOf(textEmbeds, rows) }),
    ...(timeIds && { timeIds: rowsOf(timeIds, rows) }),
  }
}

/** A part with negative rows only is not controlled by what only positive rows see. */
function optionsOf({ positiveRow = 0, adapters, controls = [] }: PassOptions, [begin, end]: Rows): PassOptions {
  const first = Math.max(0, positiveRow - begin)
  const active = controls.filter((control) => !isPositiveOnly(control) || first < end - begin)
  return {
    positiveRow: Math.min(first, end - begin),
    ...(adapters && { adapters }),
    ...(active.length > 0 && { controls: active }),
  }
}
