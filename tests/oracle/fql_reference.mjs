// Segment's own evaluator behind JSON lines: one case a line on stdin, one answer a line on stdout, in order.
// Usage: node fql_reference.mjs FOLDER, where FOLDER holds node_modules/@segment/destination-subscriptions.
// Or set FQL_REFERENCE to FOLDER. Needed by tests and benchmarks only.

import { createRequire } from 'node:module'
import { resolve } from 'node:path'

const folder = resolve(process.argv[2] ?? process.env.FQL_REFERENCE ?? '.')
const { generateFql, parseFql, validate } = createRequire(folder + '/')('@segment/destination-subscriptions')

const KINDS = {
  fql: ({ fql, event }) => validate(parseFql(fql), event),
  'fql-parse': ({ fql }) => {
    const tree = parseFql(fql)
    if (tree.error) throw tree.error
    return tree
  },
  'fql-ast': ({ ast, event }) => validate(ast, event),
  'fql-gen': ({ ast }) => generateFql(ast),
  // How long one evaluation takes, in nanoseconds: parsed once, as we do it, and parsed each time, as Segment does it.
  'fql-time': ({ fql, event, times }) => {
    const tree = parseFql(fql)
    return {
      validate: nanoseconds(times, () => validate(tree, event)),
      parse_and_validate: nanoseconds(times, () => validate(parseFql(fql), event)),
    }
  },
}

function nanoseconds(times, run) {
  let matched = 0
  const start = process.hrtime.bigint()
  for (let i = 0; i < times; i++) matched += run() ? 1 : 0
  const spent = process.hrtime.bigint() - start
  return matched < 0 ? 0 : Number(spent) / times
}

function answer(line) {
  const { id, kind, ...rest } = JSON.parse(line)
  try {
    return { id, ok: true, result: KINDS[kind](rest) }
  } catch (error) {
    return { id, ok: false, error: { messages: [String(error?.message ?? error)] } }
  }
}

// Split on line feeds only: node's own readline splits on U+2028 and lone carriage returns too.
let rest = ''
for await (const chunk of process.stdin.setEncoding('utf8')) {
  const lines = (rest + chunk).split('\n')
  rest = lines.pop()
  process.stdout.write(lines.map((line) => JSON.stringify(answer(line)) + '\n').join(''))
}
if (rest) process.stdout.write(JSON.stringify(answer(rest)) + '\n')
