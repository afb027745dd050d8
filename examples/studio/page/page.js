import { ApiProblem, createClient } from 'celeriac/client'
import 'celeriac/client/element'

/** @type {(id: string) => any} */
const at = (id) => document.getElementById(id)
const progress = at('progress')

let token = sessionStorage.getItem('token')
let client = null
let following = new AbortController()

// ── who is here ──────────────────────────────────────────────────────────────────────────────────────────────────────

at('login').addEventListener('submit', async (event) => {
  event.preventDefault()
  const name = new FormData(event.target).get('name')
  const answer = await fetch('/login', { method: 'POST', body: JSON.stringify({ name }) })
  if (!answer.ok) return
  enter((await answer.json()).token)
})
at('leave').addEventListener('click', leave)

function enter(given) {
  token = given
  sessionStorage.setItem('token', token)
  at('login').hidden = true
  at('studio').hidden = at('who').hidden = false
  at('name').textContent = nameIn(token)
  client = createClient({ url: '/', token })
  progress.client = client
  following = new AbortController()
  void keepList(following.signal)
  choose(location.hash.slice(1))
}

function leave() {
  following.abort()
  sessionStorage.removeItem('token')
  for (const url of thumbnails.values()) void url.then(URL.revokeObjectURL)
  thumbnails.clear()
  history.replaceState(null, '', ' ')
  choose('')
  at('login').hidden = false
  at('studio').hidden = at('who').hidden = true
}

/** What the token says, which only the server can tell to be true. */
function nameIn(jwt) {
  const bytes = Uint8Array.from(atob(jwt.split('.')[1].replace(/-/g, '+').replace(/_/g, '/')), (one) =>
    one.charCodeAt(0),
  )
  return JSON.parse(new TextDecoder().decode(bytes)).sub
}

// ── the list ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Reads the list when something has happened to one of these collections, and not more often than it can be shown. */
async function keepList(signal) {
  let isReading = false
  let isStale = false
  const read = async () => {
    isStale = true
    if (isReading) return
    isReading = true
    while (isStale && !signal.aborted) {
      isStale = false
      const { items } = await client.collections.list({ limit: 30, signal })
      if (!signal.aborted) showList(items)
    }
    isReading = false
  }
  try {
    for await (const event of client.followAll({ signal })) if (event.type !== 'progress') void read().catch(() => {})
  } catch (error) {
    // The token is too old, or from before the server was started.
    if (error instanceof ApiProblem && error.status === 401) leave()
    else throw error
  }
}

function showList(collections) {
  at('none').hidden = collections.length > 0
  at('list').replaceChildren(...collections.map(listed))
  const chosen = collections.find(({ id }) => id === location.hash.slice(1))
  if (chosen) void showChosen(chosen)
}

/** Colour is never the only sign. */
const marks = { running: '●', succeeded: '✓', failed: '✗', cancelled: '⊘' }

function listed({ id, description, state, round, created_at, progress: { done, total } }) {
  const item = document.createElement('li')
  const button = item.appendChild(document.createElement('button'))
  const mark = spanOf('mark', marks[state])
  mark.ariaHidden = 'true'
  const about = spanOf(`state is-${state}`, state === 'running' ? `${done} of ${total}` : state)
  about.prepend(mark)
  button.append(thumbnailOf(id, round, state), spanOf('name', description ?? 'A picture'), timeOf(created_at), about)
  button.ariaCurrent = String(id === location.hash.slice(1))
  button.addEventListener('click', () => choose(id))
  return item
}

/** The pictures of the list, by collection and round: each is read once. */
const thumbnails = new Map()

/** Nothing to look at stands there until there is a picture. */
function thumbnailOf(id, round, state) {
  if (state !== 'succeeded') return spanOf('thumbnail', '')
  const image = document.createElement('img')
  image.className = 'thumbnail'
  image.alt = ''
  const key = `${id} ${round}`
  if (!thumbnails.has(key))
    thumbnails.set(
      key,
      read(id, '200.png').then((bytes) => URL.createObjectURL(bytes)),
    )
  void thumbnails.get(key).then((url) => (image.src = url))
  return image
}

/** The time of today, else the day too. */
function timeOf(text) {
  const made = document.createElement('time')
  const at = new Date(text)
  const isToday = at.toDateString() === new Date().toDateString()
  made.dateTime = text
  made.textContent = isToday
    ? at.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' })
    : at.toLocaleString([], { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' })
  return made
}

function spanOf(name, text) {
  const made = document.createElement('span')
  made.className = name
  made.textContent = text
  return made
}

// ── one of them ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** It stands in the address, so that it is there again when the page is. */
function choose(id) {
  if (id) history.replaceState(null, '', `#${id}`)
  progress.hidden = id === ''
  at('choose').hidden = id !== ''
  for (const name of ['download', 'cancel', 'retry']) at(name).hidden = true
  at('results').replaceChildren()
  shown = ''
  if (id === '') return progress.removeAttribute('collection')
  progress.setAttribute('collection', id)
  for (const button of at('list').querySelectorAll('button')) button.ariaCurrent = 'false'
  void client
    .collection(id)
    .read()
    .then(showChosen)
    .catch(() => {})
}

/** The collection and round whose results are shown. */
let shown = ''

async function showChosen({ id, state, round }) {
  at('download').hidden = state !== 'succeeded'
  at('cancel').hidden = state !== 'running'
  at('retry').hidden = state !== 'failed' && state !== 'cancelled'
  if (state !== 'succeeded' || shown === `${id} ${round}`) return
  shown = `${id} ${round}`
  const { result } = await client.collection(id).read()
  const figures = await Promise.all(result.pictures.map((picture) => figureOf(id, picture)))
  if (shown === `${id} ${round}`) at('results').replaceChildren(...figures)
}

async function figureOf(id, { file, width, height, bytes }) {
  const item = document.createElement('li')
  const figure = item.appendChild(document.createElement('figure'))
  const image = figure.appendChild(document.createElement('img'))
  image.src = URL.createObjectURL(await read(id, file))
  image.alt = `${width} × ${height} pixels`
  image.width = Math.min(width, 220)
  const caption = figure.appendChild(document.createElement('figcaption'))
  caption.textContent = `${width} × ${height}, ${Math.ceil(bytes / 1000)} kB`
  // The name says how wide it was to be.
  if (width < parseInt(file))
    caption.append(document.createElement('br'), `not ${parseInt(file)}: the picture is no wider`)
  return item
}

async function read(id, file) {
  const answer = await fetch(`/pictures/${id}/${file}`, { headers: { authorization: `Bearer ${token}` } })
  return answer.blob()
}

at('download').addEventListener('click', async () => {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(await read(location.hash.slice(1), 'pictures.zip'))
  link.download = 'pictures.zip'
  link.click()
})
at('cancel').addEventListener('click', () => client.collection(location.hash.slice(1)).cancel())
at('retry').addEventListener('click', () => client.collection(location.hash.slice(1)).retry())
progress.addEventListener('settled', () => client.collection(location.hash.slice(1)).read().then(showChosen))

// ── another picture ──────────────────────────────────────────────────────────────────────────────────────────────────

at('file').addEventListener('change', ({ target }) => {
  if (target.files[0]) void send(target.files[0], target.files[0].name)
  target.value = ''
})
at('sample').addEventListener('click', async () => void send(await drawSample(), 'Sample'))

const drop = document.querySelector('.drop')
drop.addEventListener('dragover', (event) => {
  event.preventDefault()
  drop.classList.add('over')
})
drop.addEventListener('dragleave', () => drop.classList.remove('over'))
drop.addEventListener('drop', (event) => {
  event.preventDefault()
  drop.classList.remove('over')
  const [file] = event.dataTransfer.files
  if (file) void send(file, file.name)
})

async function send(bytes, name) {
  at('problem').hidden = true
  const answer = await fetch(`/pictures?${new URLSearchParams({ name })}`, {
    method: 'POST',
    body: bytes,
    headers: { authorization: `Bearer ${token}` },
  })
  const told = await answer.json()
  if (answer.ok) return choose(told.id)
  at('problem').textContent = told.detail
  at('problem').hidden = false
}

/** A large picture, so that there is something to do. */
async function drawSample() {
  const canvas = new OffscreenCanvas(2400, 1600)
  const pen = canvas.getContext('2d')
  const sky = pen.createLinearGradient(0, 0, 2400, 1600)
  for (const [n, colour] of ['#1b2a49', '#7b4b94', '#f0876a', '#ffd9a0'].entries()) sky.addColorStop(n / 3, colour)
  pen.fillStyle = sky
  pen.fillRect(0, 0, 2400, 1600)
  for (let n = 0; n < 60; n++) {
    pen.beginPath()
    pen.arc((n * 397) % 2400, 1000 + ((n * 211) % 600), 40 + ((n * 53) % 120), 0, 7)
    pen.fillStyle = `hsl(${220 + n} 45% ${18 + (n % 9) * 3}% / 0.5)`
    pen.fill()
  }
  return canvas.convertToBlob({ type: 'image/png' })
}

if (token) enter(token)
else at('login').hidden = false
