/** Work that is described once and then done step by step: by this worker or, by its proxy, by another. */
export interface Session<Run, Done> {
  /** One step. @throws CANCELLED, and what the networks throw; PeerLost by a proxy */
  run(run: Run): Promise<Done>
  /** Stops what runs; settles when nothing of it touches the job's tensors any more. */
  close(): Promise<void>
}
