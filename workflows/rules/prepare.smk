# Data sets that have to be prepared, in the folder of the machine's data, outside the results: the
# next workflow finds them there. On the machine that runs Snakemake, as clusters' nodes often have
# no network.
rule prepare:
    output:
        str(prepared_folder("{store}") / MANIFEST),
    log:
        f"{RESULTS}/logs/prepare/{{store}}.log",
    params:
        arguments=lambda wildcards: PREPARATIONS[wildcards.store],
    shell:
        "agc data prepare {params.arguments:q} > {log:q} 2>&1"
