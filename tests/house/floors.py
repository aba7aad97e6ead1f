"""The floors of the house: which folder of ``agc`` may import which, lowest first.

``GROUND`` are the modules at the root that everybody may use, and that use nobody else.
"""

GROUND = {"errors", "files", "lazy", "places", "registry", "rng", "state"}

FLOORS: dict[str, set[str]] = {
    # The machine and the mathematics.
    "processes": set(),
    "machine": {"processes"},
    "gradients": set(),
    "sparsity": {"gradients"},
    # The axes, each upon those that it needs.
    "datasets": {"processes"},
    "architectures": {"datasets", "machine"},
    "cost": {"architectures", "gradients", "sparsity"},
    "attacks": {"architectures", "gradients", "processes"},
    "objectives": {"architectures", "attacks", "cost", "datasets", "gradients"},
    "optimizers": {"cost"},
    "methods": {"gradients", "processes", "sparsity"},
    "quantization": {"cost", "methods", "processes", "sparsity"},
    "corrections": {"cost", "gradients", "methods", "processes", "sparsity"},
    "compressors": set(),
    "communication": {"compressors", "cost", "gradients", "methods", "processes", "sparsity"},
    # What is to be run.
    "grids": {"architectures", "attacks", "datasets", "gradients"},
    "planning": {"architectures", "datasets", "grids", "machine", "optimizers"},
    # The algorithm, a cell's files, and doing one cell.
    "training": {
        *("architectures", "attacks", "communication", "corrections", "cost", "datasets"),
        *("gradients", "grids", "machine", "methods", "objectives", "optimizers", "processes"),
        *("quantization", "sparsity"),
    },
    "dynamics": {"architectures", "corrections", "gradients", "grids", "methods", "training"},
    "records": {
        *("architectures", "cost", "grids", "machine", "optimizers", "processes"),
        *("quantization", "sparsity", "training"),
    },
    "evaluation": {
        *("architectures", "attacks", "corrections", "cost", "datasets", "gradients", "grids"),
        *("machine", "methods", "objectives", "sparsity", "training"),
    },
    "runs": {
        *("architectures", "attacks", "cost", "datasets", "dynamics", "evaluation", "gradients"),
        *("grids", "machine", "processes", "records", "training"),
    },
    # What is made of finished cells.
    "reports": {"dynamics", "grids", "machine", "planning", "records"},
    "tracking": {"grids", "reports"},
    "status": {"grids", "planning", "records"},
    # What is asked of entries, of speed, and of a user.
    "conformance": {
        *("architectures", "attacks", "communication", "compressors", "corrections", "cost"),
        *("datasets", "evaluation", "gradients", "grids", "methods", "objectives"),
        *("optimizers", "planning", "quantization"),
        *("records", "sparsity", "training"),
    },
    "benchmarks": {
        *("architectures", "attacks", "datasets", "gradients", "grids", "machine", "objectives"),
        *("planning", "training"),
    },
    "commands": {
        *("benchmarks", "conformance", "cost", "datasets", "dynamics", "evaluation", "grids"),
        *("machine", "planning", "processes", "records", "reports", "runs", "sparsity"),
        *("status", "tracking"),
    },
}

AXES = ("architectures", "attacks", "corrections", "datasets", "methods", "objectives")
AXES += ("communication", "compressors", "optimizers", "quantization")
