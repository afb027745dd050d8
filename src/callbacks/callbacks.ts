export type { CallbackPayload, SentFailure, SettledCollection, SettledJob } from './payload.ts'
export { verifyCallback } from './verify.ts'
export type { RawRequest, VerifyOptions, WebRequest } from './verify.ts'
