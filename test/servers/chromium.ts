import { findProgram } from './programs.ts'

/** The browser of this machine, as Debian calls it or others do; null when it has none. */
export const findChromium = (): string | null =>
  findProgram('chromium') ?? findProgram('chromium-browser') ?? findProgram('google-chrome')
