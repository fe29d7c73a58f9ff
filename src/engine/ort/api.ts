import { SwiftdError } from '../errors.js'
import { koffi, type LibraryHandle } from '../memory/foreign.js'
import type { Pointer } from '../memory/libc.js'
import { loadRuntimeLibrary } from './library.js'
import { isOutOfMemory } from './out-of-memory.js'

/**
 * The functions of the runtime's C API that swiftd uses, as the runtime declares them in onnxruntime_c_api.h.
 *
 * `OrtGetApiBase()->GetApi(version)` is a table of function pointers whose order never changes: the ABI only grows at its
 * end. The number of each entry is its index in that table. Entries that return a status are wrapped so that a failure
 * throws; the others are called as they are.
 */
const API_VERSION = 22

type NativeFunction = ReturnType<LibraryHandle['func']>

type KoffiType = ReturnType<typeof koffi.pointer>
type NativeType = string | KoffiType
/** koffi.out, typed as any other type: koffi does not export the name of its own, which declaration files would need. */
const out = (type: KoffiType): KoffiType => koffi.out(type) as unknown as KoffiType
const INT64S = koffi.pointer('int64_t')
/** An array that the caller keeps: cheaper than an out argument where calls are many. */
const POINTERS = koffi.pointer('uint64_t')
const OUT_INT64S = out(INT64S)
const OUT_POINTER = out(koffi.pointer('void *'))
const OUT_SIZE = out(koffi.pointer('size_t'))
const OUT_INT = out(koffi.pointer('int'))
const STRINGS = koffi.pointer('str')

type StatusEntry = [index: number, args: NativeType[]]
type PlainEntry = [index: number, result: NativeType, args: NativeType[]]

/** name: [index, argument types]; each returns OrtStatus*. */
const STATUS_FUNCTIONS = {
  CreateSessionFromArray: [8, ['void *', 'void *', 'size_t', 'void *', OUT_POINTER]],
  CreateSessionOptions: [10, [OUT_POINTER]],
  SetOptimizedModelFilePath: [11, ['void *', 'str']],
  DisableMemPattern: [17, ['void *']],
  SetSessionGraphOptimizationLevel: [23, ['void *', 'int']],
  CreateRunOptions: [39, [OUT_POINTER]],
  RunOptionsSetTerminate: [46, ['void *']],
  CreateTensorWithDataAsOrtValue: [49, ['void *', 'void *', 'size_t', INT64S, 'size_t', 'int', POINTERS]],
  GetTensorMutableData: [51, ['void *', OUT_POINTER]],
  GetDimensionsCount: [61, ['void *', OUT_SIZE]],
  GetDimensions: [62, ['void *', OUT_INT64S, 'size_t']],
  GetTensorTypeAndShape: [65, ['void *', OUT_POINTER]],
  CreateMemoryInfo: [68, ['str', 'int', 'int', 'int', OUT_POINTER]],
  AllocatorFree: [76, ['void *', 'void *']],
  GetAllocatorWithDefaultOptions: [78, [OUT_POINTER]],
  CreateEnvWithGlobalThreadPools: [119, ['int', 'str', 'void *', OUT_POINTER]],
  DisablePerSessionThreads: [120, ['void *']],
  CreateThreadingOptions: [121, [OUT_POINTER]],
  GetAvailableProviders: [125, [OUT_POINTER, OUT_INT]],
  ReleaseAvailableProviders: [126, ['void *', 'int']],
  AddSessionConfigEntry: [130, ['void *', 'str', 'str']],
  RunWithBinding: [133, ['void *', 'void *', 'void *']],
  CreateIoBinding: [134, ['void *', OUT_POINTER]],
  BindInput: [136, ['void *', 'str', 'void *']],
  BindOutput: [137, ['void *', 'str', 'void *']],
  BindOutputToDevice: [138, ['void *', 'str', 'void *']],
  GetBoundOutputValues: [140, ['void *', 'void *', OUT_POINTER, OUT_SIZE]],
  SetGlobalIntraOpNumThreads: [147, ['void *', 'int']],
  SetGlobalInterOpNumThreads: [148, ['void *', 'int']],
  SetGlobalSpinControl: [149, ['void *', 'int']],
  SessionOptionsAppendExecutionProvider_CUDA_V2: [204, ['void *', 'void *']],
  CreateCUDAProviderOptions: [205, [OUT_POINTER]],
  UpdateCUDAProviderOptions: [206, ['void *', STRINGS, STRINGS, 'size_t']],
  SessionOptionsAppendExecutionProvider: [216, ['void *', 'str', STRINGS, STRINGS, 'size_t']],
} satisfies Record<string, StatusEntry>

/** name: [index, return type, argument types]; these do not return a status. */
const PLAIN_FUNCTIONS = {
  GetErrorMessage: [2, 'str', ['void *']],
  ReleaseEnv: [92, 'void', ['void *']],
  ReleaseStatus: [93, 'void', ['void *']],
  ReleaseMemoryInfo: [94, 'void', ['void *']],
  ReleaseSession: [95, 'void', ['void *']],
  ReleaseValue: [96, 'void', ['void *']],
  ReleaseRunOptions: [97, 'void', ['void *']],
  ReleaseTensorTypeAndShapeInfo: [99, 'void', ['void *']],
  ReleaseSessionOptions: [100, 'void', ['void *']],
  ReleaseThreadingOptions: [122, 'void', ['void *']],
  ReleaseIoBinding: [135, 'void', ['void *']],
  ReleaseCUDAProviderOptions: [208, 'void', ['void *']],
  ClearBoundInputs: [141, 'void', ['void *']],
  ClearBoundOutputs: [142, 'void', ['void *']],
} satisfies Record<string, PlainEntry>

type StatusName = keyof typeof STATUS_FUNCTIONS
type PlainName = keyof typeof PLAIN_FUNCTIONS
type Argument = Pointer | number | string | null | Uint8Array | BigInt64Array | BigUint64Array | unknown[]

/** Calls the function and throws if it reports a failure. */
type StatusCall = ((...args: Argument[]) => void) & {
  /** The same on another thread; the event loop stays free. */
  async(...args: Argument[]): Promise<void>
}

export type OrtApi = Readonly<Record<StatusName, StatusCall>> &
  Readonly<Record<Exclude<PlainName, 'GetErrorMessage'>, (pointer: Pointer) => void>> & {
    readonly GetErrorMessage: (status: Pointer) => string
  }

let api: OrtApi | undefined

/**
 * The runtime's API table, loaded on first use.
 * @throws SwiftdError RUNTIME_ERROR if the library cannot be loaded or is too old
 */
export function ortApi(): OrtApi {
  api ??= bindApi()
  return api
}

function bindApi(): OrtApi {
  const table = apiTable()
  const functionAt = (index: number, result: NativeType, args: readonly NativeType[]): NativeFunction => {
    const pointer = koffi.decode(table + BigInt(index * 8), 'void *') as Pointer
    return koffi.decode(pointer, koffi.proto(result, [...args])) as NativeFunction
  }
  const plain = Object.fromEntries(
    Object.entries(PLAIN_FUNCTIONS).map(([name, [index, result, args]]) => [name, functionAt(index, result, args)]),
  ) as unknown as Pick<OrtApi, PlainName>
  const checked = Object.fromEntries(
    Object.entries(STATUS_FUNCTIONS).map(([name, [index, args]]) => [
      name,
      checkStatus(plain, name, functionAt(index, 'void *', args)),
    ]),
  ) as Pick<OrtApi, StatusName>
  return { ...plain, ...checked }
}

function apiTable(): Pointer {
  const base = loadRuntimeLibrary().func('void *OrtGetApiBase()')() as Pointer
  const getApi = koffi.decode(koffi.decode(base, 'void *') as Pointer, koffi.proto('void *', ['uint32_t'])) as (
    version: number,
  ) => Pointer | null
  const table = getApi(API_VERSION)
  if (!table) {
    throw new SwiftdError('RUNTIME_ERROR', `The ONNX Runtime library is too old: it does not offer API ${API_VERSION}.`)
  }
  return table
}

function checkStatus(plain: Pick<OrtApi, PlainName>, name: string, call: NativeFunction): StatusCall {
  const check = (status: Pointer | null): void => {
    if (!status) return
    const message = plain.GetErrorMessage(status)
    plain.ReleaseStatus(status)
    throw new OrtError(name, message)
  }
  const checked = (...args: Argument[]): void => check(call(...args) as Pointer | null)
  const async = async (...args: Argument[]): Promise<void> => {
    const status = new Promise<Pointer | null>((resolve, reject) => {
      call.async(...args, (error: Error | null, result: Pointer | null) => (error ? reject(error) : resolve(result)))
    })
    check(await status)
  }
  return Object.assign(checked, { async })
}

/** A failure that the runtime reported, with its own message. */
export class OrtError extends SwiftdError {
  constructor(
    /** The C function that failed. */
    readonly operation: string,
    /** The runtime's message. */
    readonly runtimeMessage: string,
  ) {
    const code = isOutOfMemory(runtimeMessage) ? 'OUT_OF_MEMORY' : 'RUNTIME_ERROR'
    const advice =
      code === 'OUT_OF_MEMORY' ? 'The device has no memory left; make the image smaller, or fewer at once. ' : ''
    super(code, `${advice}ONNX Runtime reports in ${operation}: ${runtimeMessage.trim()}`)
  }
}
