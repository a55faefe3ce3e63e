# Sourced by up, down and service: where the testbed lives, and small helpers.
# shellcheck shell=bash

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
FOLDER=${GRIDLOOM_TESTBED:-/var/tmp/gridloom-testbed}

die() { printf 'testbed: %s\n' "$*" >&2; exit 1; }

[[ $FOLDER == /* ]] || die "GRIDLOOM_TESTBED must be an absolute path, not '$FOLDER'."
# The path ends up in configuration files, in patched programs and in socket names (at most 108 characters).
[[ $FOLDER =~ ^[A-Za-z0-9/._+-]+$ ]] ||
  die "GRIDLOOM_TESTBED='$FOLDER' holds a blank or an unusual character; choose a path of letters, digits and / . _ + -."
FOLDER=$(realpath -m "$FOLDER")
(( ${#FOLDER} <= 50 )) || die "the path $FOLDER is longer than 50 characters; choose a shorter GRIDLOOM_TESTBED."
case $FOLDER in /|/tmp|/var|/var/tmp|/usr|/etc|/home|/root|/opt|/run|/srv)
  die "$FOLDER is not a folder of the testbed's own; choose a path below it." ;; esac

PACKAGES=$FOLDER/packages
ROOT=$PACKAGES/root
CONDOR_DIR=$FOLDER/condor
CONDOR_LOG=$FOLDER/log-condor
SLURM_DIR=$FOLDER/slurm
SLURM_LOG=$FOLDER/log-slurm
NODES=(node1 node2)

# A running testbed keeps the ports it was brought up with, whatever the environment says later.
# shellcheck source=/dev/null
if [[ -s $FOLDER/settings ]]; then . "$FOLDER/settings"; else
  CONDOR_PORT=${GRIDLOOM_TESTBED_CONDOR_PORT:-26618}
  SLURM_PORT=${GRIDLOOM_TESTBED_SLURM_PORT:-26817}
  CGROUP=${GRIDLOOM_TESTBED_CGROUP:-auto}
fi

need_root() {
  [[ $(id -u) == 0 ]] || die "this needs root: run it with sudo, or inside a container where you are root."
  command -v ps >/dev/null || die "the command ps is missing: apt-get install procps"
}

seconds_since() { awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }'; }

# retry SECONDS COMMAND...: until it succeeds
retry() {
  local end=$(( SECONDS + $1 )); shift
  until "$@" >/dev/null 2>&1; do
    (( SECONDS < end )) || return 1
    sleep 0.1
  done
}

# pid_of FILE PROGRAM: the pid in FILE if that process runs PROGRAM from this folder (a pid may be reused)
pid_of() {
  local pid
  [[ -s $1 ]] || return 1
  pid=$(<"$1"); pid=${pid%%[!0-9]*}
  [[ -n $pid && $(readlink "/proc/$pid/exe" 2>/dev/null) == "$ROOT/"*"/$2" ]] || return 1
  echo "$pid"
}

gone() { ! kill -0 "$1" 2>/dev/null || [[ $(awk '{print $3}' "/proc/$1/stat" 2>/dev/null || echo Z) == Z ]]; }

# fail_with_log MESSAGE FILE...: the end of the logs says why
fail_with_log() {
  local message=$1 f; shift
  for f in "$@"; do
    [[ -s $f ]] && { echo "--- the end of $f:"; tail -n 20 "$f"; } >&2
  done
  die "$message"
}

port_is_free() { ! (exec 8<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# fill TEMPLATE TARGET NAME=VALUE...: @NAME@ in a template
fill() {
  local text target=$2 pair
  text=$(<"$HERE/$1"); shift 2
  for pair in "$@"; do text=${text//@${pair%%=*}@/${pair#*=}}; done
  printf '%s\n' "$text" > "$target"
}
