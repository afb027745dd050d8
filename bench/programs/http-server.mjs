// The HTTP API in a process of its own, as a user serves it: in plain JavaScript, so that no TypeScript loader is counted.
import { Celeriac } from 'celeriac'
import { serve } from 'celeriac/http'
import { answerQuestions } from './answer-questions.mjs'

const app = new Celeriac({ url: process.argv[2] })
app.task('bench.add', { expose: true }, (x, y) => x + y)
await app.queues.list()
answerQuestions((await serve(app, { port: 0, auth: 'none' })).url)
