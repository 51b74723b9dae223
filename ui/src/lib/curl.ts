// An HTTP request as a command that makes it again.

function shell(text: string): string {
  return /^[\w@%+=:,./?&-]+$/.test(text) && !text.includes('&') && !text.includes('?') ? text : `'${text.replace(/'/g, `'\\''`)}'`
}

export function curl(request: Record<string, unknown>): string {
  const parts = ['curl']
  const method = typeof request.method === 'string' ? request.method.toUpperCase() : 'GET'
  if (method !== 'GET') parts.push('-X', shell(method))
  if (typeof request.user_agent === 'string' && request.user_agent) parts.push('-A', shell(request.user_agent))
  parts.push(shell(typeof request.url === 'string' ? request.url : ''))
  return parts.join(' ')
}
