/** Tells the bench where this server is and, when it asks, what the process has taken: bytes of memory, µs of processor. */
export function answerQuestions(url) {
  process.on('message', () => {
    // What is garbage already is not what it needs.
    globalThis.gc?.()
    const { user, system } = process.cpuUsage()
    process.send({ memory: process.memoryUsage.rss(), processor: user + system })
  })
  process.send(url)
}
