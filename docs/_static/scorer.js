// Sphinx's own scores, and guides before the reference, and both before what is read on purpose only.
var Scorer = {
  score: ([page, title, anchor, description, score]) => {
    if (/^(decisions|project)\//.test(page)) return score - 20;
    if (/^how-to\/(?!index)/.test(page)) return score + 5;
    return score;
  },
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: {0: 15, 1: 5, 2: -5},
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
