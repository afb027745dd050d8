import type { OpenApiDocument } from './document.ts'

export function docsPage(document: OpenApiDocument, base: string): Response {
  void document
  return new Response(`<!doctype html><title>Celeriac</title><a href="${base}/openapi.json">openapi.json</a>`, {
    headers: { 'content-type': 'text/html; charset=utf-8' },
  })
}
