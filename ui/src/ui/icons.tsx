// Icons, drawn on a grid of 16, as lines of the text's colour.
import type { ComponentChildren } from 'preact'

function icon(children: ComponentChildren) {
  return () => (
    <svg viewBox="0 0 16 16" fill="none" stroke="currentColor" stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">
      {children}
    </svg>
  )
}

export const Search = icon(<><circle cx="7" cy="7" r="4.5" /><path d="m10.5 10.5 3 3" /></>)
export const Close = icon(<path d="m4 4 8 8m0-8-8 8" />)
export const Copy = icon(<><rect x="5.5" y="5.5" width="8" height="8" rx="1.5" /><path d="M10.5 5.5V4A1.5 1.5 0 0 0 9 2.5H4A1.5 1.5 0 0 0 2.5 4v5A1.5 1.5 0 0 0 4 10.5h1.5" /></>)
export const Plus = icon(<path d="M8 3.5v9m-4.5-4.5h9" />)
export const Minus = icon(<path d="M3.5 8h9" />)
export const Down = icon(<path d="m4 6 4 4 4-4" />)
export const Clock = icon(<><circle cx="8" cy="8" r="5.5" /><path d="M8 5v3l2 1.5" /></>)
export const Sun = icon(<><circle cx="8" cy="8" r="2.7" /><path d="M8 1.5v1.3m0 10.4v1.3M1.5 8h1.3m10.4 0h1.3M3.4 3.4l.9.9m7.4 7.4.9.9m0-9.2-.9.9m-7.4 7.4-.9.9" /></>)
export const Moon = icon(<path d="M13 9.4A5.5 5.5 0 0 1 6.6 3a5.5 5.5 0 1 0 6.4 6.4Z" />)
export const Help = icon(<><circle cx="8" cy="8" r="6" /><path d="M6.3 6.3a1.8 1.8 0 1 1 2.5 1.7c-.5.2-.8.6-.8 1.1m0 2v.1" /></>)
export const Warning = icon(<><path d="M8 2.5 14 13H2L8 2.5Z" /><path d="M8 6.5v3m0 1.7v.1" /></>)
export const Fault = icon(<><path d="M5.5 2h5L14 5.5v5L10.5 14h-5L2 10.5v-5L5.5 2Z" /><path d="M8 5v3.5m0 2v.1" /></>)
export const Throttle = icon(<><path d="M4 2.5h8M4 13.5h8M5 2.5c0 3 3 3.5 3 5.5s-3 2.5-3 5.5M11 2.5c0 3-3 3.5-3 5.5s3 2.5 3 5.5" /></>)
export const Check = icon(<path d="m3.5 8.5 3 3 6-7" />)
export const Pause = icon(<path d="M5.5 3.5v9m5-9v9" />)
export const Play = icon(<path d="M5 3.5v9l7-4.5-7-4.5Z" />)
export const Live = icon(<><circle cx="8" cy="8" r="1.6" /><path d="M5 11a4.2 4.2 0 0 1 0-6m6 0a4.2 4.2 0 0 1 0 6M3 13A7 7 0 0 1 3 3m10 0a7 7 0 0 1 0 10" /></>)
export const ZoomOut = icon(<><circle cx="7" cy="7" r="4.5" /><path d="m10.5 10.5 3 3M5 7h4" /></>)
export const ZoomIn = icon(<><circle cx="7" cy="7" r="4.5" /><path d="m10.5 10.5 3 3M5 7h4M7 5v4" /></>)
export const Fit = icon(<path d="M2.5 6V2.5H6m4 0h3.5V6m0 4v3.5H10m-4 0H2.5V10" />)
export const Back = icon(<path d="M9.5 3.5 5 8l4.5 4.5" />)
export const Columns = icon(<><rect x="2.5" y="3" width="11" height="10" rx="1.5" /><path d="M6.2 3v10m3.6-10v10" /></>)
export const Download = icon(<path d="M8 2.5v8m-3-3 3 3 3-3M3 13.5h10" />)
export const More = icon(<path d="M3.5 8h.1M8 8h.1m4.4 0h.1" />)
export const External = icon(<path d="M9 3h4v4m0-4L7.5 8.5M11 9.5V12a1 1 0 0 1-1 1H4a1 1 0 0 1-1-1V6a1 1 0 0 1 1-1h2.5" />)
export const Next = icon(<path d="M6.5 3.5 11 8l-4.5 4.5" />)
export const Filter = icon(<path d="M2.5 3.5h11L9.5 8.5v4l-3 1v-5l-4-5Z" />)
export const Person = icon(<><circle cx="8" cy="5.5" r="2.8" /><path d="M2.8 13.5a5.3 5.3 0 0 1 10.4 0" /></>)
export const Bookmark = icon(<path d="M4.5 2.5h7v11L8 10.7l-3.5 2.8v-11Z" />)

export const Arrange = icon(<path d="M2.5 3h4v3h-4zM9.5 6.5h4v3h-4zM2.5 10h4v3h-4zM6.5 4.5h1.5v7H6.5M8 8h1.5" />)
export const Table = icon(<path d="M2.5 3h11v10h-11zM2.5 6.3h11M2.5 9.6h11M6.5 6.3V13" />)
export const Basket = icon(<path d="M2 6.5h12l-1.3 7H3.3L2 6.5Zm3-.2L7 2m4 4.3L9 2M6.2 9v2.2m3.6-2.2v2.2" />)
export const Chain = icon(<path d="M6.8 9.2a2.6 2.6 0 0 0 3.7 0l2-2a2.6 2.6 0 0 0-3.7-3.7l-.9.9m1.3 2.4a2.6 2.6 0 0 0-3.7 0l-2 2a2.6 2.6 0 0 0 3.7 3.7l.9-.9" />)

export function Logo() {
  return (
    <svg viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="8" fill="#0b1018" stroke="#ffffff22" />
      <g fill="none" stroke-linecap="round" stroke-width="3">
        <path d="M7 10h18" stroke="#5eead4" />
        <path d="M11 16h9" stroke="#38bdf8" />
        <path d="M16 22h9" stroke="#a78bfa" />
      </g>
    </svg>
  )
}
