// copies shows the buttons that copy the text of another element. They are hidden in the page,
// because they do nothing without a script.
export function copies(): void {
  share();
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

// share shows the button that copies the address of the page.
function share(): void {
  for (const b of document.querySelectorAll<HTMLButtonElement>("button[data-share]")) {
    if (!navigator.clipboard) continue;
    b.hidden = false;
    b.addEventListener("click", () => {
      const here = new URL(location.href);
      here.searchParams.delete("again");
      navigator.clipboard.writeText(here.href).then(() => (b.textContent = "Address copied"), () => {});
    });
  }
}
