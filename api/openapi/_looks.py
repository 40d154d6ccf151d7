"""The reference page's style and script: they stand in the page, whose policy allows these two and nothing else."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark; --line: #8884; --dim: #7778; --accent: #2563a8; }
@media (prefers-color-scheme: dark) { :root { --accent: #7db4ee; } }
* { box-sizing: border-box; }
body { margin: 0; font: 15px/1.5 system-ui, sans-serif; display: grid; grid-template-columns: 21rem minmax(0, 1fr); }
nav { position: sticky; top: 0; height: 100vh; overflow: auto; padding: 1rem; border-right: 1px solid var(--line); }
nav h1 { font-size: 1.15rem; margin: 0 0 .7rem; }
nav h2 { font-size: .8rem; margin: 1rem 0 .2rem; color: var(--dim); }
nav ul { list-style: none; margin: 0; padding: 0; }
nav li a { display: block; padding: .05rem 0; font-size: .82rem; overflow-wrap: anywhere; }
nav b { display: inline-block; min-width: 3.4em; font-size: .7rem; }
input { width: 100%; font: inherit; padding: .3rem .5rem; margin: .2rem 0 .4rem; }
main { padding: 1rem 2rem 4rem; max-width: 64rem; }
section { border-top: 1px solid var(--line); padding: 1rem 0; }
h3 { font-size: 1.1rem; margin: 0; }
h4 { margin: .9rem 0 .2rem; font-size: .9rem; }
a { color: var(--accent); text-decoration: none; }
a:hover, a:focus { text-decoration: underline; }
table { border-collapse: collapse; width: 100%; }
td { border-bottom: 1px solid var(--line); padding: .25rem .8rem .25rem 0; vertical-align: top; overflow-wrap: anywhere; }
td:first-child { width: 40%; }
i { color: #b3541e; font-size: .8rem; font-style: normal; }
pre { overflow: auto; padding: .7rem; border: 1px solid var(--line); border-radius: 4px; font-size: .82rem; }
[hidden] { display: none; }
@media (max-width: 50rem) { body { display: block; } nav { position: static; height: auto; } main { padding: 1rem; } }
"""

SCRIPT = """
const search = document.getElementById("search");
const sections = [...document.querySelectorAll("main section")];
const texts = new Map(sections.map(one => [one, (one.id + " " + one.textContent).toLowerCase()]));
const links = new Map([...document.querySelectorAll("nav li")].map(one => [one.dataset.of, one]));
function filter() {
  const words = search.value.toLowerCase().split(/\\s+/).filter(Boolean);
  let shown = 0;
  for (const one of sections) {
    const fits = words.every(word => texts.get(one).includes(word));
    one.hidden = !fits;
    links.get(one.id).hidden = !fits;
    shown += fits;
  }
  document.getElementById("none").hidden = shown > 0;
}
search.addEventListener("input", filter);
document.addEventListener("keydown", event => {
  if (event.key === "/" && document.activeElement !== search) { event.preventDefault(); search.focus(); }
});
"""
