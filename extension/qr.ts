/** A QR code as a picture: what changes the colours of pages, such as extensions that darken them, leaves its dots as they are. */
import { encode } from 'uqr'

/** Pixels of a dot: the style sheet scales the picture. */
const DOT = 8

export function qrCode(text: string): HTMLCanvasElement {
  const { size, data } = encode(text, { border: 3 })
  const canvas = document.createElement('canvas')
  canvas.width = canvas.height = size * DOT
  const context = canvas.getContext('2d') as CanvasRenderingContext2D
  context.fillStyle = '#fff'
  context.fillRect(0, 0, canvas.width, canvas.height)
  context.fillStyle = '#000'
  for (const [y, row] of data.entries()) {
    for (const [x, isDark] of row.entries()) if (isDark) context.fillRect(x * DOT, y * DOT, DOT, DOT)
  }
  return canvas
}
