/** A press is for what was seen when it began: the second half of a double click never reaches what has just come under the pointer. */

/** Milliseconds between the two presses of a double click, at most. */
const DOUBLE_CLICK = 600
/** Pixels by which they may differ. */
const SHAKE = 16

let last = { x: 0, y: 0, at: Number.NEGATIVE_INFINITY, on: null as Element | null }

document.addEventListener(
  'click',
  (event) => {
    // Keys and scripts press too, and mean what has the focus.
    if (event.detail === 0 || !(event.target instanceof Element)) return
    const on = event.target.closest('button, a, summary, label, input, select, textarea') ?? event.target
    const { clientX: x, clientY: y, timeStamp: at } = event
    const isSecond = at - last.at < DOUBLE_CLICK && Math.hypot(x - last.x, y - last.y) < SHAKE
    // Two single clicks of a mouse, however near, are two.
    const isDouble = event.detail > 1 || (event as PointerEvent).pointerType === 'touch'
    if (isSecond && isDouble && on !== last.on) {
      event.preventDefault()
      event.stopImmediatePropagation()
    }
    last = { x, y, at, on }
  },
  true,
)
