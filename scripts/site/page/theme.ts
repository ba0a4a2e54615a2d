/** Light or dark as the reader has chosen, before anything is drawn; by default as the system has it. */
const chosen = localStorage.getItem('facet-theme')
if (chosen) document.documentElement.dataset.theme = chosen
