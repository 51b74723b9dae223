// What the server told about itself when it sent the page.

export interface ServerInfo {
  version: string
  /** Where it answers, as we reached it. */
  url: string
  /** Where it takes datagrams; "" when it takes none. */
  udp: string
  region: string
  /** Requests need a key. */
  keys: boolean
}

function read(): ServerInfo {
  const text = document.querySelector('meta[name="roentgen"]')?.getAttribute('content') ?? '{}'
  let told: Partial<ServerInfo> = {}
  try {
    told = JSON.parse(text) as Partial<ServerInfo>
  } catch {
    // the development server sends none
  }
  return { version: told.version ?? 'development', url: new URL('.', document.baseURI).href.replace(/\/$/, ''), udp: told.udp ?? '', region: told.region ?? 'us-east-1', keys: told.keys === true }
}

export const server = read()
