// The basket in the frame: which traces were put aside to be compared.

import { useLayoutEffect, useRef } from 'preact/hooks'
import { basket, comparison, MOST, setBasket, takeOut, toggle, type Kept } from '../lib/basket'
import { duration, many } from '../lib/format'
import { contextParams, go, href, place } from '../lib/place'
import { Basket, Close } from './icons'
import { Popover, say } from './parts'

const ids = () => basket.value.map((k) => k.id)

/** Puts a trace in, or takes it out, and says so. */
export function toggleBasket(kept: Kept) {
  const done = toggle(kept)
  const n = basket.peek().length
  say(done === 'full' ? `The basket is full: ${MOST} traces are compared at once` : done === 'out' ? 'Taken out of the basket' : n === 1 ? 'In the basket; put in another to compare' : `${n} of ${MOST} in the basket; g c compares them`)
}

/** Goes to the comparison of what is in it. */
export function compareBasket() {
  if (basket.peek().length > 1) go(href('compare', comparison(ids())))
  else say('It takes two traces to compare: x puts one into the basket')
}

export function BasketButton() {
  const n = basket.value.length
  if (n === 0) return null
  return (
    <Popover label={`Basket: ${many(n, 'trace')} to compare`} class="button plain icon basket" body={(close) => <Contents close={close} />}>
      <Basket />
      <span class="num">{n}</span>
    </Popover>
  )
}

function Contents({ close }: { close: () => void }) {
  const list = useRef<HTMLOListElement>(null)
  const took = useRef(-1)
  const n = basket.value.length
  // Whoever takes one out by keyboard goes on with the next.
  useLayoutEffect(() => {
    const buttons = list.current?.querySelectorAll<HTMLElement>('button')
    if (took.current >= 0) buttons?.[Math.min(took.current, n - 1)]?.focus()
    took.current = -1
  }, [n])
  const empty = () => {
    setBasket([])
    document.querySelector<HTMLElement>('main')?.focus()
  }
  const { path, params } = place.value
  return (
    <div class="basket-body">
      <div class="muted">
        {n} of {MOST} traces
      </div>
      <ol ref={list}>
        {basket.value.map((k, i) => (
          <li key={k.id} class="row">
            <a class="grow" href={href(`trace/${k.id}`)} onClick={close}>
              <span class="row">
                <bdi class="ellipsis grow">{k.entry || '(no root yet)'}</bdi>
                <b class="num">{k.seconds === null ? '…' : duration(k.seconds)}</b>
              </span>
              <code class="muted">{k.id}</code>
            </a>
            <button
              class="button plain icon"
              aria-label={`Take out ${k.entry} ${k.id}`}
              title="Take it out"
              onClick={() => {
                if (n === 1) return empty()
                took.current = i
                takeOut(k.id)
              }}
            >
              <Close />
            </button>
          </li>
        ))}
      </ol>
      <div class="row basket-foot">
        {n > 1 ? (
          <a class="button primary" href={href('compare', comparison(ids()))} onClick={close}>
            Compare
          </a>
        ) : (
          <span class="muted">Put in another to compare.</span>
        )}
        <button class="button" onClick={empty}>
          Clear
        </button>
        <a class="button plain" title="What tells two sets of traces apart, each by a filter" href={href('analytics', { ...contextParams(params), a: path === 'traces' ? params.get('q') : null })} onClick={close}>
          Two sets…
        </a>
      </div>
    </div>
  )
}
