import 'uplot/dist/uPlot.min.css'
import './style/tokens.css'
import './style/base.css'
import './style/pages.css'
import './style/door.css'
import './style/print.css'
import { render } from 'preact'
import { App } from './app'
import { fetchPages } from './ui/lazy'

render(<App />, document.getElementById('app')!)

// The pages behind the first ones come when all is quiet.
const idle = () => ('requestIdleCallback' in window ? requestIdleCallback(() => void fetchPages()) : void fetchPages())
if (document.readyState === 'complete') setTimeout(idle, 3000)
else addEventListener('load', () => setTimeout(idle, 3000))
