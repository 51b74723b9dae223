// Rows of a table to be taken along: into the clipboard, or as a file.

import { csv, type Cell } from '../lib/csv'
import { many } from '../lib/format'
import { Copy, Download } from './icons'
import { copy, save } from './parts'

export interface Rows {
  head: readonly string[]
  rows: readonly (readonly Cell[])[]
}

export function copyCSV({ head, rows }: Rows) {
  void copy(csv(head, rows), `${many(rows.length, 'row')} copied`)
}

/** `table` is asked only when somebody takes it. `file` is the name without its ending. */
export function TakeCSV({ of, file, table }: { of: string; file: string; table: () => Rows }) {
  return (
    <span class="row take-csv">
      <button class="button plain small" aria-label={`Copy ${of} as CSV`} title={`Copy ${of} as CSV`} onClick={() => copyCSV(table())}>
        <Copy /> CSV
      </button>
      <button
        class="button plain small"
        aria-label={`Download ${of} as CSV`}
        title={`Download ${of} as CSV`}
        onClick={() => {
          const { head, rows } = table()
          save(`${file}.csv`, csv(head, rows), 'text/csv')
        }}
      >
        <Download />
      </button>
    </span>
  )
}
