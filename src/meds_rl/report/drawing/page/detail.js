// One completion in full: its text, its penalty and the reason.
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
      row.runOf.has_memory ? el("p", { class: "why" }, putText(el("span"), row.why ?? "")) : null,
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
  add("Answer", row.answer ?? (row.runOf.answers_known === false ? "not found" : "none"));
  add("Outcome", row.outcome);
  add("Right answer", row.promptOf.gold);
  add("Strategy", row.strategy);
  add("Penalty", row.runOf.has_memory ? number(row.penalty, 3) : null);
  add("Cluster when it was scored", row.runOf.has_memory ? `${clusterName(row)}${row.cluster_size > 0 ? `, which counted ${short(row.cluster_size)} remembered completions (|C|)` : ", with no remembered completions (|C| = 0)"}` : null);
  add("Reward", row.runOf.has_memory ? `${number(row.reward, 3)} raw, ${number(row.shaped_reward, 3)} shaped` : number(row.reward ?? row.shaped_reward, 3));
  add("Advantage", row.advantage === null ? null : number(row.advantage, 3));
  add("Length", row.num_tokens === null || row.num_tokens < 0 ? null : `${number(row.num_tokens)} tokens`);
  return list;
}

function setUpDetail() {
  const dialog = document.getElementById("detail");
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close(); // a click beside it
  });
}
