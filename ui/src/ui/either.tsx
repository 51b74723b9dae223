// A choice of two, both in sight: what is pressed is what is shown.

export function Either({ label, first, second, value, choose }: { label: string; first: string; second: string; /** Is it the second? */ value: boolean; choose: (second: boolean) => void }) {
  return (
    <div class="segmented" role="group" aria-label={label}>
      <button aria-pressed={!value} onClick={() => choose(false)}>
        {first}
      </button>
      <button aria-pressed={value} onClick={() => choose(true)}>
        {second}
      </button>
    </div>
  )
}
