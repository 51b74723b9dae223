// Links from stack frames to where the source is, by a template of the reader's: an editor,
// or the pages of a repository.

/** Schemes that a template may have. None of them runs a script. */
const SCHEMES = /^(https?|vscode|vscode-insiders|vscodium|cursor|idea|webstorm|goland|pycharm|phpstorm|rubymine|rider|clion|zed|subl|txmt|mvim|emacs|nvim):/i

/** Says what is wrong with a template, "" when nothing is. */
export function templateProblem(template: string): string {
  if (!template.trim()) return ''
  if (!SCHEMES.test(template.trim())) return 'It has to begin with https:// or the scheme of an editor, like vscode://'
  if (!template.includes('{path}')) return 'It needs {path}, where the path of the file goes'
  return ''
}

/** The address of a line of a file; null without a template that will do. */
export function sourceLink(template: string, path: string, line: number | undefined): string | null {
  const t = template.trim()
  if (!t || !path || templateProblem(t) !== '') return null
  const clean = path.replace(/\\/g, '/').replace(/^(\.\/)+/, '')
  // Between the slashes nothing keeps a meaning of its own, and nothing leads upwards.
  const safe = clean.split('/').map((part) => (part === '..' ? '%2E%2E' : encodeURIComponent(part))).join('/')
  return t.replaceAll('{path}', safe.replace(/^\/+/, '')).replaceAll('{line}', String(line ?? 1))
}
