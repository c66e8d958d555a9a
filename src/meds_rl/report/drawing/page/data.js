// The report's data lies in the page as gzipped JSON.
"use strict";

async function readReport() {
  const packed = atob(document.getElementById("data").textContent);
  const bytes = new Uint8Array(packed.length);
  for (let place = 0; place < packed.length; place += 1) bytes[place] = packed.charCodeAt(place);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

// One completion as an object, with its prompt and its run.
function completionOf(report, index) {
  const columns = report.completions;
  const row = {};
  for (const name of Object.keys(columns)) row[name] = columns[name][index];
  row.runOf = report.runs.find((run) => run.id === row.run);
  row.text ??= "(not in this page, which would be too large with all texts)";
  row.promptOf = report.prompts[row.prompt];
  return row;
}

// What a prompt asks, without roles and system prompt.
function wordsOf(prompt) {
  return prompt.words || prompt.text;
}

function clusterName(row) {
  const names = { "-1": "noise: in no cluster", "-2": "no answer", "-3": "not seen before", "-4": "not scored" };
  return names[row.cluster] ?? `cluster ${row.cluster}`;
}
