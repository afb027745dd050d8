import type { OpenApiDocument } from './document.ts'
import type { Reply } from './reply.ts'

type Json = Readonly<Record<string, any>>

/** The document for people: one page, written here, that loads nothing and runs nothing. */
export function docsPage(document: OpenApiDocument, base: string): Reply {
  return {
    status: 200,
    headers: {
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy':
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
      'x-content-type-options': 'nosniff',
    },
    text: pageOf(document, base),
  }
}

/** Text that stands in HTML as it is. */
class Html {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}

/** What is put in is escaped, unless it was made here. */
function html(parts: TemplateStringsArray, ...values: readonly unknown[]): Html {
  const told = (value: unknown): string => {
    if (value instanceof Html) return value.text
    if (Array.isArray(value)) return value.map(told).join('')
    return String(value ?? '').replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
  }
  return new Html(String.raw({ raw: parts }, ...values.map(told)))
}

function pageOf({ info, paths, components }: Json, base: string): string {
  const operations = Object.entries(paths as Json).flatMap(([path, methods]) =>
    Object.entries(methods as Json).map(([method, operation]) => ({ path, method, operation: operation as Json })),
  )
  const tags = [...new Set(operations.map(({ operation }) => operation['tags'][0] as string))]
  const ofTag = (tag: string) => operations.filter(({ operation }) => operation['tags'][0] === tag)
  const page = html`<!doctype html>
    <html lang="en">
      <meta charset="utf-8" />
      <meta name="viewport" content="width=device-width, initial-scale=1" />
      <title>${info.title} ${info.version}</title>
      <style>
        ${new Html(style)}
      </style>
      <header>
        <h1>${info.title} <small>${info.version}</small></h1>
        ${(info.description as string).split('\n\n').map((text) => html`<p>${marked(text)}</p>`)}
        <p>As OpenAPI 3.1: <a href="${base}/api/openapi.json">openapi.json</a></p>
        <pre>
curl -H 'authorization: Bearer …' -H 'content-type: application/json' \\
  -d '{"args":[1,2]}' …${base}/api/tasks/math.add</pre>
        <nav aria-label="Operations">
          ${tags.map((tag) => html`<a href="#${tag}">${tag}</a> `)}<a href="#Schemas">Schemas</a>
        </nav>
      </header>
      <main>
        ${tags.map(
          (tag) =>
            html`<section>
              <h2 id="${tag}">${tag}</h2>
              ${ofTag(tag).map(operationOf)}
            </section>`,
        )}
        <section>
          <h2 id="Schemas">Schemas</h2>
          ${Object.entries((components as Json).schemas as Json).map(schemaOf)}
        </section>
      </main>
    </html>`
  return page.text
}

function operationOf({ path, method, operation }: { path: string; method: string; operation: Json }): Html {
  const { operationId, summary, description, parameters = [], requestBody, responses, callbacks } = operation
  return html`<details id="${operationId}">
    <summary>
      <code class="${method}">${method.toUpperCase()}</code> <code>${path}</code> <span>${summary}</span>
    </summary>
    ${paragraphs(description as string)}
    ${
      parameters.length > 0
        ? html`<h4>Parameters</h4>
            <table>
              ${parameters.map(parameterOf)}
            </table>`
        : ''
    }
    ${
      requestBody
        ? html`<h4>Body</h4>
            ${typeTable(contentOf(requestBody as Json))}`
        : ''
    }
    <h4>Answers</h4>
    <table>
      ${Object.entries(responses as Json).map(([status, one]) => answerOf(status, one as Json))}
    </table>
    ${
      callbacks
        ? html`<h4>Calls back</h4>
            <p>A signed POST: ${typeName(callbackBody(callbacks as Json))}.</p>`
        : ''
    }
  </details>`
}

const parameterOf = ({ name, in: place, required, schema, description }: Json): Html =>
  html`<tr>
    <th><code>${name}</code> <small>${place}${required ? '' : ', optional'}</small></th>
    <td>${typeName(schema as Json)} ${marked((description as string | undefined) ?? '')}</td>
  </tr>`

const answerOf = (status: string, { description, content }: Json): Html =>
  html`<tr>
    <th><code>${status}</code></th>
    <td>${content ? typeName(contentOf({ content })) : ''} ${marked(description as string)}</td>
  </tr>`

const schemaOf = ([name, schema]: [string, unknown]): Html =>
  html`<details id="schema-${name}">
    <summary><code>${name}</code></summary>
    ${paragraphs((schema as Json)['description'] as string)}${typeTable(schema as Json)}
  </details>`

function typeTable(schema: Json): Html {
  const { properties, required = [] } = schema
  if (!properties) return html`<p>${typeName(schema)}</p>`
  return html`<table>
    ${Object.entries(properties as Json).map(
      ([name, one]) =>
        html`<tr>
          <th><code>${name}</code> <small>${required.includes(name) ? '' : 'optional'}</small></th>
          <td>${typeName(one as Json)} ${marked(((one as Json)['description'] as string | undefined) ?? '')}</td>
        </tr>`,
    )}
  </table>`
}

/** What a value is, in a few words, with the way to what has a name. */
function typeName(schema: Json): Html {
  const ref = schema['$ref'] as string | undefined
  if (ref !== undefined) {
    const name = ref.split('/').pop()
    return html`<a href="#schema-${name}">${name}</a>`
  }
  if (schema['enum'])
    return html`${(schema['enum'] as unknown[]).map((one, n) => html`${n > 0 ? ' · ' : ''}<code>${JSON.stringify(one)}</code>`)}`
  if ('const' in schema) return html`<code>${JSON.stringify(schema['const'])}</code>`
  const several = (schema['anyOf'] ?? schema['oneOf'] ?? schema['allOf']) as Json[] | undefined
  if (several) return html`${several.map((one, n) => html`${n > 0 ? ' or ' : ''}${typeName(one)}`)}`
  if (schema['type'] === 'array') return html`list of ${typeName((schema['items'] ?? {}) as Json)}`
  if (schema['type'] === 'object' && schema['properties']) {
    return html`{ ${Object.keys(schema['properties'] as Json).join(', ')} }`
  }
  return html`${schema['type'] ?? 'any JSON'}`
}

const contentOf = ({ content }: Json): Json => (Object.values(content as Json)[0] as Json)['schema'] as Json
const callbackBody = (callbacks: Json): Json =>
  contentOf((Object.values(Object.values(callbacks)[0] as Json)[0] as Json)['post'].requestBody as Json)
const paragraphs = (text: string | undefined): Html =>
  html`${(text ?? '')
    .split('\n\n')
    .filter(Boolean)
    .map((one) => html`<p>${marked(one)}</p>`)}`

/** `code` between backticks. */
const marked = (text: string): Html =>
  html`${text.split('`').map((part, n) => (n % 2 === 1 ? html`<code>${part}</code>` : part))}`

const style = `
:root { color-scheme: light dark; --edge: #8885; --soft: #8881; --accent: #0a6e4f }
@media (prefers-color-scheme: dark) { :root { --accent: #5fd3a8 } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1.5rem }
h1 small { font-weight: normal; font-size: 1rem; opacity: .7 }
h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--edge) }
h4 { margin: 1rem 0 .25rem }
a { color: var(--accent) }
nav { display: flex; flex-wrap: wrap; gap: .25rem 1rem }
code, pre { font: .9em ui-monospace, monospace }
pre { background: var(--soft); padding: .75rem; overflow-x: auto; border-radius: 6px }
details { border: 1px solid var(--edge); border-radius: 6px; margin: .5rem 0; padding: .25rem .75rem; scroll-margin-top: 1rem }
details[open] { padding-bottom: .75rem }
summary { cursor: pointer; padding: .25rem 0 }
summary .post, summary .get { display: inline-block; min-width: 3.2rem; font-weight: 700 }
summary .post { color: var(--accent) }
summary span { opacity: .8 }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: top; padding: .25rem .5rem .25rem 0; border-top: 1px solid var(--edge) }
th { font-weight: normal; white-space: nowrap; width: 16rem }
td { overflow-wrap: anywhere }
:target { outline: 2px solid var(--accent) }
@media (max-width: 40rem) { th, td { display: block; border-top: 0 } tr { display: block; border-top: 1px solid var(--edge) } th { white-space: normal } }
`
