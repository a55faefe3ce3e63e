"""Which variables of a job's environment go into its container, and which its runtime needs; all else stays out."""

from __future__ import annotations

# What batch systems tell their jobs, and what the worker asks for.
SCHEDULER = (
    "_CONDOR_CHIRP_CONFIG",
    "_CONDOR_JOB_AD",
    "_CONDOR_MACHINE_AD",
    "_CONDOR_SCRATCH_DIR",
    "SLURMD_NODENAME",
    "SLURM_ARRAY_JOB_ID",
    "SLURM_ARRAY_TASK_ID",
    "SLURM_JOB_ID",
    "SLURM_RESTART_COUNT",
)
DEVICES = ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")
# How the libraries compute and what they print; set by Gridloom and by users who know what they do.
LIBRARIES = (
    "CUDA_CACHE_DISABLE",
    "KERAS_BACKEND",
    "MKL_NUM_THREADS",
    "NPROC",
    "NUMEXPR_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_CORETYPE",
    "OPENBLAS_NUM_THREADS",
    "TF_CPP_MIN_LOG_LEVEL",
    "TF_DETERMINISTIC_OPS",
    "TF_ENABLE_ONEDNN_OPTS",
    "TF_NUM_INTEROP_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_XLA_FLAGS",
    "XLA_FLAGS",
)
# About the container: set by whoever starts it.
IMAGE = "GRIDLOOM_IMAGE"
DIGEST = "GRIDLOOM_IMAGE_DIGEST"
RUNTIME = "GRIDLOOM_RUNTIME"
STARTED = "GRIDLOOM_STARTED"
NODE = "GRIDLOOM_NODE"
OWN = (IMAGE, DIGEST, RUNTIME, STARTED, NODE)
INSIDE = (*SCHEDULER, *DEVICES, *LIBRARIES, *OWN)

# For the runtime itself: where it finds its programs, daemon, settings and temporary space. What it would take into
# the container by itself (APPTAINER_BIND, APPTAINERENV_..., ...) is not among these.
OUTSIDE = (
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "TMPDIR",
    "XDG_RUNTIME_DIR",
    "DBUS_SESSION_BUS_ADDRESS",
    "APPTAINER_CACHEDIR",
    "APPTAINER_TMPDIR",
    "SINGULARITY_CACHEDIR",
    "SINGULARITY_TMPDIR",
    "CONTAINERS_CONF",
    "CONTAINERS_STORAGE_CONF",
    "DOCKER_CERT_PATH",
    "DOCKER_CONFIG",
    "DOCKER_CONTEXT",
    "DOCKER_HOST",
    "DOCKER_TLS_VERIFY",
)
