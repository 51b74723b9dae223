// Saved views: opened, shared, renamed, deleted.

import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { AnswerError, get } from '../lib/api'
import { ago } from '../lib/format'
import { go, href, PAGES } from '../lib/place'
import { server } from '../lib/server'
import { linkable, type State } from '../lib/shortlink'
import { changeView, deleteView, loadViews, openView, pageName, savedViews, viewHref, viewLink, viewText, type View } from '../lib/views'
import { Confirm } from '../ui/confirm'
import { Field } from '../ui/field'
import { External } from '../ui/icons'
import { copy, Dialog, Problem, say } from '../ui/parts'

export function ViewsPage({ id }: { id: string }) {
  const error = useSignal<Error | null>(null)
  const loaded = useSignal(false)
  const missing = useSignal(false)
  const remove = useSignal<View | null>(null)
  const rename = useSignal<View | null>(null)
  const load = () =>
    loadViews().then(
      (list) => {
        error.value = null
        loaded.value = true
        const v = id ? list.find((x) => x.ID === id) : undefined
        if (v) openView(v, { replace: true })
        else missing.value = id !== ''
      },
      (e: Error) => (error.value = e),
    )
  useEffect(() => {
    document.title = 'Views · Roentgen'
    void load()
  }, [id])
  if (id && !missing.value && !error.value) return <div class="progress" />
  const list = savedViews.value
  const now = Date.now() / 1000
  return (
    <div class="page" data-scroll>
      <div class="page-inner">
        <div>
          <h1>Views</h1>
          <p class="muted">
            A view is a place of this page under a name: a search, a map, a comparison. The server keeps it for everybody who may look at traces.{' '}
            {server.keys ? 'Whoever saved a view may change it, and so may keys with the role admin.' : 'Everybody may change them, since this server asks nobody for a key.'}
          </p>
        </div>
        {error.value && <Problem error={error.value} retry={load} />}
        {missing.value && (
          <div class="notice warn" role="alert">
            <div>The view that you were given a link to is no more. Whoever saved it, or an admin, has deleted it.</div>
          </div>
        )}
        {loaded.value && list.length === 0 && (
          <div class="empty">
            <h2>None yet</h2>
            <p>
              On the map, among traces or in the analysis, press <kbd>g</kbd> <kbd>V</kbd> or the bookmark above, and give what you see a name.
            </p>
          </div>
        )}
        <ul class="letters">
          {list.map((v) => (
            <li key={v.ID} class="managed card">
              <a class="view-name" href={viewHref(v)}>
                <bdi>{v.Name}</bdi>
              </a>
              <div class="muted">
                {pageName(v.Page)}: <bdi>{viewText(v)}</bdi>
              </div>
              <div class="row faint letter-facts">
                {v.Owner && (
                  <span>
                    saved by <bdi>{v.Owner.Name ?? v.Owner.ID}</bdi>
                  </span>
                )}
                {v.Changed && <span>{ago(now - v.Changed)}</span>}
                {!v.MayChange && <span>its key and admins may change it</span>}
              </div>
              <div class="row managed-actions">
                <button class="button" onClick={() => copy(viewLink(v), 'Link copied')} title="Copies a link that follows later changes of the view">
                  <External /> Share
                </button>
                {v.MayChange && (
                  <>
                    <button class="button" onClick={() => (rename.value = v)}>
                      Rename
                    </button>
                    <button class="button" onClick={() => (remove.value = v)}>
                      Delete
                    </button>
                  </>
                )}
              </div>
            </li>
          ))}
        </ul>
      </div>
      {rename.value && <Rename view={rename.value} close={() => (rename.value = null)} />}
      {remove.value && (
        <Confirm title={`Delete ${remove.value.Name}?`} verb="Delete" done="View deleted" run={() => deleteView(remove.peek()!.ID)} close={() => (remove.value = null)}>
          <p>Links to it lead nowhere then. What it shows stays.</p>
        </Confirm>
      )}
    </div>
  )
}

/** Goes to what a short link stands for. */
export function LinkPage({ id }: { id: string }) {
  const error = useSignal<Error | null>(null)
  const again = useSignal(0)
  useEffect(() => {
    document.title = 'Link · Roentgen'
    error.value = null
    if (!/^[a-z2-7]+$/.test(id)) {
      error.value = new AnswerError('it is no link', 404)
      return
    }
    const abort = new AbortController()
    get<State>(`api/links/${id}`, {}, abort.signal).then(
      (to) => {
        if (abort.signal.aborted) return
        // The server takes nothing else; a state that was imported may be of another version.
        if (linkable(to.Path, PAGES)) go(href(to.Path, new URLSearchParams(to.Query)), { replace: true })
        else error.value = new AnswerError('it leads to a page that is none', 404)
      },
      (e: Error) => {
        if (!abort.signal.aborted) error.value = e
      },
    )
    return () => abort.abort()
  }, [id, again.value])
  if (!error.value) return <div class="progress" />
  if (error.value instanceof AnswerError && error.value.status === 404)
    return (
      <div class="empty" role="alert">
        <h2>This link leads nowhere</h2>
        <p>It is not a whole one, or nobody used it for so long that another took its place.</p>
        <a class="button" href={href('map')}>
          To the map
        </a>
      </div>
    )
  return (
    <div style={{ padding: '20px' }}>
      <Problem error={error.value} retry={() => again.value++} />
    </div>
  )
}

function Rename({ view, close }: { view: View; close: () => void }) {
  const name = useSignal(view.Name)
  const error = useSignal<Error | null>(null)
  return (
    <Dialog title={`Rename ${view.Name}`} close={close} width={440}>
      <form
        class="dialog-body column"
        style={{ gap: '10px' }}
        onSubmit={(e) => {
          e.preventDefault()
          changeView(view.ID, { Name: name.peek().trim() }).then(
            () => {
              say('View renamed')
              close()
            },
            (x: Error) => (error.value = x),
          )
        }}
      >
        {error.value && <Problem error={error.value} />}
        <Field name="Name">
          <input class="input" data-autofocus value={name.value} maxLength={100} onInput={(e) => (name.value = e.currentTarget.value)} />
        </Field>
        <div class="row" style={{ justifyContent: 'flex-end' }}>
          <button type="button" class="button" onClick={close}>
            Cancel
          </button>
          <button class="button primary" disabled={name.value.trim() === ''}>
            Rename
          </button>
        </div>
      </form>
    </Dialog>
  )
}
