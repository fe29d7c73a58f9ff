/** Only these parts are loaded: the whole package takes three times as long, which every command would wait for. */
declare module 'undici/lib/dispatcher/pool.js' {
  import type { Pool } from 'undici'
  const constructor: typeof Pool
  export default constructor
}

declare module 'undici/lib/api/api-request.js' {
  import type { Dispatcher } from 'undici'
  export default function request(
    this: Dispatcher,
    options: Dispatcher.RequestOptions,
  ): Promise<Dispatcher.ResponseData>
}
