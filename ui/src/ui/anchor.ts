// Keeps what opens beside something beside it, wherever that goes.

import { useLayoutEffect } from 'preact/hooks'

/** Room between the two, and to the edges of the window. */
const GAP = 5
const EDGE = 8

/** Of a box that is placed: the edges of the window are 0 and `room`. */
export interface Spot {
  left: number
  top: number
  /** How high it may be; what is higher scrolls. */
  height: number
}

/** Where a box of a size goes: below the anchor, or above it where it finds more room there. */
export function spotBeside(anchor: { left: number; top: number; bottom: number }, box: { width: number; height: number }, room: { width: number; height: number }): Spot {
  const below = room.height - EDGE - (anchor.bottom + GAP)
  const above = anchor.top - GAP - EDGE
  const up = box.height > below && above > below
  const height = Math.max(0, Math.min(box.height, up ? above : below))
  return {
    left: Math.max(EDGE, Math.min(anchor.left, room.width - box.width - EDGE)),
    top: up ? anchor.top - GAP - height : anchor.bottom + GAP,
    height: up ? above : below,
  }
}

/**
 * While `open`, places a fixed box beside an anchor, in every picture anew: pages scroll, and
 * what comes late moves all that is below it. `most` is how high the box gets.
 */
export function useBeside(open: boolean, anchor: { current: HTMLElement | null }, box: { current: HTMLElement | null }, most: number) {
  useLayoutEffect(() => {
    if (!open) return
    let frame = 0
    let last = ''
    const place = () => {
      frame = requestAnimationFrame(place)
      const [a, b] = [anchor.current, box.current]
      if (!a || !b) return
      const at = a.getBoundingClientRect()
      const state = [at.left, at.top, at.right, at.bottom, b.offsetWidth, b.scrollHeight, innerWidth, innerHeight].join()
      if (state === last) return
      last = state
      b.style.setProperty('--beside', `${at.width}px`)
      const border = b.offsetHeight - b.clientHeight
      const spot = spotBeside(at, { width: b.offsetWidth, height: Math.min(most, b.scrollHeight + border) }, { width: innerWidth, height: innerHeight })
      b.style.left = `${spot.left}px`
      b.style.top = `${spot.top}px`
      b.style.maxHeight = `${Math.min(most, spot.height)}px`
    }
    place()
    return () => cancelAnimationFrame(frame)
  }, [open])
}
