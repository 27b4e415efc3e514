// Names for a screen reader where the theme gives none, or another one than is shown.
const nameSearch = () => {
  for (const button of document.querySelectorAll(".search-button-field")) {
    if (button.innerText.trim()) button.removeAttribute("aria-label"); // its text is its name
    else button.setAttribute("aria-label", "Search"); // a narrow page hides the text
  }
};
nameSearch();
addEventListener("resize", nameSearch);
for (const summary of document.querySelectorAll("nav details > summary")) {
  const link = summary.closest("li").querySelector("a");
  summary.setAttribute("aria-label", `Pages below ${link.textContent.trim()}`);
}
