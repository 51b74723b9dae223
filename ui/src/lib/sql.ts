// SQL laid out for reading: a line for each clause. It is not parsed, only broken where
// a clause begins, outside of quotes and parentheses.

const CLAUSES = /^(select|from|where|group by|order by|having|limit|offset|insert into|values|update|set|delete from|returning|on conflict|union all|union|left join|right join|inner join|full join|cross join|join|with)\b/i
const INNER = /^(and|or)\b/i

export function prettySQL(text: string): string {
  const source = text.replace(/\s+/g, ' ').trim()
  let out = ''
  let depth = 0
  for (let i = 0; i < source.length; ) {
    const c = source[i]!
    if (c === "'" || c === '"' || c === '`') {
      let j = i + 1
      while (j < source.length && source[j] !== c) j++
      out += source.slice(i, j + 1)
      i = j + 1
      continue
    }
    if (c === '(') depth++
    if (c === ')') depth = Math.max(0, depth - 1)
    const atWord = /[a-z]/i.test(c) && !/[\w.]/.test(source[i - 1] ?? ' ')
    if (atWord && depth === 0) {
      const rest = source.slice(i, i + 20)
      const clause = CLAUSES.exec(rest) ?? INNER.exec(rest)
      if (clause) {
        const inner = INNER.test(rest)
        if (out.trim() !== '') out = `${out.trimEnd()}\n${inner ? '  ' : ''}`
        out += clause[0].toUpperCase()
        i += clause[0].length
        continue
      }
    }
    out += c
    i++
  }
  return out.replace(/ +\n/g, '\n')
}
