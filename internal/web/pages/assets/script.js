// SPDX-License-Identifier: Apache-2.0
// Times in the reader's zone, and Copy. Everything else works without it.
"use strict";
for (const t of document.querySelectorAll("time[datetime]")) {
  const at = new Date(t.dateTime);
  if (!Number.isNaN(at.getTime())) {
    t.title = t.textContent;
    t.textContent = at.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
  }
}
for (const b of document.querySelectorAll("[data-copy]")) {
  b.addEventListener("click", async () => {
    const source = document.getElementById(b.dataset.copy);
    const said = document.getElementById("copied");
    try {
      await navigator.clipboard.writeText(source.textContent);
      b.textContent = "Copied";
      said.textContent = "Copied to the clipboard.";
    } catch {
      getSelection().selectAllChildren(source);
      said.textContent = "Press Ctrl+C to copy what is selected.";
    }
  });
}
