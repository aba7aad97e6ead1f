"""Tables of a comparison: CSV, Markdown, LaTeX, HTML, and the terminal."""
