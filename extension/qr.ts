/** A QR code as an SVG: one path, drawn without markup. */
import { encode } from 'uqr'

const SVG = 'http://www.w3.org/2000/svg'

export function qrCode(text: string): SVGSVGElement {
  const { size, data } = encode(text, { border: 3 })
  const path = document.createElementNS(SVG, 'path')
  path.setAttribute(
    'd',
    data.flatMap((row, y) => row.flatMap((dark, x) => (dark ? [`M${x} ${y}h1v1h-1z`] : []))).join(''),
  )
  const svg = document.createElementNS(SVG, 'svg')
  svg.setAttribute('viewBox', `0 0 ${size} ${size}`)
  svg.append(path)
  return svg
}
