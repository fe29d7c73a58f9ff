/** The runtime's execution providers that swiftd knows, by the name that devices begin with: `cuda:0`. */
export const PROVIDER_NAMES = ['cpu', 'cuda', 'webgpu'] as const

export type ProviderName = (typeof PROVIDER_NAMES)[number]
