import { localStorageSet, themeVersion } from './parts'

/** Chooses a theme; "" follows the system. */
export function setTheme(theme: 'dark' | 'light' | '') {
  if (theme) document.documentElement.dataset.theme = theme
  else delete document.documentElement.dataset.theme
  localStorageSet('roentgen.theme', theme)
  themeVersion.value++
}

export function isDark(): boolean {
  const chosen = document.documentElement.dataset.theme
  return chosen ? chosen === 'dark' : !matchMedia('(prefers-color-scheme: light)').matches
}

// Paper is light, whatever the screen is; pictures are painted anew for it.
let screenTheme: string | undefined
addEventListener('beforeprint', () => {
  screenTheme = document.documentElement.dataset.theme
  document.documentElement.dataset.theme = 'light'
  themeVersion.value++
})
addEventListener('afterprint', () => {
  if (screenTheme) document.documentElement.dataset.theme = screenTheme
  else delete document.documentElement.dataset.theme
  themeVersion.value++
})
