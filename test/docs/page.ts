import { readFileSync } from 'node:fs'

/** A page of the documentation: its fenced blocks, in order. */
export interface Page {
  /** The folder that `path` starts at. */
  readonly root: string
  /** `docs/canvas.md` */
  readonly path: string
  readonly text: string
  readonly blocks: readonly Block[]
}

export interface Block {
  readonly language: string
  /** The file that the block is the content of. */
  readonly title: string | null
  /** Other words behind the language: `no-run`. */
  readonly words: readonly string[]
  /** The line of the page that its first line stands on, from 1. */
  readonly line: number
  readonly lines: readonly string[]
}

export function readPage(root: string, path: string): Page {
  const text = readFileSync(`${root}/${path}`, 'utf8')
  return { root, path, text, blocks: blocksOf(text.split('\n'), path) }
}

function blocksOf(lines: readonly string[], path: string): Block[] {
  const blocks: Block[] = []
  for (let n = 0; n < lines.length; n++) {
    const fence = /^```(\S*)(.*)$/.exec(lines[n]!)
    if (!fence) continue
    const end = lines.indexOf('```', n + 1)
    if (end === -1) throw new Error(`${path}:${n + 1}: this block has no end`)
    const info = fence[2]!.trim().split(/\s+/).filter(Boolean)
    const title = info.find((word) => word.startsWith('title='))?.slice('title='.length) ?? null
    const words = info.filter((word) => !word.startsWith('title='))
    blocks.push({ language: fence[1]!, title, words, line: n + 2, lines: lines.slice(n + 1, end) })
    n = end
  }
  return blocks
}

/** Is there something in the block to be run? */
export const isRun = ({ language }: Block): boolean => ['ts', 'console', 'sh'].includes(language)

/** Where the relative links of a page lead: `canvas.md#options`. */
export function linksOf({ text }: Page): string[] {
  const links = Array.from(text.matchAll(/\]\(([^)\s]+)\)/g), ([, link]) => link!)
  return links.filter((link) => !/^[a-z]+:/.test(link))
}

/** What a link says behind `#` to lead to the headings of a page. */
export function headingsOf({ text }: Page): string[] {
  const headings = Array.from(text.matchAll(/^#+ (.*)$/gm), ([, heading]) => heading!)
  return headings.map((heading) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s-]/gu, '')
      .replaceAll(' ', '-'),
  )
}
