interface Page extends Partial<Listening> {
  readonly document?: Listening & { readonly visibilityState: string }
}
interface Listening {
  addEventListener(type: string, listener: () => void): void
  removeEventListener(type: string, listener: () => void): void
}

/**
 * Calls back when it is worth looking at a connection at once: the network is there again (`online`), or the page is looked at
 * again, whose timers hardly ran meanwhile (`visible`). Never where there is no page. Returns what ends it.
 */
export function onWake(listener: (why: 'online' | 'visible') => void): () => void {
  const page = globalThis as unknown as Page
  const online = (): void => listener('online')
  const visible = (): void => {
    if (page.document?.visibilityState === 'visible') listener('visible')
  }
  page.addEventListener?.('online', online)
  page.document?.addEventListener('visibilitychange', visible)
  return () => {
    page.removeEventListener?.('online', online)
    page.document?.removeEventListener('visibilitychange', visible)
  }
}
