#!/usr/bin/env bash
# The eighth `on()` makes a saxes parser several times slower, whatever the handler does and though its event never comes.
#
# Version    saxes 6.0.0 (seen with Node.js 20.20 and 26.10)
# Input      one well-formed document of 1 MB, elements and text only; seven handlers, then eight. The handlers are empty, the
#            eighth one is for comments, which the document does not have.
# Expected   the same time
# Seen       7 handlers 15 – 22 ms, 8 handlers 83 – 104 ms of CPU time (the ratio is 3.8 – 6.5)
# Why        on() adds a property to the parser after its construction; V8 gives an object that has grown so far a dictionary in
#            place of fixed slots (%HasFastProperties: true with seven, false with eight), and the parser reads its own fields for
#            every character.
# Source     saxes.js, `on(name, handler)`; V8's blog, "Fast properties in V8" (2017), on in-object properties and dictionary mode
# Needs      Node.js 20 or newer with npm. Exits 0 while it is so (at least 3 times slower), 1 when it has changed.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-audit --no-fund --prefix . saxes@6.0.0 >/dev/null
cat > time.cjs <<'JS'
const { SaxesParser } = require("saxes");
const EVENTS = ["error", "text", "opentagstart", "attribute", "opentag", "closetag", "cdata", "comment"];
let text = "<all>";
for (let at = 0; text.length < 1e6; at++) text += `<entry><key>folder/key-${at}</key><version>null</version></entry>`;
text += "</all>";
let best = Infinity;
for (let round = 0; round < 15; round++) {
  const parser = new SaxesParser();
  for (const event of EVENTS.slice(0, Number(process.argv[2]))) parser.on(event, () => {});
  const began = process.cpuUsage();
  parser.write(text).close();
  best = Math.min(best, process.cpuUsage(began).user / 1000);
}
console.log(best.toFixed(1));
JS
seven=$(for _ in 1 2 3; do node time.cjs 7; done | sort -n | head -1)
eight=$(for _ in 1 2 3; do node time.cjs 8; done | sort -n | head -1)
echo "7 handlers $seven ms, 8 handlers $eight ms (CPU time, the best of 45)"
node -e 'process.exit(Number(process.argv[2]) >= 3 * Number(process.argv[1]) ? 0 : 1)' "$seven" "$eight" || { echo changed; exit 1; }
