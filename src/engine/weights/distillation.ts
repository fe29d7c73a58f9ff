export function isDistillationLora(_: { name: string; metadata: Readonly<Record<string, string>> }): boolean {
  return false
}
