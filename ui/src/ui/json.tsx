// A JSON value as a tree that opens where somebody looks. Large values stay cheap: what is
// closed is not rendered, and long lists come in portions.

import { useSignal } from '@preact/signals'
import { copy } from './parts'
import { Copy } from './icons'

const PORTION = 100

function preview(value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? '[]' : `[ ${value.length} ]`
  const keys = Object.keys(value as object)
  if (keys.length === 0) return '{}'
  const text = keys.slice(0, 4).join(', ')
  return `{ ${text.length > 60 ? `${text.slice(0, 60)}…` : text}${keys.length > 4 ? ', …' : ''} }`
}

function matchesText(value: unknown, needle: string, budget = { left: 20_000 }): boolean {
  if (budget.left-- <= 0) return false
  if (value !== null && typeof value === 'object') return Object.entries(value).some(([k, v]) => k.toLowerCase().includes(needle) || matchesText(v, needle, budget))
  return String(value).toLowerCase().includes(needle)
}

function member(path: string, key: string | number): string {
  return typeof key === 'number' ? `${path}[${key}]` : /^[A-Za-z_]\w*$/.test(key) ? `${path}.${key}` : `${path}[${JSON.stringify(key)}]`
}

export function Json({ value, name, path = '$', depth = 0, open = 1, needle = '' }: { value: unknown; name?: string | number; path?: string; depth?: number; open?: number; needle?: string }) {
  const state = useSignal<boolean | null>(null)
  const shown = useSignal(PORTION)
  const branch = value !== null && typeof value === 'object'
  if (needle && depth > 0 && !(typeof name === 'string' && name.toLowerCase().includes(needle)) && !matchesText(value, needle)) return null
  const isOpen = branch && (state.value ?? (needle !== '' || depth < open))
  const entries = branch ? (Array.isArray(value) ? value.map((v, i) => [i, v] as const) : Object.entries(value as Record<string, unknown>)) : []
  return (
    <div class="json" role={depth === 0 ? 'tree' : 'none'}>
      <div class="json-line" role="treeitem" aria-expanded={branch ? isOpen : undefined} aria-level={depth + 1}>
        {branch ? (
          <button class="json-toggle" aria-label={isOpen ? 'Close' : 'Open'} onClick={() => (state.value = !isOpen)}>
            {isOpen ? '▾' : '▸'}
          </button>
        ) : (
          <span class="json-toggle" />
        )}
        {name !== undefined && (
          <>
            <span class={typeof name === 'number' ? 'json-index' : 'json-key'}>{name}</span>
            <span class="faint">:&nbsp;</span>
          </>
        )}
        {branch ? <span class="faint json-value">{isOpen ? (Array.isArray(value) ? '[' : '{') : preview(value)}</span> : <Scalar value={value} />}
        <span class="json-actions">
          <button title={`Copy value (${path})`} aria-label={`Copy value of ${path}`} onClick={() => copy(branch ? JSON.stringify(value, null, 2) : String(value))}>
            <Copy />
          </button>
          <button title={`Copy path ${path}`} aria-label={`Copy path ${path}`} onClick={() => copy(path, 'Path copied')}>
            $
          </button>
        </span>
      </div>
      {isOpen && (
        <div class="json-inside" role="group">
          {entries.slice(0, shown.value).map(([k, v]) => (
            <Json key={k} name={k} value={v} path={member(path, k)} depth={depth + 1} open={open} needle={needle} />
          ))}
          {entries.length > shown.value && (
            <button class="button plain" onClick={() => (shown.value += PORTION * 5)}>
              {entries.length - shown.value} more
            </button>
          )}
        </div>
      )}
      {isOpen && (
        <div class="faint json-close" aria-hidden="true">
          {Array.isArray(value) ? ']' : '}'}
        </div>
      )}
    </div>
  )
}

const LONG = 2000

function Scalar({ value }: { value: unknown }) {
  const whole = useSignal(false)
  if (typeof value === 'string') {
    const text = whole.value || value.length <= LONG ? value : value.slice(0, LONG)
    return (
      <span class="json-value json-string">
        <bdi>{JSON.stringify(text)}</bdi>
        {text.length < value.length && (
          <button class="button plain" onClick={() => (whole.value = true)}>
            all {value.length} characters
          </button>
        )}
      </span>
    )
  }
  return <span class={`json-value ${typeof value === 'number' ? 'json-number' : 'json-word'}`}>{String(value)}</span>
}
