import tseslint from 'typescript-eslint'

const fromRuntime = 'Time, randomness and timers come from the injected runtime (src/core/runtime.ts).'
const clockOrChance = [
  "MemberExpression[object.name='Date'][property.name='now']",
  "NewExpression[callee.name='Date'][arguments.length=0]",
  "CallExpression[callee.name='Date']",
  "MemberExpression[object.name='Math'][property.name='random']",
  "MemberExpression[property.name='randomUUID']",
  "ImportSpecifier[imported.name='randomUUID']",
  "MemberExpression[object.name='globalThis'][property.name=/^(set(Timeout|Interval|Immediate)|performance)$/]",
  "MemberExpression[object.name='AbortSignal'][property.name='timeout']",
]
const ownRegistry = {
  selector: 'CallExpression[callee.property.name=/^(meta|describe)$/]',
  message:
    'Schemas are described by .register(described, …): .meta() writes into a registry that all of a process share.',
}
const timers = ['setTimeout', 'setInterval', 'setImmediate', 'performance']
const timerModules = ['timers', 'timers/promises', 'perf_hooks'].flatMap((name) => [name, `node:${name}`])

export default tseslint.config(
  { ignores: ['**/node_modules/', '**/dist/', 'coverage/', 'dashboard/'] },
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.base],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/await-thenable': 'error',
      '@typescript-eslint/return-await': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/no-unnecessary-type-assertion': 'error',
      '@typescript-eslint/only-throw-error': 'error',
      eqeqeq: 'error',
      'no-debugger': 'error',
      'no-var': 'error',
      'prefer-const': 'error',
    },
  },
  {
    files: ['src/**/*.ts'],
    rules: {
      'no-restricted-exports': ['error', { restrictDefaultExports: { direct: true, named: true, defaultFrom: true } }],
    },
  },
  {
    files: ['src/**/*.ts'],
    ignores: ['src/cli/**', '**/*.test.ts', '**/*.test-d.ts'],
    rules: { 'no-console': 'error' },
  },
  {
    files: ['src/**/*.ts'],
    ignores: ['src/core/runtime.ts', '**/*.test.ts', '**/*.test-d.ts'],
    rules: {
      'no-restricted-syntax': [
        'error',
        ...clockOrChance.map((selector) => ({ selector, message: fromRuntime })),
        ownRegistry,
      ],
      'no-restricted-globals': ['error', ...timers.map((name) => ({ name, message: fromRuntime }))],
      'no-restricted-imports': ['error', { paths: timerModules.map((name) => ({ name, message: fromRuntime })) }],
    },
  },
)
