// Sampling rules in words.

/** What a rule looks at that a request has or has not, and how people call it. */
export const FIELDS = {
  ServiceName: 'service',
  ServiceType: 'type',
  HTTPMethod: 'method',
  Host: 'host',
  URLPath: 'path',
  ResourceARN: 'resource',
} as const

type Patterns = Record<keyof typeof FIELDS, string>

/**
 * What of a rule was not held against a request, since it is not known of it: a rule matches whatever is
 * not known. Attributes are not among them: one that is missing does not match.
 */
export function assumed(rule: Patterns, request: Partial<Record<keyof typeof FIELDS, string>>): { field: string; pattern: string }[] {
  return (Object.keys(FIELDS) as (keyof typeof FIELDS)[]).filter((k) => !request[k] && !/^\*+$/.test(rule[k])).map((k) => ({ field: FIELDS[k], pattern: rule[k] }))
}
