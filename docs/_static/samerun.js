// Names for a screen reader where the theme gives none, or another one than is shown.
for (const button of document.querySelectorAll(".search-button-field")) button.removeAttribute("aria-label");
for (const summary of document.querySelectorAll("nav details > summary")) {
  const link = summary.closest("li").querySelector("a");
  summary.setAttribute("aria-label", `Pages below ${link.textContent.trim()}`);
}
