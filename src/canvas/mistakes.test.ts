import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { expect, test } from 'vitest'

const root = fileURLToPath(new URL('../../', import.meta.url))
const mistakes = `${root}test/types/mistakes.ts`

// Compiling takes seconds where other work goes on beside it.
test('the compiler tells mistakes in these words', { timeout: 120_000 }, async () => {
  await expect(messages()).toMatchFileSnapshot(`${root}test/types/mistakes.txt`)
})

/** What the compiler says of the mistakes when nothing tells it to expect them. */
function messages(): string {
  const text = readFileSync(mistakes, 'utf8').replaceAll('@ts-expect-error', 'mistake:')
  const options = compilerOptions()
  const host = ts.createCompilerHost(options)
  const read = host.getSourceFile.bind(host)
  host.getSourceFile = (name, target, ...rest) =>
    name === mistakes ? ts.createSourceFile(name, text, target) : read(name, target, ...rest)
  const program = ts.createProgram([mistakes], options, host)
  return program.getSemanticDiagnostics(program.getSourceFile(mistakes)).map(told).join('\n') + '\n'
}

function compilerOptions(): ts.CompilerOptions {
  const { config, error } = ts.readConfigFile(`${root}tsconfig.json`, (path) => ts.sys.readFile(path))
  expect(error).toBeUndefined()
  const { options } = ts.parseJsonConfigFileContent({ ...config, files: [mistakes], include: [] }, ts.sys, root)
  return { ...options, noEmit: true, noUnusedLocals: false }
}

function told({ file, start, code, messageText }: ts.Diagnostic): string {
  const { line, character } = file!.getLineAndCharacterOfPosition(start!)
  return `mistakes.ts(${line + 1},${character + 1}): TS${code}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`
}
