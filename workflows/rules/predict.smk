# When fine-tunings will be good, from the weights that they start from, beside their training. One job a
# grid: cells that start alike share what takes longest.
rule predict:
    input:
        lambda wildcards: [
            path for cell in tuned(wildcards.grid) for path in start(cell)
        ],
        lambda wildcards: [spec(cell) for cell in tuned(wildcards.grid)],
    output:
        f"{RESULTS}/{{grid}}/.predicted",
    log:
        f"{RESULTS}/logs/predict/{{grid}}.log",
    threads: 1
    params:
        grid=lambda wildcards: GRIDS[wildcards.grid].path,
        results=lambda wildcards: place(RESULTS),
    shell:
        "agc predict {params.grid:q} --results {params.results:q} --threads {threads}"
        " > {log:q} 2>&1"
        " && touch {output:q}"
