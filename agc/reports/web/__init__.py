"""The page of a grid: one HTML file that needs neither a server nor the network.

No library draws it. Its tables are tables, its forest is one with a picture in each row, and its
curves are SVG, so that a printer, a phone and a screen reader have them as well as a browser; 120
lines of script sort, filter and read them out. A plotting library would add a megabyte to each page
for canvases that those cannot read.
"""
