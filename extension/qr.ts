/** A QR code as a picture: what changes the colours of pages, such as extensions that darken them, leaves its dots as they are. */
import { generate } from 'lean-qr/nano'

/** Pixels of a dot: the style sheet scales the picture. */
const DOT = 8
/** Dots of white around it. */
const BORDER = 3

export function qrCode(text: string): HTMLCanvasElement {
  const code = generate(text)
  const size = code.size + 2 * BORDER
  const canvas = document.createElement('canvas')
  canvas.width = canvas.height = size * DOT
  const context = canvas.getContext('2d') as CanvasRenderingContext2D
  context.fillStyle = '#fff'
  context.fillRect(0, 0, canvas.width, canvas.height)
  context.fillStyle = '#000'
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      if (code.get(x - BORDER, y - BORDER)) context.fillRect(x * DOT, y * DOT, DOT, DOT)
    }
  }
  return canvas
}
