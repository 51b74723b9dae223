// A control in a form, with its name above it. Every form has them alike.

import type { ComponentChildren } from 'preact'

/** The name of a control, and what else is to be known before it is filled in. */
export function FieldName({ name, hint }: { name: string; hint?: string }) {
  return (
    <>
      <span class="field-name">{name}</span>
      {hint && <span class="field-hint"> {hint}</span>}
    </>
  )
}

export function Field({ name, hint, children }: { name: string; hint?: string; children: ComponentChildren }) {
  return (
    <label class="field">
      <span>
        <FieldName name={name} hint={hint} />
      </span>
      {children}
    </label>
  )
}

/** Several controls under one name. */
export function Fields({ name, hint, children }: { name: string; hint?: string; children: ComponentChildren }) {
  return (
    <fieldset class="field">
      <legend>
        <FieldName name={name} hint={hint} />
      </legend>
      {children}
    </fieldset>
  )
}
