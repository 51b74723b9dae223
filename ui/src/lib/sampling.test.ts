import { expect, test } from 'vitest'
import { assumed } from './sampling'

const any = { ServiceName: '*', ServiceType: '*', HTTPMethod: '*', Host: '*', URLPath: '*', ResourceARN: '*' }

test('tells what a rule asks of a request and nobody knows', () => {
  const health = { ...any, URLPath: '/health*', HTTPMethod: 'GET' }
  expect(assumed(health, { ServiceName: 'checkout', HTTPMethod: 'GET' })).toEqual([{ field: 'path', pattern: '/health*' }])
  expect(assumed(health, { URLPath: '', HTTPMethod: '' }).map((a) => a.field)).toEqual(['method', 'path'])
  expect(assumed(health, { URLPath: '/health', HTTPMethod: 'GET' })).toEqual([])
  expect(assumed(any, {})).toEqual([])
})
