import ts from 'typescript'
import type { Block, Page } from './page.ts'

/**
 * The `ts` blocks of a page as one program. Every line stands where it stands in the page, so that what the compiler
 * and Node say of the program is said of the page. A block is inside the one before it: it sees what that one declared and
 * may use its names anew. Imports are moved to the first line.
 *
 * Comments behind a statement, or on the lines after it, say what comes of it:
 *
 * | `// → value`        | the value of an expression or declaration, or what the statement prints                         |
 * | `// throws CODE: …` | the error, by its code or name                                                                  |
 * | `// ✗ words`        | it does not compile, and the compiler says so in these words: the statement is not run           |
 *
 * `…` stands for anything. A `text` block is what was printed since the last one; `console` and `sh` blocks are commands.
 */
export interface Program {
  /** What the compiler is given. */
  readonly checked: string
  /** What is run. */
  readonly run: string
  /** What the compiler refuses. Lines from 1. */
  readonly refused: readonly Refused[]
}

export interface Refused {
  readonly from: number
  readonly to: number
  readonly words: string
}

/** Is the block a part of the page's program? Files of their own and what cannot be run are not. */
export const isProgram = ({ language, title, words }: Block): boolean =>
  language === 'ts' && title === null && !words.includes('no-run')

export function programOf(page: Page, stage: string): Program {
  const checked: string[] = page.text.split('\n').map(() => '')
  const run = [...checked]
  const imports = new Map<string, Set<string>>()
  const refused: Refused[] = []
  let depth = 0
  for (const [index, block] of page.blocks.entries()) {
    if (isProgram(block)) {
      const part = transform(block, imports)
      refused.push(...part.refused)
      part.checked.split('\n').forEach((line, n) => (checked[block.line - 1 + n] = line))
      part.run.split('\n').forEach((line, n) => (run[block.line - 1 + n] = line))
      checked[block.line - 2] = run[block.line - 2] = '{'
      depth++
    } else if (isStep(block)) run[block.line - 2] = `await stage.step(${index})`
  }
  const ends = '}'.repeat(depth)
  const first = Array.from(imports, importText).join('; ')
  return {
    checked: [`${first}; export {}`, ...checked.slice(1), ends].join('\n'),
    run: [`import * as stage from '${stage}'; ${first}`, ...run.slice(1), `${ends} await stage.end()`].join('\n'),
    refused,
  }
}

const isStep = ({ language, title }: Block): boolean => ['text', 'console', 'sh'].includes(language) && title === null

interface Edit {
  readonly from: number
  readonly to: number
  readonly text: string
}

interface Part {
  readonly checked: string
  readonly run: string
  readonly refused: readonly Refused[]
}

function transform(block: Block, imports: Map<string, Set<string>>): Part {
  const text = block.lines.join('\n')
  const file = ts.createSourceFile('block.ts', text, ts.ScriptTarget.Latest, true)
  const edits: Edit[] = []
  const ofRun: Edit[] = []
  const refused: Refused[] = []
  const lineAt = (position: number): number => block.line + file.getLineAndCharacterOfPosition(position).line
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) {
      collectImport(node, imports)
      edits.push({ from: node.getStart(), to: node.end, text: '' })
    }
    if (node.kind === ts.SyntaxKind.ExportKeyword) edits.push({ from: node.getStart(), to: node.end, text: '' })
    const said = isStatement(node) ? markBehind(text, node.end) : undefined
    if (!said) return ts.forEachChild(node, visit)
    const [from, to] = [node.getStart(), node.end]
    if (said.mark === '✗') {
      refused.push({ from: lineAt(from), to: lineAt(to), words: said.text })
      ofRun.push({ from, to, text: '' })
    } else ofRun.push(...observe(node as ts.Statement, said, lineAt(to)))
  }
  visit(file)
  return { checked: applied(text, edits), run: applied(text, [...edits, ...ofRun]), refused }
}

const isStatement = (node: ts.Node): boolean =>
  ts.isStatement(node) && !ts.isBlock(node) && !ts.isFunctionDeclaration(node)

/** Edits that compare what a statement comes to with what the comment behind it says. */
function observe(statement: ts.Statement, { mark, text }: Mark, line: number): Edit[] {
  const [from, to] = [statement.getStart(), statement.end]
  const about = `${line}, ${JSON.stringify(text)}`
  const around = (before: string, after: string): Edit[] => [
    { from, to: from, text: before },
    { from: to, to, text: after },
  ]
  if (mark === 'throws') return around(`await stage.throws(${about}, async () => {`, '})')
  if (/\bconsole\.log\b/.test(statement.getText())) return around('stage.listen(); ', `; stage.printed(${about})`)
  if (ts.isVariableStatement(statement)) {
    const { name } = statement.declarationList.declarations.at(-1)!
    return [{ from: to, to, text: `; stage.value(${about}, ${name.getText()})` }]
  }
  if (ts.isExpressionStatement(statement)) return around(`stage.value(${about}, `, ')')
  throw new Error(`line ${line}: what is "${text}" said of?`)
}

interface Mark {
  readonly mark: '→' | 'throws' | '✗'
  readonly text: string
}

function markBehind(text: string, end: number): Mark | undefined {
  const rest = text.slice(end)
  const [, mark, first] = /^[;,]?[ \t]*(?:\n[ \t]*)?\/\/ (→|throws|✗) (.*)/.exec(rest) ?? []
  if (!mark) return undefined
  const after = rest
    .slice(rest.indexOf(first!) + first!.length)
    .split('\n')
    .slice(1)
  const more = after.slice(0, after.findIndex((line) => !/^\s*\/\/ {2,}/.test(line)) >>> 0)
  return {
    mark: mark as Mark['mark'],
    text: [first!, ...more.map((line) => line.replace(/^\s*\/\/ +/, ''))].join(' '),
  }
}

/** The text with all edits made. What is cut out leaves its ends of lines behind, so that no line moves. */
function applied(text: string, edits: readonly Edit[]): string {
  let result = text
  const lastFirst = [...edits].map((edit, n) => ({ ...edit, n })).sort((a, b) => b.from - a.from || b.n - a.n)
  for (const { from, to, text: put } of lastFirst) {
    result = result.slice(0, from) + put + result.slice(from, to).replace(/[^\n]/g, '') + result.slice(to)
  }
  return result
}

function collectImport(node: ts.ImportDeclaration, imports: Map<string, Set<string>>): void {
  const from = (node.moduleSpecifier as ts.StringLiteral).text
  const bindings = node.importClause?.namedBindings
  const isNamed = bindings && ts.isNamedImports(bindings) && !node.importClause?.name
  const kind = isNamed
    ? node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword
      ? 'type '
      : ''
    : node.getText()
  const key = `${kind}|${from}`
  const names = imports.get(key) ?? new Set()
  if (isNamed) for (const element of bindings.elements) names.add(element.getText())
  imports.set(key, names)
}

function importText([key, names]: [string, ReadonlySet<string>]): string {
  const at = key.lastIndexOf('|')
  const [kind, from] = [key.slice(0, at), key.slice(at + 1)]
  return names.size === 0 ? kind : `import ${kind}{ ${[...names].join(', ')} } from '${from}'`
}
