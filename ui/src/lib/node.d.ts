// The little of Node that tests use.
declare module 'node:fs' {
  export function readFileSync(path: URL): Uint8Array
  export function readFileSync(path: URL, encoding: 'utf8'): string
}
declare module 'node:child_process' {
  export function execFileSync(file: string, args: string[], options: { encoding: 'utf8' }): string
}
