/** Milliseconds, or a number with a unit. The template catches `'5 minutes'` at compile time. */
export type Duration = number | `${number}${'ms' | 's' | 'm' | 'h' | 'd' | 'w'}`
