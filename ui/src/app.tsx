// The frame around every page.

import { Component, type ComponentChildren } from 'preact'
import { useEffect } from 'preact/hooks'
import { contextParams, go, href, place } from './lib/place'
import { server } from './lib/server'
import { late } from './lib/waiting'
import { Down, Help, Logo, Moon, Sun } from './ui/icons'
import { BasketButton, compareBasket } from './ui/basket'
import { addSection } from './ui/keys'
import { HelpOverlay, helpOpen, JumpButton, Palette, paletteOpen, pages, usefulPages } from './ui/palette'
import { lazy } from './ui/lazy'
import { narrow, wide } from './ui/media'
import { Popover, themeVersion, toast } from './ui/parts'
import { Account, Door, SignInAgain } from './ui/signin'
import { isDark, setTheme } from './ui/theme'
import { copyShortLink, SaveView, ViewsMenu } from './ui/views'
import { admitted } from './lib/session'
import { isView, saving } from './lib/views'
import { HomePage } from './pages/home'
import { MapPage } from './pages/map/page'
import { TracePage } from './pages/trace/page'
import { TracesPage } from './pages/traces/page'

const AnalyticsPage = lazy(() => import('./pages/analytics').then((m) => m.AnalyticsPage))
const ComparePage = lazy(() => import('./pages/compare').then((m) => m.ComparePage))
const DeadLettersPage = lazy(() => import('./pages/deadletters').then((m) => m.DeadLettersPage))
const GroupsPage = lazy(() => import('./pages/groups').then((m) => m.GroupsPage))
const KeysPage = lazy(() => import('./pages/keys').then((m) => m.KeysPage))
const SamplingPage = lazy(() => import('./pages/sampling').then((m) => m.SamplingPage))
const SettingsPage = lazy(() => import('./pages/settings').then((m) => m.SettingsPage))
const StartPage = lazy(() => import('./pages/start').then((m) => m.StartPage))
const LinkPage = lazy(() => import('./pages/views').then((m) => m.LinkPage))
const ViewsPage = lazy(() => import('./pages/views').then((m) => m.ViewsPage))

addSection({
  title: 'Everywhere',
  shortcuts: [
    { keys: ['Mod+k'], what: 'Commands, services, trace ids', always: true, run: () => (paletteOpen.value = !paletteOpen.value) },
    { keys: ['?'], what: 'This overview', run: () => (helpOpen.value = true) },
    ...pages.map(([path, text, keys]) => ({ keys: [keys], what: `Go to: ${text.toLowerCase()}`, run: () => go(href(path, contextParams(place.peek().params))) })),
    { keys: ['g c'], what: 'Compare what is in the basket', run: compareBasket },
    { keys: ['g V'], what: 'Save this view', run: () => isView(place.peek().path) && (saving.value = true) },
    { keys: ['g L'], what: 'Copy a short link to what is shown', run: copyShortLink },
    { keys: ['T'], what: 'Dark or light', run: () => setTheme(isDark() ? 'light' : 'dark') },
  ],
})

function Page() {
  const [first, ...rest] = place.value.path.split('/')
  switch (first) {
    case '':
      return <HomePage />
    case 'map':
      return <MapPage />
    case 'traces':
      return <TracesPage />
    case 'trace':
      return <TracePage id={rest.join('/')} />
    case 'compare':
      return <ComparePage />
    case 'analytics':
      return <AnalyticsPage />
    case 'sampling':
      return <SamplingPage />
    case 'settings':
      return <SettingsPage />
    case 'keys':
      return <KeysPage />
    case 'views':
      return <ViewsPage id={rest.join('/')} />
    case 'l':
      return <LinkPage id={rest.join('/')} />
    case 'groups':
      return <GroupsPage />
    case 'dead-letters':
      return <DeadLettersPage />
    case 'start':
      return <StartPage />
    default:
      return (
        <div class="empty">
          <h2>There is no such page</h2>
          <a class="button" href={href('map')}>
            To the map
          </a>
        </div>
      )
  }
}

/** Shows what went wrong in place of a page that could not be drawn; the frame stays. */
class Safe extends Component<{ children: ComponentChildren; where: string }, { error: Error | null }> {
  override state = { error: null as Error | null }
  override componentDidCatch(error: Error) {
    console.error(error)
    this.setState({ error })
  }
  override componentDidUpdate(before: { where: string }) {
    if (before.where !== this.props.where && this.state.error) this.setState({ error: null })
  }
  render() {
    const { error } = this.state
    if (!error) return this.props.children
    return (
      <div class="empty" role="alert">
        <h2>This page could not be drawn</h2>
        <p>{error.message}</p>
        <button class="button" onClick={() => this.setState({ error: null })}>
          Try again
        </button>
      </div>
    )
  }
}

/** Links to the pages, as many as there is room for; the others are in a menu. */
function Pages() {
  const first = place.value.path.split('/')[0]!
  const context = contextParams(place.value.params)
  const all = usefulPages()
  const shown = narrow.value ? 0 : wide.value ? all.length : 3
  const current = (page: string) => (first === page || (page === 'traces' && first === 'trace') ? ('page' as const) : undefined)
  const here = all.find(([page]) => current(page))
  const rest = all.slice(shown)
  const inMenu = rest.find(([page]) => current(page))
  return (
    <nav aria-label="Pages">
      {all.slice(0, shown).map(([page, text]) => (
        <a key={page} href={href(page, context)} aria-current={current(page)}>
          {text}
        </a>
      ))}
      {rest.length > 0 && (
        <Popover
          label={shown === 0 ? 'Pages' : 'More pages'}
          class={`button plain pages-menu ${inMenu ? 'here' : ''}`}
          role="menu"
          body={(close) =>
            rest.map(([page, text, keys]) => (
              <a key={page} role="menuitem" class="menu-item" href={href(page, context)} aria-current={current(page)} onClick={close}>
                {text}
                <span class="hint">{keys}</span>
              </a>
            ))
          }
        >
          {(shown === 0 ? here : inMenu) && <span class="hidden-visually">{shown === 0 ? 'Pages:' : 'More:'} </span>}
          {shown === 0 ? (here?.[1] ?? 'Pages') : (inMenu?.[1] ?? 'More')} <Down />
        </Popover>
      )}
    </nav>
  )
}

export function App() {
  void themeVersion.value
  return (
    <>
      {admitted.value ? <Frame /> : <Door />}
      <div aria-live="polite" role="status">
        {toast.value && <div class="toast">{toast.value}</div>}
      </div>
    </>
  )
}

function Frame() {
  const path = place.value.path
  void themeVersion.value
  useEffect(() => {
    document.querySelector('main')?.scrollTo(0, 0)
  }, [path])
  return (
    <>
      <a class="button skip" href="#main" data-external onClick={(e) => (e.preventDefault(), document.querySelector<HTMLElement>('main')?.focus())}>
        Skip to content
      </a>
      <header class="top">
        <a class="brand" href={href('', {})} title={`Roentgen ${server.version}`}>
          <Logo />
          <span>Roentgen</span>
        </a>
        <Pages />
        <div class="grow" />
        <JumpButton />
        <BasketButton />
        <button class="button plain icon" aria-label={isDark() ? 'Light theme' : 'Dark theme'} title="Dark or light (T)" onClick={() => setTheme(isDark() ? 'light' : 'dark')}>
          {isDark() ? <Sun /> : <Moon />}
        </button>
        <button class="button plain icon" aria-label="Keyboard shortcuts" title="Keyboard shortcuts (?)" onClick={() => (helpOpen.value = true)}>
          <Help />
        </button>
        <ViewsMenu />
        <Account />
      </header>
      <SignInAgain />
      <div role="status">{late.value > 0 && <div class="late">The server is taking long to answer. The page waits.</div>}</div>
      <main id="main" tabIndex={-1}>
        <Safe where={path}>
          <Page />
        </Safe>
      </main>
      <Palette />
      <HelpOverlay />
      <SaveView />
    </>
  )
}
