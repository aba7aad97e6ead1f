"""The look of the HTML page: light and dark, on a wide screen and on a phone."""

STYLE = """
:root { --ink: #1b1b1b; --paper: #ffffff; --line: #d5d5d5; --soft: #f5f5f3; --link: #00558f; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e4e2; --paper: #16181a; --line: #3c4043; --soft: #202326; --link: #7db8ea; }
  figure { background: #ffffff; border-radius: 4px; }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { background: var(--paper); color: var(--ink); font: 15px/1.55 system-ui, sans-serif;
  margin: 0 auto; max-width: 82rem; padding: 1rem; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0.5rem 0 1rem; }
h2 { border-top: 1px solid var(--line); font-size: 1.2rem; margin: 2.2rem 0 0.6rem;
  padding-top: 1rem; }
h3 { font-size: 1rem; margin: 1.6rem 0 0.4rem; }
p, ul { max-width: 46rem; overflow-wrap: break-word; }
a { color: var(--link); }
code { background: var(--soft); border-radius: 3px; font-size: 0.88em; overflow-wrap: anywhere;
  padding: 0.1em 0.25em; }
pre { background: var(--soft); overflow-x: auto; padding: 0.6rem 0.8rem; }
.wide { overflow-x: auto; margin: 0.6rem 0 1.2rem; }
table { border-collapse: collapse; font-size: 0.88rem; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid var(--line); padding: 0.3rem 0.6rem; text-align: left;
  vertical-align: top; }
th { border-bottom: 2px solid var(--line); }
td:nth-child(2) { min-width: 8rem; }
tbody tr:hover { background: var(--soft); }
figure { margin: 0.8rem 0; max-width: 900px; padding: 0.4rem; }
img { display: block; height: auto; max-width: 100%; }
nav { font-size: 0.92rem; }
nav ol { columns: 9rem; margin: 0.3rem 0; padding-left: 1.6rem; }
summary { cursor: pointer; font-weight: 600; margin: 0.5rem 0; }
@media (min-width: 75rem) {
  body { display: grid; gap: 2.5rem; grid-template-columns: 13rem minmax(0, 1fr); }
  nav { align-self: start; max-height: 100vh; overflow-y: auto; position: sticky; top: 1rem; }
}
@media (max-width: 40rem) {
  body { padding: 0.7rem; }
  table { font-size: 0.8rem; line-height: 1.35; }
  th, td { padding: 0.25rem 0.35rem; }
}
@media print { nav { display: none; } }
"""
