import { CeleriacError, type ErrorCode } from '../core/errors.ts'

/** The store says itself that it is away, and nothing is wrong with what was sent. */
const passing: readonly ErrorCode[] = ['STORE_BUSY', 'STORE_UNREACHABLE', 'STORE_FULL', 'STORE_READ_ONLY']

export const isPassing = (error: unknown): boolean => error instanceof CeleriacError && passing.includes(error.code)
