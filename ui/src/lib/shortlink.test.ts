import { expect, test } from 'vitest'
import { linkable, stateOf } from './shortlink'

test('the same state is the same, whichever parameter was set first', () => {
  const a = stateOf('traces', new URLSearchParams('range=1h&q=fault&where=b&where=a'))
  expect(a).toEqual({ Path: 'traces', Query: 'q=fault&range=1h&where=b&where=a' })
  expect(stateOf('traces', new URLSearchParams('where=b&q=fault&where=a&range=1h'))).toEqual(a)
  expect(stateOf('map', new URLSearchParams())).toEqual({ Path: 'map', Query: '' })
  const params = new URLSearchParams('b=1&a=2')
  stateOf('map', params)
  expect(params.toString()).toBe('b=1&a=2')
})

test('what others may have put into an address is written as in an address', () => {
  expect(stateOf('traces', new URLSearchParams([['q', 'annotation["a#b"] = "ü \n/?&"']])).Query).toMatch(/^[A-Za-z0-9%+=._*-]+$/)
})

test('links lead to places of the page alone', () => {
  const pages = ['', 'map', 'trace', 'l']
  for (const path of ['map', 'trace/1-58406520-a006649127e371903a2de979']) expect(linkable(path, pages), path).toBe(true)
  for (const path of ['', 'l', 'l/p7o4k54sqv', 'api/control', '/map', '//evil.example', 'https://evil.example', 'javascript:alert(1)', '..']) expect(linkable(path, pages), path).toBe(false)
})
