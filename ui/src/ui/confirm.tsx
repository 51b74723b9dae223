// A dialog that asks before something is done that cannot be taken back.

import { useSignal } from '@preact/signals'
import type { ComponentChildren } from 'preact'
import { Dialog, Problem, say } from './parts'

/** `run` does it; when that fails the dialog stays, and says why. */
export function Confirm({ title, verb, done, run, close, children }: { title: string; verb: string; done: string; run: () => Promise<unknown>; close: () => void; children: ComponentChildren }) {
  const busy = useSignal(false)
  const error = useSignal<Error | null>(null)
  const act = () => {
    busy.value = true
    run().then(
      () => {
        say(done)
        close()
      },
      (e: Error) => {
        error.value = e
        busy.value = false
      },
    )
  }
  return (
    <Dialog title={title} close={close} width={460}>
      <div class="dialog-body column" style={{ gap: '10px' }}>
        {error.value && <Problem error={error.value} />}
        <div>{children}</div>
        <div class="row" style={{ justifyContent: 'flex-end' }}>
          <button class="button" data-autofocus onClick={close}>
            Keep it
          </button>
          <button class="button danger" disabled={busy.value} onClick={act}>
            {verb}
          </button>
        </div>
      </div>
    </Dialog>
  )
}
