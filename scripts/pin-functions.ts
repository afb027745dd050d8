import { readFileSync, writeFileSync } from 'node:fs'
import { functionsHash } from '../src/engines/postgres/functions.ts'
import { functionsVersion, pinnedHash } from '../src/engines/postgres/functions-version.ts'

/** Raises the version of the functions on PostgreSQL if their text has changed, and writes down what it is now. */
const file = new URL('../src/engines/postgres/functions-version.ts', import.meta.url)
if (functionsHash === pinnedHash) {
  console.log(`The functions are those of version ${functionsVersion}.`)
} else {
  const version = functionsVersion + 1
  const text = readFileSync(file, 'utf8')
    .replace(/functionsVersion = \d+/, `functionsVersion = ${version}`)
    .replace(/pinnedHash = '\w*'/, `pinnedHash = '${functionsHash}'`)
  writeFileSync(file, text)
  console.log(`The functions are version ${version} now.`)
}
