/** What another attempt would meet again, so the job fails at once. What is wrong is the `cause`. */
export class Unusable extends Error {
  override name = 'Unusable'
  constructor(cause: unknown) {
    super('', { cause })
  }
}
