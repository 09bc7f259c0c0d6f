// Segment's own mapping kit behind JSON lines: {"id", "kind": "map" | "map-batch" | "keys", …} in, {"id", "ok", …} out.
// Usage: node mapping_reference.mjs DIR, where DIR has node_modules/@segment/actions-core.
import { createRequire } from 'node:module'
import { resolve } from 'node:path'
import { createInterface } from 'node:readline'

process.env.TZ = 'UTC'
const directory = resolve(process.argv[2])
const require = createRequire(directory + '/')
const kit = directory + '/node_modules/@segment/actions-core/dist/cjs/mapping-kit/'
const { transform, transformBatch } = require(kit + 'index.js')
const { getFieldValueKeys } = require(kit + 'value-keys.js')

const kinds = {
  map: (line) => transform(line.mapping, line.event),
  'map-batch': (line) => transformBatch(line.mapping, line.events),
  keys: (line) => getFieldValueKeys(line.value)
}

function messagesOf(error) {
  if (error && typeof error[Symbol.iterator] === 'function' && error.name === 'AggregateError') {
    return Array.from(error, (single) => single.message)
  }
  return [String(error && error.message)]
}

for await (const text of createInterface({ input: process.stdin, crlfDelay: 0 })) {
  const line = JSON.parse(text)
  let answer
  try {
    answer = { id: line.id, ok: true, result: kinds[line.kind](line) }
  } catch (error) {
    answer = { id: line.id, ok: false, error: { messages: messagesOf(error) } }
  }
  process.stdout.write(JSON.stringify(answer) + '\n')
}
