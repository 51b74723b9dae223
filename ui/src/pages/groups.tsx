// Groups: filter expressions with a name.

import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { post, type Group } from '../lib/api'
import { contextParams, href, param, change, place } from '../lib/place'
import { can, whyNot } from '../lib/session'
import { Confirm } from '../ui/confirm'
import { Field, FieldName } from '../ui/field'
import { FilterBar } from '../ui/filterbar'
import { Dialog, Problem, say } from '../ui/parts'
import { NotAllowed } from '../ui/signin'

export function GroupsPage() {
  const groups = useSignal<Group[] | null>(null)
  const error = useSignal<Error | null>(null)
  const remove = useSignal<Group | null>(null)
  const editing = param('edit').value
  const load = () =>
    post<{ Groups: Group[] }>('Groups', {}).then(
      (g) => {
        groups.value = g.Groups
        error.value = null
      },
      (e: Error) => (error.value = e),
    )
  useEffect(() => {
    document.title = 'Groups · Roentgen'
    void load()
  }, [])
  const edited = groups.value?.find((g) => g.GroupName === editing)
  return (
    <div class="page" data-scroll>
      <div class="page-inner">
        <div class="row">
          <div class="grow">
            <h1>Groups</h1>
            <p class="muted">A group is a filter expression with a name. Traces are filed under it as they arrive, so that the map can show it alone.</p>
          </div>
          <button class="button primary" disabled={!can('admin')} title={whyNot('admin')} onClick={() => change({ edit: '+' })}>
            New group
          </button>
        </div>
        {!can('admin') && <NotAllowed what="Changing groups takes" />}
        {error.value && <Problem error={error.value} retry={load} />}
        <ul class="letters">
          {(groups.value ?? []).map((g) => (
            <li key={g.GroupARN} class="managed card">
              <b>
                <bdi>{g.GroupName}</bdi>
              </b>
              <code class="muted">
                <bdi>{g.FilterExpression ?? 'every trace'}</bdi>
              </code>
              <div class="row managed-actions">
                <a class="button" href={href('map', { ...contextParams(place.value.params), group: g.GroupName === 'Default' ? null : g.GroupName })}>
                  Map
                </a>
                <a class="button" href={href('traces', { ...contextParams(place.value.params), group: null, q: g.FilterExpression ?? '' })}>
                  Traces
                </a>
                {g.GroupName !== 'Default' && can('admin') && (
                  <>
                    <button class="button" onClick={() => change({ edit: g.GroupName })}>
                      Change
                    </button>
                    <button class="button" onClick={() => (remove.value = g)}>
                      Delete
                    </button>
                  </>
                )}
              </div>
            </li>
          ))}
        </ul>
      </div>
      {can('admin') && (editing === '+' || edited) && <Editor key={editing} group={edited} close={() => change({ edit: null })} done={load} />}
      {remove.value && (
        <Confirm
          title={`Delete ${remove.value.GroupName}?`}
          verb="Delete"
          done="Group deleted"
          run={() => post('DeleteGroup', { GroupName: remove.peek()!.GroupName }).then(load)}
          close={() => (remove.value = null)}
        >
          <p>Its traces stay. A group that is made anew under this name begins without the old data.</p>
        </Confirm>
      )}
    </div>
  )
}

function Editor({ group, close, done }: { group?: Group; close: () => void; done: () => void }) {
  const name = useSignal(group?.GroupName ?? '')
  const expression = useSignal(group?.FilterExpression ?? param('q').peek())
  const error = useSignal<Error | null>(null)
  const save = () =>
    post(group ? 'UpdateGroup' : 'CreateGroup', { GroupName: name.peek(), FilterExpression: expression.peek() }).then(
      () => {
        say(group ? 'Group changed' : 'Group made')
        done()
        close()
      },
      (e: Error) => (error.value = e),
    )
  return (
    <Dialog title={group ? `Change ${group.GroupName}` : 'New group'} close={close}>
      <form
        class="dialog-body column"
        style={{ gap: '10px' }}
        onSubmit={(e) => {
          e.preventDefault()
          // The expression is what stands in the bar, whether or not Enter was pressed there.
          const bar = document.getElementById('group-filter') as HTMLInputElement | null
          if (bar) expression.value = bar.value.trim()
          void save()
        }}
      >
        {error.value && <Problem error={error.value} />}
        <Field name="Name" hint="letters, digits and dashes">
          <input class="input" value={name.value} disabled={!!group} maxLength={32} onInput={(e) => (name.value = e.currentTarget.value)} />
        </Field>
        <div class="field">
          <span>
            <FieldName name="Filter expression" />
          </span>
          <FilterBar id="group-filter" value={expression.value} onChange={(t) => (expression.value = t)} />
        </div>
        <div class="row" style={{ justifyContent: 'flex-end' }}>
          <button type="button" class="button" onClick={close}>
            Cancel
          </button>
          <button class="button primary">{group ? 'Change' : 'Make group'}</button>
        </div>
      </form>
    </Dialog>
  )
}
