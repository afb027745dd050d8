/** The version of this package: a constant, because a bundle has no `package.json` of ours beside it. */
export const packageVersion = '0.1.0'
