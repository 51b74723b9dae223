// The figures of a chart as a table, for whoever does not see it or wants them elsewhere.

import { useState } from 'preact/hooks'
import type { ComponentChildren } from 'preact'
import type { Cell } from '../lib/csv'
import { exact } from '../lib/format'
import { Copy, Table } from './icons'
import { copyCSV } from './takecsv'

export interface ChartRow {
  /** As it is copied: seconds and counts, without units. */
  values: Cell[]
  /** As it is shown. */
  cells: ComponentChildren[]
}

/** So many rows are shown; a copy has them all. */
const MOST = 200

/** `rows` is asked only while the table is open, or when it is copied. */
export function ChartTable({ of, head, names, rows }: { of: string; head: readonly string[]; names: readonly string[]; rows: () => ChartRow[] }) {
  const [open, setOpen] = useState(false)
  const list = open ? rows() : []
  return (
    <div class="chart-table">
      <div class="row chart-table-buttons">
        <button class="button plain small" aria-expanded={open} aria-label={`${of} as a table`} onClick={() => setOpen(!open)}>
          <Table /> Table
        </button>
        <button class="button plain small" aria-label={`Copy ${of.toLowerCase()} as CSV`} onClick={() => copyCSV({ head: names, rows: rows().map((r) => r.values) })}>
          <Copy /> CSV
        </button>
      </div>
      {open && (
        <div class="chart-table-rows" tabIndex={0} role="region" aria-label={of}>
          <table class="num">
            <thead>
              <tr>
                {head.map((h, k) => (
                  <th key={h} class={k > 0 ? 'right' : ''}>
                    {h}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {list.slice(0, MOST).map((r, j) => (
                <tr key={j}>
                  {r.cells.map((c, k) => (
                    <td key={k} class={k > 0 ? 'right' : ''}>
                      {c}
                    </td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
          {list.length > MOST && <p class="muted">{exact(list.length - MOST)} more; a copy has them all.</p>}
        </div>
      )}
    </div>
  )
}
