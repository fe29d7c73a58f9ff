/**
 * The layers of docs/ARCHITECTURE.md as rules; `npm run deps` checks them.
 *
 *     commands -> daemon/client -> daemon/protocol <- daemon (server, jobs, workers) -> engine
 *
 * A rule that must give way says why in its comment, beside the narrowest exception that does.
 */

const TESTS = '\\.test\\.tsx?$'

/** What every command may import. */
const FOR_COMMANDS = [
  '^src/daemon/(client|protocol)/',
  '^src/daemon/(paths|workers/(devices|probe)|models/(names|format))\\.ts$',
  '^src/daemon/gpus/',
  '^src/engine/(errors|provider-name|sampling/schedulers/nearest)\\.ts$',
]

/** `serve` is the daemon in the foreground: the service manager that starts it expects the daemon in this process. */
const SERVE = '^src/commands/serve\\.ts$'

const MODEL_COMMANDS = '^src/commands/((model|lora|controlnet)/|_shared/(names/|transfer-progress))'

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    {
      name: 'engine-stands-alone',
      comment: 'The engine is a library: it knows nothing of who serves it or who asks.',
      severity: 'error',
      from: { path: '^src/engine/' },
      to: { path: '^src/(daemon|commands)/' },
    },
    {
      name: 'commands-are-imported-by-nothing',
      comment: 'Commands are the outermost layer.',
      severity: 'error',
      from: { path: '^src/(engine|daemon)/' },
      to: { path: '^src/commands/' },
    },
    {
      name: 'commands-talk-through-the-client',
      comment:
        'A command asks the daemon; it does not do its work. It takes the client, the protocol, the leaf files that tell ' +
        'where things are and how devices and models are written, what tells of GPUs (which needs no daemon), and the errors.',
      severity: 'error',
      from: { path: '^src/commands/', pathNot: [TESTS, MODEL_COMMANDS, SERVE] },
      to: { path: '^src/(daemon|engine)/', pathNot: FOR_COMMANDS },
    },
    {
      name: 'serve-is-the-daemon',
      comment: 'It starts the same program in this process, and nothing else of the daemon.',
      severity: 'error',
      from: { path: SERVE },
      to: { path: '^src/(daemon|engine)/', pathNot: [...FOR_COMMANDS, '^src/daemon/(main|systemd)\\.ts$'] },
    },
    {
      name: 'model-commands-use-the-store',
      comment:
        'Registering, listing and downloading models needs no daemon: these commands work on the store themselves.',
      severity: 'error',
      from: { path: MODEL_COMMANDS, pathNot: TESTS },
      to: { path: '^src/(daemon|engine)/', pathNot: [...FOR_COMMANDS, '^src/daemon/models/'] },
    },
    {
      name: 'client-is-light',
      comment: 'Whoever embeds the client gets HTTP and the protocol, not the daemon.',
      severity: 'error',
      from: { path: '^src/daemon/client/', pathNot: TESTS },
      to: {
        path: '^src/(daemon|engine)/',
        pathNot: [
          '^src/daemon/(client|protocol)/',
          '^src/daemon/(paths|log-file|already-running)\\.ts$',
          '^src/engine/errors\\.ts$',
        ],
      },
    },
    {
      name: 'protocol-depends-on-nothing',
      comment: 'Both ends of the wire load it, so it brings nothing along but its schemas and the error codes.',
      severity: 'error',
      from: { path: '^src/daemon/protocol/', pathNot: TESTS },
      to: { path: '^src/', pathNot: ['^src/daemon/protocol/', '^src/engine/errors\\.ts$'] },
    },
    {
      name: 'daemon-never-loads-the-runtime',
      comment: 'Only workers compute: they are started by path. A crash in native code must not take the daemon along.',
      severity: 'error',
      from: { path: '^src/daemon/main\\.ts$' },
      to: { path: ['^src/engine/(ort|networks)/', 'onnxruntime'], reachable: true },
    },
    {
      name: 'commands-never-load-the-runtime',
      comment: 'Also those that look into model files.',
      severity: 'error',
      from: { path: '^src/commands/', pathNot: TESTS },
      to: { path: ['^src/engine/(ort|networks)/', 'onnxruntime'], reachable: true },
    },
    {
      name: 'mathematics-without-runtime',
      comment:
        'Samplers, tokenizers and file formats are TypeScript on typed arrays; they must work without the runtime.',
      severity: 'error',
      from: { path: '^src/engine/(sampling|text|weights|image|graph)/', pathNot: TESTS },
      to: { path: ['^src/engine/(ort|networks|pipeline)/', 'onnxruntime'], reachable: true },
    },
    {
      name: 'graphs-are-descriptions',
      comment: 'A graph follows from a config: building one reads no weights and no memory.',
      severity: 'error',
      from: { path: '^src/engine/graph/', pathNot: TESTS },
      to: {
        path: '^src/engine/',
        pathNot: ['^src/engine/graph/', '^src/engine/(weights/config|errors)\\.ts$'],
        dependencyTypesNot: ['type-only'],
      },
    },
    {
      name: 'pipeline-knows-stages-only',
      comment:
        'The same loop runs in the daemon and in a worker, so it sees the verbs of stages.ts and no network. ' +
        'The local-* files are the one implementation of those verbs that lives here.',
      severity: 'error',
      from: { path: '^src/engine/pipeline/', pathNot: [TESTS, '^src/engine/pipeline/local-[a-z]+\\.ts$'] },
      to: { path: '^src/engine/(ort|networks|graph|memory)/' },
    },
    {
      name: 'runtime-has-one-door',
      comment: 'engine/ort binds the C API of the library that the package ships; nothing uses its JavaScript.',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: '(^|/)onnxruntime-(node|common)(/|$)' },
    },
    {
      name: 'koffi-has-one-door',
      comment: 'Its settings are fixed once a library is loaded, so one file makes them.',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/engine/memory/foreign\\.ts$' },
      to: { path: '(^|/)koffi(/|$)' },
    },
    {
      name: 'native-calls-have-few-callers',
      comment:
        'Calls into C live in engine/ort and engine/memory. The exceptions are no business of the engine: the file lock ' +
        'that makes the daemon the only one (daemon/lock.ts), and the datagram that tells systemd (daemon/systemd.ts).',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/(engine/(ort|memory)/|daemon/(lock|systemd)\\.ts$)' },
      to: { path: '^src/engine/memory/foreign\\.ts$' },
    },
    {
      name: 'views-are-loaded-late',
      comment: 'Ink and React take longer to load than a short job takes to run; only the view itself imports them.',
      severity: 'error',
      from: { path: '^src/', pathNot: [TESTS, '^src/commands/_ui/'] },
      to: {
        path: ['(^|/)node_modules/(ink|react|@inkjs/ui)/', '^src/commands/_ui/.*\\.tsx$'],
        dependencyTypesNot: ['type-only', 'dynamic-import'],
      },
    },
    {
      name: 'product-imports-no-tests',
      comment: 'Tests, benchmarks and their helpers stay outside of what is shipped.',
      severity: 'error',
      from: { path: '^src/', pathNot: TESTS },
      to: { path: ['^(test|bench)/', TESTS] },
    },
    {
      name: 'product-needs-its-dependencies-only',
      comment: 'What is shipped must run with "dependencies" alone.',
      severity: 'error',
      from: { path: '^src/', pathNot: TESTS },
      to: { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'], dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'no-cycles',
      comment: 'Modules that need each other are one module. Types may refer to each other: they are gone at run time.',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'everything-resolves',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
  ],
  options: {
    // Type imports count: a layer that only names another's types depends on it all the same.
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '\\.d\\.ts$' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'default'] },
  },
}
