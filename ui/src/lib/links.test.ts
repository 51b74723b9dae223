import { describe, expect, test } from 'vitest'
import { consoleLink } from './console'
import { sourceLink, templateProblem } from './source'

describe('links to the source', () => {
  test('fill in path and line', () => {
    expect(sourceLink('vscode://file/home/me/{path}:{line}', 'src\\a b.js', 12)).toBe('vscode://file/home/me/src/a%20b.js:12')
    expect(sourceLink('https://git.example/x/{path}#L{line}', '/srv/app.py', undefined)).toBe('https://git.example/x/srv/app.py#L1')
  })
  test('run no scripts and lead nowhere else', () => {
    expect(sourceLink('javascript:alert("{path}")', 'a.js', 1)).toBeNull()
    expect(templateProblem('data:text/html,{path}')).not.toBe('')
    expect(templateProblem('https://x.example/')).toContain('{path}')
    expect(sourceLink('https://x.example/{path}', '../../evil?a=1#b', 1)).toBe('https://x.example/%2E%2E/%2E%2E/evil%3Fa%3D1%23b')
    expect(sourceLink('', 'a.js', 1)).toBeNull()
    expect(templateProblem('')).toBe('')
  })
})

describe('links to the AWS console', () => {
  test('name the resource and the region', () => {
    expect(consoleLink({ operation: 'GetItem', table_name: 'carts', region: 'eu-west-1' })).toBe('https://eu-west-1.console.aws.amazon.com/dynamodbv2/home?region=eu-west-1#table?name=carts')
    expect(consoleLink({ queue_url: 'https://sqs.eu-west-1.amazonaws.com/1/orders' })).toBe('https://eu-west-1.console.aws.amazon.com/sqs/v3/home?region=eu-west-1#/queues/https%3A%2F%2Fsqs.eu-west-1.amazonaws.com%2F1%2Forders')
    expect(consoleLink({ topic_arn: 'arn:aws:sns:us-east-1:1:ready' })).toContain('us-east-1.console.aws.amazon.com/sns')
    expect(consoleLink({ bucket_name: 'b/../c' })).toBe('https://s3.console.aws.amazon.com/s3/buckets/b%2F..%2Fc')
  })
  test('are none without either', () => {
    expect(consoleLink({ operation: 'GetItem' })).toBeNull()
    expect(consoleLink({ table_name: 'carts', region: 'evil.example/' })).toBeNull()
  })
})
