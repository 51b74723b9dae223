// The menu of saved views in the frame, and the dialog that saves one.

import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { send } from '../lib/api'
import { contextParams, href, PAGES, place } from '../lib/place'
import { server } from '../lib/server'
import { linkable, stateOf } from '../lib/shortlink'
import { changeView, currentQuery, currentView, isView, loadViews, pageName, savedViews, saveView, saving, viewHref, viewText } from '../lib/views'
import { Field } from './field'
import { Bookmark } from './icons'
import { copy, Dialog, Popover, Problem, say } from './parts'

export function ViewsMenu() {
  const error = useSignal<Error | null>(null)
  return (
    <Popover label="Saved views" class="button plain icon" role="menu" body={(close) => <Menu close={close} error={error.value} load={() => loadViews().then(() => (error.value = null), (e: Error) => (error.value = e))} />}>
      <Bookmark />
    </Popover>
  )
}

/** May what is shown have a short link? */
export const hasShortLink = () => linkable(place.value.path, PAGES)

export function copyShortLink() {
  if (!hasShortLink()) return
  const { path, params } = place.peek()
  const made = send<{ Url: string }>('POST', 'api/links', stateOf(path, params)).then((l) => href(l.Url))
  copy(made, 'Short link copied').catch((e: Error) => say(`No link: ${e.message}`))
}

function Menu({ close, error, load }: { close: () => void; error: Error | null; load: () => void }) {
  useEffect(load, [])
  const now = currentView()
  return (
    <>
      {isView(place.value.path) && (
        <button role="menuitem" class="menu-item" onClick={() => (close(), (saving.value = true))}>
          Save this view…
        </button>
      )}
      {hasShortLink() && (
        <button role="menuitem" class="menu-item" onClick={() => (close(), copyShortLink())}>
          Copy short link
          <span class="hint">g L</span>
        </button>
      )}
      {error && <Problem error={error} retry={load} />}
      {savedViews.value.length > 0 && <div class="menu-line" />}
      {savedViews.value.map((v) => (
        <a key={v.ID} role="menuitem" class="menu-item" href={viewHref(v)} aria-current={v === now ? 'true' : undefined} onClick={close}>
          <bdi class="ellipsis">{v.Name}</bdi>
          <span class="hint">{pageName(v.Page)}</span>
        </a>
      ))}
      <div class="menu-line" />
      <a role="menuitem" class="menu-item" href={href('views', contextParams(place.value.params))} onClick={close}>
        {savedViews.value.length > 0 ? 'All views: rename, share, delete' : 'What are saved views?'}
      </a>
    </>
  )
}

/** Asks for a name, wherever we are. */
export function SaveView() {
  if (!saving.value) return null
  return <Saving close={() => (saving.value = false)} />
}

function Saving({ close }: { close: () => void }) {
  const name = useSignal('')
  const error = useSignal<Error | null>(null)
  useEffect(() => void loadViews().catch(() => {}), [])
  const taken = savedViews.value.find((v) => v.Name === name.value.trim())
  const path = place.value.path
  const submit = (event: Event) => {
    event.preventDefault()
    const done = taken?.MayChange ? changeView(taken.ID, { Page: path, Query: currentQuery() }) : saveView(name.peek().trim())
    done.then(
      () => {
        say(taken ? 'View replaced' : 'View saved')
        close()
      },
      (e: Error) => (error.value = e),
    )
  }
  return (
    <Dialog title="Save this view" close={close} width={460}>
      <form class="dialog-body column" style={{ gap: '10px' }} onSubmit={submit}>
        {error.value && <Problem error={error.value} />}
        <Field name="Name">
          <input class="input" data-autofocus value={name.value} maxLength={100} onInput={(e) => (name.value = e.currentTarget.value)} />
        </Field>
        <p class="muted">
          {pageName(path)}: <bdi>{viewText({ Page: path, Query: currentQuery() })}</bdi>
        </p>
        <p class="muted">
          Everybody who may look at traces sees it. {server.keys ? 'Your key and those of admins can change it.' : 'Everybody can change it, since this server asks nobody for a key.'}
        </p>
        {taken && !taken.MayChange && <p class="text-error">There is a view with this name already, saved with another key.</p>}
        <div class="row" style={{ justifyContent: 'flex-end' }}>
          <button type="button" class="button" onClick={close}>
            Cancel
          </button>
          <button class="button primary" disabled={name.value.trim() === '' || (taken && !taken.MayChange)}>
            {taken?.MayChange ? 'Replace it' : 'Save'}
          </button>
        </div>
      </form>
    </Dialog>
  )
}
