# Attacks on trained cells, and their records.
if config["evaluations_per_job"] == 1:

    rule evaluate:
        input:
            stamp("{cell}"),
            lambda wildcards: data(wildcards.cell),
        output:
            record("{cell}"),
        log:
            f"{RESULTS}/logs/evaluate/{{cell}}.log",
        threads: 1
        resources:
            device=config["device"],
            gpu=GPUS,
            mem_mb=lambda wildcards, input: megabytes(
                [wildcards.cell], input, "attacks"
            ),
            runtime=lambda wildcards, input: minutes([wildcards.cell], input, "attacks"),
        params:
            cells=place(folder("{cell}")),
        shell:
            EVALUATE

else:
    for number, cells in enumerate(jobs(config["evaluations_per_job"])):

        rule:
            name:
                f"evaluate_{number}"
            input:
                [stamp(cell) for cell in cells],
                [data(cell) for cell in cells],
            output:
                [record(cell) for cell in cells],
            log:
                f"{RESULTS}/logs/evaluate/{number}.log",
            threads: 1
            resources:
                device=config["device"],
                gpu=GPUS,
                mem_mb=lambda wildcards, input, cells=cells: megabytes(
                    cells, input, "attacks"
                ),
                runtime=lambda wildcards, input, cells=cells: minutes(
                    cells, input, "attacks"
                ),
            params:
                cells=[place(folder(cell)) for cell in cells],
            shell:
                EVALUATE
