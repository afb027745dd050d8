export {
  type Accepted,
  accepted,
  callbackUrl,
  type FastifyParts,
  openapi,
  openapiForFastify,
  type OpenApiParts,
} from './own-api.ts'
export type { HandlerOptions } from './api.ts'
export type { Auth } from './authenticate.ts'
export type { FailedRequest } from './faults.ts'
export { createHandler, type Handler } from './handler.ts'
export type { Identity, Scope } from './identity.ts'
export type { JwtOptions } from './jwt.ts'
export type { Problem, ProblemCode } from './problem.ts'
export { serve, type ServeOptions, type Serving } from './serve.ts'
