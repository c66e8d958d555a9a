// One completion in full: what it said, what it cost and why.
"use strict";

function showCompletion(report, index, query) {
  const row = completionOf(report, index);
  const dialog = document.getElementById("detail");
  const close = el("button", { type: "button" }, "Close");
  close.addEventListener("click", () => dialog.close());
  dialog.replaceChildren(
    el("div", { class: "head" }, el("h2", { id: "detail-title" }, row.is_correct ? "A right completion" : "A wrong completion"), close),
    el("div", { class: "body" },
      el("div", {}, el("h3", {}, "Prompt"), textBlock(row.promptOf.text)),
      el("div", {}, el("h3", {}, "Completion"), textBlock(row.text, query)),
      el("p", { class: "why" }, putText(el("span"), row.why ?? "")),
      facts(report, row)));
  dialog.showModal();
  dialog.scrollTop = 0;
  close.focus();
}

function facts(report, row) {
  const list = el("dl", { class: "facts" });
  const add = (name, value) => {
    if (value === null || value === undefined || value === "") return;
    list.append(el("dt", {}, name), value instanceof Node ? el("dd", {}, value) : putText(el("dd"), plain(value, 400)));
  };
  if (report.runs.length > 1) add("Run", runTitle(report, row.runOf));
  add("Step", number(row.step));
  add("Answer", row.answer ?? "none");
  add("Right answer", row.promptOf.gold);
  add("Way of working", row.strategy);
  add("Penalty", number(row.penalty, 3));
  add("Cluster when it was scored", row.runOf.has_memory ? `${clusterName(row)}, |C| = ${short(row.cluster_size)}` : null);
  add("Reward", `${number(row.reward, 3)} raw, ${number(row.shaped_reward, 3)} shaped`);
  add("Advantage", number(row.advantage, 3));
  add("Length", row.num_tokens === null ? null : `${number(row.num_tokens)} tokens`);
  return list;
}

function setUpDetail() {
  const dialog = document.getElementById("detail");
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close(); // a click beside it
  });
}
