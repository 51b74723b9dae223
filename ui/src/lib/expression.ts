// Puts filter expressions together. To read them is the server's business.

/** Quotes a text for a filter expression. */
export function quote(text: string): string {
  let out = '"'
  for (const c of text) {
    switch (c) {
      case '"':
        out += '\\"'
        break
      case '\\':
        out += '\\\\'
        break
      case '\n':
        out += '\\n'
        break
      case '\r':
        out += '\\r'
        break
      case '\t':
        out += '\\t'
        break
      default:
        out += c < ' ' ? `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}` : c
    }
  }
  return `${out}"`
}

/** Writes a value as the language does: numbers and truth values bare, texts quoted. */
export function literal(value: unknown): string {
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  return quote(String(value))
}

/** The condition that an annotation has a value. */
export function annotation(key: string, value: unknown): string {
  return `${/^[A-Za-z_][A-Za-z0-9_]*$/.test(key) ? `annotation.${key}` : `annotation[${quote(key)}]`} = ${literal(value)}`
}

/** The condition that a trace has a service; by name alone when the type is not known. */
export function service(name: string, type?: string | null): string {
  return type ? `service(id(name: ${quote(name)}, type: ${quote(type)}))` : `service(${quote(name)})`
}

/** The selector of a node that statistics take. */
export function nodeSelector(name: string, type?: string | null): string {
  return service(name, type)
}

/** The selector of an edge that statistics and filters take. */
export function edge(from: { name: string; type?: string | null }, to: { name: string; type?: string | null }): string {
  const id = (n: { name: string; type?: string | null }) => (n.type ? `id(name: ${quote(n.name)}, type: ${quote(n.type)})` : quote(n.name))
  return `edge(${id(from)}, ${id(to)})`
}

/** Does an expression have an OR outside of parentheses, braces and quotes? */
function hasOpenOr(text: string): boolean {
  let depth = 0
  for (let i = 0; i < text.length; i++) {
    const c = text[i]!
    if (c === '"' || c === "'") {
      for (i++; i < text.length && text[i] !== c; i++) if (text[i] === '\\') i++
    } else if ('({['.includes(c)) depth++
    else if (')}]'.includes(c)) depth--
    else if (depth === 0 && (/^\|\|/.test(text.slice(i, i + 2)) || (/^or\b/i.test(text.slice(i, i + 3)) && !/[\w.]/.test(text[i - 1] ?? ' ')))) return true
  }
  return false
}

function grouped(text: string): string {
  return hasOpenOr(text) ? `(${text})` : text
}

/** Adds a condition that has to hold, too. A condition that is there already is not said twice. */
export function and(expression: string, condition: string): string {
  const e = expression.trim()
  const c = condition.trim()
  if (!e) return c
  if (!c || e === c || e.endsWith(` AND ${c}`) || e.startsWith(`${c} AND `) || e.includes(` AND ${c} AND `)) return e
  return `${grouped(e)} AND ${grouped(c)}`
}

/** Adds a condition that must not hold. */
export function andNot(expression: string, condition: string): string {
  const c = condition.trim()
  const simple = /^[\w.]+$/.test(c) || /^(service|edge)\([^)]*\)\)?$/.test(c)
  return and(expression, simple ? `!${c}` : `!(${c})`)
}

export interface Token {
  text: string
  kind: 'keyword' | 'operator' | 'string' | 'number' | 'punctuation' | 'space' | 'other'
}

const TOKEN = /(\s+)|("(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?)|(\d+(?:\.\d+)?(?:ms|s|m|h)?\b)|(<=|>=|!=|==|=|<|>|&&|\|\||!|\b(?:AND|OR|NOT|BEGINSWITH|ENDSWITH|CONTAINS)\b)|([A-Za-z_][\w.]*)|([(){}[\],:#])|(.)/giy

/** Takes an expression apart for colouring. Nothing is lost: the texts add up to the whole. */
export function tokens(text: string): Token[] {
  const out: Token[] = []
  TOKEN.lastIndex = 0
  for (let m = TOKEN.exec(text); m; m = TOKEN.exec(text)) {
    const kind = m[1] ? 'space' : m[2] ? 'string' : m[3] ? 'number' : m[4] ? 'operator' : m[5] ? 'keyword' : m[6] ? 'punctuation' : 'other'
    out.push({ text: m[0], kind })
  }
  return out
}

/** Traces of which an exception with such a text is at the root of a fault or an error: of its type ("name") or its message. */
export function exception(part: 'name' | 'message', text: string): string {
  const inside = `{ ${part} = ${quote(text)} }`
  return `rootcause.fault.exception ${inside} OR rootcause.error.exception ${inside}`
}
