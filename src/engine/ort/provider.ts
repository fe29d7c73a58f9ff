// The names are a file of their own, since the daemon and the commands may know them, but nothing of the runtime.
export { PROVIDER_NAMES, type ProviderName } from '../provider-name.js'
