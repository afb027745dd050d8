/** Colours hold 4.5:1 against the background, by day and by night. `::part()` and the variables change all of it. */
export const sheet = `
:host {
  --background: var(--celeriac-background, light-dark(#ffffff, #16181d));
  --text: var(--celeriac-text, light-dark(#1c2024, #e8eaed));
  --muted: var(--celeriac-muted, light-dark(#5a616b, #a3abb8));
  --line: var(--celeriac-line, light-dark(#e3e6ea, #2c3038));
  --track: var(--celeriac-track, light-dark(#e8ebef, #2a2e36));
  --accent: var(--celeriac-accent, light-dark(#0b5fc4, #70b8ff));
  --succeeded: var(--celeriac-succeeded, light-dark(#17704a, #4cc38a));
  --failed: var(--celeriac-failed, light-dark(#bf2528, #ff8f8f));
  --waiting: var(--celeriac-waiting, light-dark(#875200, #e5a94a));
  display: block;
  container-type: inline-size;
  padding: var(--celeriac-padding, 12px);
  border-radius: var(--celeriac-radius, 10px);
  background: var(--background);
  color: var(--text);
  font: 14px/1.5 system-ui, sans-serif;
  font: var(--celeriac-font, 14px/1.5 system-ui, sans-serif);
}
:host([hidden]), [hidden] { display: none !important }
.head, .row { display: grid; align-items: center; gap: 0 8px; grid-template-columns: auto minmax(0, 1fr) auto }
.head { padding: 2px 8px 8px; font-weight: 600 }
.row {
  padding: 3px 8px 3px calc(8px + (var(--level) - 1) * 18px);
  border-radius: 6px;
  cursor: default;
}
.row[aria-expanded], .more { cursor: pointer }
.row:hover { background: color-mix(in srgb, var(--text) 5%, transparent) }
.row:focus-visible { outline: 2px solid var(--accent); outline-offset: -2px }
.mark { width: 1.2em; text-align: center; font-weight: 700; color: var(--state) }
.what { display: flex; flex-wrap: wrap; gap: 0 10px; align-items: baseline; min-width: 0 }
.name { overflow-wrap: anywhere }
.twist { color: var(--muted); margin-right: 4px; display: inline-block; width: 0.8em }
.about, .duration { color: var(--muted); font-weight: 400 }
.right { display: flex; gap: 10px; font-variant-numeric: tabular-nums; white-space: nowrap }
.state { color: var(--state); font-weight: 400 }
.progress { grid-column: 2 / -1; display: flex; gap: 10px; align-items: center; color: var(--muted); font-weight: 400 }
.bar { flex: none; width: min(220px, 50%); height: 6px; border-radius: 3px; background: var(--track); overflow: hidden }
.fill { height: 100%; width: 100%; background: var(--accent); transform-origin: left; transform: scaleX(var(--share, 0)) }
.said, .text { overflow-wrap: anywhere }
.failure { grid-column: 2 / -1; color: var(--failed); white-space: pre-wrap; overflow-wrap: anywhere; cursor: text }
.all { grid-column: 2 / -1; justify-self: start; color: var(--accent); cursor: pointer }
.connection { padding: 0 8px 6px; color: var(--muted); font-size: 0.86em; font-variant-numeric: tabular-nums }
.connection::before { content: '○ ' }
.connection.is-live::before { content: '● '; color: var(--succeeded) }
.connection.is-silent { color: var(--waiting) }
.filter { display: flex; flex-wrap: wrap; gap: 4px 6px; padding: 0 8px 8px }
.choice {
  padding: 1px 9px;
  border: 1px solid var(--line);
  border-radius: 99px;
  background: none;
  color: var(--state, var(--text));
  font: inherit;
  font-size: 0.93em;
  cursor: pointer;
}
.choice[aria-pressed='true'] { border-color: currentColor; background: var(--track); font-weight: 600; text-decoration: underline }
.choice:focus-visible { outline: 2px solid var(--accent); outline-offset: 1px }
.problem { padding: 8px; color: var(--failed) }
.is-succeeded { --state: var(--succeeded) }
.is-failed { --state: var(--failed) }
.is-running { --state: var(--accent) }
.is-queued, .is-scheduled { --state: var(--waiting) }
.is-waiting, .is-skipped, .is-cancelled { --state: var(--muted) }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap }
@container (max-width: 480px) {
  .row { padding-left: calc(8px + (var(--level) - 1) * 12px) }
  .bar { width: min(140px, 40%) }
}
@media (prefers-reduced-motion: no-preference) {
  .fill { transition: transform 0.2s ease-out }
  :not(.stale) > .is-running > .mark, .head.is-running:not(.stale) > .mark { animation: breathe 1.6s ease-in-out infinite }
  @keyframes breathe { 50% { opacity: 0.35 } }
}
@media (forced-colors: active) {
  .bar { border: 1px solid CanvasText }
  .fill { background: Highlight; forced-color-adjust: none }
}
`
