rule plan:
    output:
        [f"{folder(cell)}/cell.json" for cell in CELLS],
    log:
        f"{RESULTS}/logs/plan.log",
    resources:
        device=config["device"],
    params:
        grids=config["grid"].split(","),
        results=lambda wildcards: place(RESULTS),
    shell:
        handed_over(
            "agc plan {params.grids:q} --write --results {params.results:q}"
            " --device {resources.device} > {log:q} 2>&1"
        )
