# One job a cell, or bundles of short cells in one process: its imports cost more than they do.
if config["cells_per_job"] == 1:

    rule train:
        input:
            spec("{cell}"),
            lambda wildcards: data(wildcards.cell),
            lambda wildcards: start(wildcards.cell),
        output:
            stamp("{cell}"),
        log:
            f"{RESULTS}/logs/train/{{cell}}.log",
        benchmark:
            f"{RESULTS}/benchmarks/train/{{cell}}.tsv"
        threads: lambda wildcards: devices([wildcards.cell])
        resources:
            device=config["device"],
            gpu=lambda wildcards: GPUS * devices([wildcards.cell]),
            process_threads=lambda wildcards, threads: each([wildcards.cell], threads),
            mem_mb=lambda wildcards, input: megabytes([wildcards.cell], input, "train"),
            runtime=lambda wildcards, input: minutes([wildcards.cell], input, "train"),
        params:
            cells=place(folder("{cell}")),
        shell:
            TRAIN

else:
    for number, cells in enumerate(jobs(config["cells_per_job"])):

        rule:
            name:
                f"train_{number}"
            input:
                [spec(cell) for cell in cells],
                [data(cell) for cell in cells],
                [start(cell) for cell in cells],
            output:
                [stamp(cell) for cell in cells],
            log:
                f"{RESULTS}/logs/train/{number}.log",
            benchmark:
                f"{RESULTS}/benchmarks/train/{number}.tsv"
            threads: devices(cells)
            resources:
                device=config["device"],
                gpu=GPUS * devices(cells),
                process_threads=lambda wildcards, threads, cells=cells: each(
                    cells, threads
                ),
                mem_mb=lambda wildcards, input, cells=cells: megabytes(
                    cells, input, "train"
                ),
                runtime=lambda wildcards, input, cells=cells: minutes(
                    cells, input, "train"
                ),
            params:
                cells=[place(folder(cell)) for cell in cells],
            shell:
                TRAIN
