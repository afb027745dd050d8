import { retentionCase } from '../../contenders/full-load.ts'

export const measured = retentionCase('sqlite')
