# From records to tables, figures, the MLflow mirror and the page; one job a grid.
rule collect:
    input:
        lambda wildcards: records(slugs(wildcards.grid)),
        lambda wildcards: predictions(wildcards.grid),
    output:
        records=f"{RESULTS}/{{grid}}/records.parquet",
        epochs=f"{RESULTS}/{{grid}}/epochs.parquet",
        logs=report(
            f"{RESULTS}/{{grid}}/train.log",
            caption="../report/logs.rst",
            category="Runs",
            labels={"what": "logs of all cells"},
        ),
    log:
        f"{RESULTS}/logs/collect/{{grid}}.log",
    params:
        grid=lambda wildcards: GRIDS[wildcards.grid].path,
        results=lambda wildcards: place(RESULTS),
        partial="--partial" if config["partial"] else "",
    shell:
        handed_over(
            "agc collect {params.grid:q} --results {params.results:q} {params.partial} > {log:q} 2>&1"
        )


rule compare:
    input:
        records=rules.collect.output.records,
        epochs=rules.collect.output.epochs,
    output:
        readme=f"{REPORTS}/{{grid}}/README.md",
        comparison=f"{REPORTS}/{{grid}}/comparison.csv",
        pooled=f"{REPORTS}/{{grid}}/pooled.csv",
        claims=f"{REPORTS}/{{grid}}/claims.csv",
        records=f"{REPORTS}/{{grid}}/records.parquet",
        epochs=f"{REPORTS}/{{grid}}/epochs.parquet",
        provenance=f"{REPORTS}/{{grid}}/provenance.json",
        page=report(
            f"{REPORTS}/{{grid}}/tables/comparison.html",
            caption="../report/comparison.rst",
            category="Comparison",
            labels={"grid": "{grid}", "what": "all tables"},
        ),
        figures=report(
            directory(f"{REPORTS}/{{grid}}/figures"),
            patterns=["{figure}.svg"],
            caption="../report/figure.rst",
            category="Figures",
            labels={"grid": "{grid}", "figure": "{figure}"},
        ),
    log:
        f"{RESULTS}/logs/compare/{{grid}}.log",
    params:
        grid=lambda wildcards: GRIDS[wildcards.grid].path,
        results=lambda wildcards: place(RESULTS),
        reports=lambda wildcards: place(REPORTS),
    shell:
        handed_over(
            "agc compare {params.grid:q} --results {params.results:q}"
            " --reports {params.reports:q} > {log:q} 2>&1"
        )


# After the tables, which say what MLflow's page shows of the arms.
rule track:
    input:
        lambda wildcards: records(slugs(wildcards.grid)),
        rules.compare.output.comparison,
    output:
        f"{RESULTS}/{{grid}}/tracking.json",
    log:
        f"{RESULTS}/logs/track/{{grid}}.log",
    params:
        grid=lambda wildcards: GRIDS[wildcards.grid].path,
        results=lambda wildcards: place(RESULTS),
        reports=lambda wildcards: place(REPORTS),
    shell:
        "agc track sync {params.grid:q} --results {params.results:q}"
        " --reports {params.reports:q} --report {output:q} --tolerant > {log:q} 2>&1"


# Once more, with the ways to the runs in MLflow. A study in stages has its page from `compare`.
rule page:
    input:
        rules.compare.output.comparison,
        rules.track.output if config["track"] else [],
    output:
        f"{REPORTS}/{{grid}}/report.html",
    log:
        f"{RESULTS}/logs/page/{{grid}}.log",
    params:
        grid=lambda wildcards: GRIDS[wildcards.grid].path,
        results=lambda wildcards: place(RESULTS),
        reports=lambda wildcards: place(REPORTS),
    shell:
        handed_over(
            "agc report {params.grid:q} --results {params.results:q}"
            " --reports {params.reports:q} > {log:q} 2>&1"
        )
