// copies shows the buttons that copy the text of another element. They are hidden in the page,
// because they do nothing without a script.
export function copies(): void {
  for (const b of document.querySelectorAll<HTMLButtonElement>("button[data-copy]")) {
    const from = document.getElementById(b.dataset.copy ?? "");
    if (!from || !navigator.clipboard) continue;
    b.hidden = false;
    b.addEventListener("click", async () => {
      const label = b.textContent;
      try {
        await navigator.clipboard.writeText(from.textContent ?? "");
        b.textContent = "Copied";
      } catch {
        b.textContent = "Select the text to copy it";
      }
      setTimeout(() => (b.textContent = label), 2000);
    });
  }
}
