import { describe } from 'vitest'

/** Whatever a role, a database or a url may have set, and might change what a request or a function means. */
const settings = {
  array_nulls: 'off',
  backslash_quote: 'on',
  bytea_output: 'escape',
  check_function_bodies: 'on',
  client_min_messages: 'error',
  datestyle: 'SQL,DMY',
  default_transaction_deferrable: 'on',
  default_transaction_isolation: 'serializable',
  escape_string_warning: 'off',
  extra_float_digits: '-15',
  idle_in_transaction_session_timeout: '60s',
  intervalstyle: 'sql_standard',
  lock_timeout: '30s',
  'plpgsql.extra_errors': 'all',
  'plpgsql.extra_warnings': 'all',
  quote_all_identifiers: 'on',
  search_path: 'nowhere',
  standard_conforming_strings: 'off',
  statement_timeout: '60s',
  timezone: 'Pacific/Chatham',
  transform_null_equals: 'on',
  xmlbinary: 'hex',
  xmloption: 'document',
}

process.env['CELERIAC_TEST_POSTGRES_SETTINGS'] = Object.entries(settings)
  .map(([name, value]) => `-c ${name}=${value}`)
  .join(' ')

/** The core of the contract for a user with such settings: `engines.ts` then has PostgreSQL alone. */
describe('with settings of the user’s', async () => {
  for (const topic of [
    'submit',
    'all-or-none',
    'keys',
    'claim',
    'settle',
    'continuation',
    'retry',
    'sweep',
    'within',
    'enqueue',
    'search',
    'values',
    'statistics',
  ])
    await import(`./${topic}.test.ts`)
})
