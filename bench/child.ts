// A contender's process: samples one contender of one case each time it is asked to.
import type { Case, Contender, Figures, Run } from './case.ts'

export type Answer = { readonly figures: Figures } | { readonly error: string }

const [caseFile, contenderName] = process.argv.slice(2)
const contender = await load(String(caseFile), String(contenderName))

process.on('message', (run: Run) => {
  void sample(run).then((answer) => process.send?.(answer))
})
process.send?.('ready')

async function load(file: string, name: string): Promise<Contender> {
  const { measured } = (await import(file)) as { measured: Case }
  if (name === 'prepare') {
    return async (run) => {
      await measured.prepare?.(run)
      return {}
    }
  }
  const found = measured.contenders[name]
  if (!found) throw new Error(`${measured.name} has no contender ${name}`)
  return found
}

async function sample(run: Run): Promise<Answer> {
  try {
    return { figures: await contender(run) }
  } catch (error) {
    return { error: error instanceof Error ? String(error.stack) : String(error) }
  }
}
