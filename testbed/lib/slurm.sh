# Sourced by up, down and service: Slurm, its munge, and with accounting slurmdbd and its MariaDB.
# shellcheck shell=bash

export_slurm() { export SLURM_CONF=$SLURM_DIR/slurm.conf; }
slurm() { local tool=$1; shift; "$ROOT/usr/bin/$tool" "$@"; }
slurm_pid() { # slurm_pid slurmctld|slurmd-node1|slurmd-node2|slurmdbd|munged|mariadbd
  case $1 in
    slurmd-*) pid_of "$SLURM_DIR/slurmd.${1#slurmd-}.pid" slurmd ;;
    munged)   pid_of "$SLURM_DIR/munge/munged.pid" munged ;;
    *)        pid_of "$SLURM_DIR/$1.pid" "$1" ;;
  esac
}

# Memory is enforced by cgroup v1 where it is mounted; elsewhere by looking every second.
slurm_enforcement() {
  local c
  [[ $CGROUP == auto ]] || { echo "$CGROUP"; return; }
  for c in memory cpuset freezer cpu cpuacct; do
    [[ -w /sys/fs/cgroup/$c/tasks ]] || { echo none; return; }
  done
  echo v1
}

slurm_configure() { # slurm_configure none|slurmdbd
  local enforce cgroup accounting=accounting_storage/none n
  mkdir -p -m 755 "$SLURM_DIR" "$SLURM_LOG" "$SLURM_DIR/munge" "$SLURM_DIR/state"
  for n in "${NODES[@]}"; do mkdir -p -m 755 "$SLURM_DIR/spool.$n"; done
  if [[ $(slurm_enforcement) == v1 ]]; then
    enforce=$'ProctrackType=proctrack/cgroup\nTaskPlugin=task/cgroup\nJobAcctGatherType=jobacct_gather/cgroup\nJobAcctGatherFrequency=task=1'
    cgroup=$'CgroupPlugin=cgroup/v1\nConstrainRAMSpace=yes'
  else
    enforce=$'ProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\nJobAcctGatherType=jobacct_gather/linux\nJobAcctGatherFrequency=task=1\nJobAcctGatherParams=OverMemoryKill'
    cgroup=CgroupPlugin=disabled
  fi
  echo "$cgroup" > "$SLURM_DIR/cgroup.conf"
  [[ $1 == none ]] ||
    accounting=$'accounting_storage/slurmdbd\nAccountingStorageHost=127.0.0.1\nAccountingStoragePort='$((SLURM_PORT + 2))$'\nAccountingStoragePass='$SLURM_DIR/munge/munge.socket
  # Job ids name the cgroups: two testbeds on one machine must not share them.
  fill slurm.conf.in "$SLURM_DIR/slurm.conf" "DIR=$SLURM_DIR" "LOG=$SLURM_LOG" "HOST=$(hostname -s)" \
    "PLUGINS=$ROOT/usr/lib/x86_64-linux-gnu/slurm-wlm" "CTLD_PORT=$SLURM_PORT" "NODE1_PORT=$((SLURM_PORT + 4))" \
    "NODE2_PORT=$((SLURM_PORT + 5))" "ENFORCE=$enforce" "ACCOUNTING=$accounting" \
    "FIRST_JOB=$(( SLURM_PORT == 26817 ? 1 : SLURM_PORT * 1000 + 1 ))"
  if [[ ! -s $SLURM_DIR/munge/munge.key ]]; then (umask 077; head -c 128 /dev/urandom > "$SLURM_DIR/munge/munge.key"); fi
}

slurm_launch() {
  local sbin=$ROOT/usr/sbin dir=$SLURM_DIR/munge
  case $1 in
    munged) "$sbin/munged" --force --key-file="$dir/munge.key" --socket="$dir/munge.socket" \
      --pid-file="$dir/munged.pid" --log-file="$SLURM_LOG/munged.log" --seed-file="$dir/munge.seed" 9>&- ;;
    slurmctld) "$sbin/slurmctld" 9>&- ;;
    slurmd-*) "$sbin/slurmd" -N "${1#slurmd-}" -d "$sbin/slurmstepd" 9>&- ;;
    slurmdbd) MYSQL_UNIX_PORT=$SLURM_DIR/mysql.sock "$sbin/slurmdbd" 9>&- ;;
    mariadbd) setsid "$sbin/mariadbd" --no-defaults --basedir="$ROOT/usr" --datadir="$SLURM_DIR/mysql" --socket="$SLURM_DIR/mysql.sock" \
      --pid-file="$SLURM_DIR/mariadbd.pid" --skip-networking --user=root --tmpdir="$SLURM_DIR" --plugin-dir="$ROOT/usr/lib/mysql/plugin" \
      --innodb-buffer-pool-size=64M --innodb-flush-log-at-trx-commit=0 >>"$SLURM_LOG/mariadbd.log" 2>&1 </dev/null 9>&- & ;;
  esac
}

# start_one NAME: unless it runs; the end of its log when it does not come up
start_one() {
  slurm_pid "$1" >/dev/null && return 0
  slurm_launch "$1" && retry 20 slurm_pid "$1" ||
    fail_with_log "$1 did not start." "$SLURM_LOG/${1/slurmd-/slurmd.}.log"
}

stop_one() {
  local pid
  pid=$(slurm_pid "$1") || return 0
  kill -CONT "$pid" 2>/dev/null || true
  kill "$pid" 2>/dev/null || true
  retry "${2:-15}" gone "$pid" || kill -KILL "$pid" 2>/dev/null || true
}

sql() { "$ROOT/usr/bin/mariadb" --no-defaults -S "$SLURM_DIR/mysql.sock" -u root "$@"; }

accounting_up() {
  local start=$EPOCHREALTIME what='(was up)'
  if ! slurm_pid slurmdbd >/dev/null; then
    what=''
    port_is_free $((SLURM_PORT + 2)) || die "port $((SLURM_PORT + 2)) is taken; set GRIDLOOM_TESTBED_SLURM_PORT to another base."
    if [[ ! -d $SLURM_DIR/mysql ]]; then
      "$ROOT/usr/bin/mariadb-install-db" --no-defaults --basedir="$ROOT/usr" --datadir="$SLURM_DIR/mysql" --tmpdir="$SLURM_DIR" \
        --auth-root-authentication-method=socket --auth-root-socket-user=root --user=root --skip-test-db >"$SLURM_LOG/mariadbd.log" 2>&1 9>&- ||
        fail_with_log "the database could not be made." "$SLURM_LOG/mariadbd.log"
    fi
    slurm_pid mariadbd >/dev/null || slurm_launch mariadbd
    retry 30 sql -e 'select 1' || fail_with_log "MariaDB did not start." "$SLURM_LOG/mariadbd.log"
    sql -e 'create database if not exists slurm_acct'
    (umask 077; fill slurmdbd.conf.in "$SLURM_DIR/slurmdbd.conf" "DIR=$SLURM_DIR" "LOG=$SLURM_LOG" "PORT=$((SLURM_PORT + 2))" \
      "PLUGINS=$ROOT/usr/lib/x86_64-linux-gnu/slurm-wlm")
    start_one slurmdbd
    retry 30 slurm sacctmgr -i -n list cluster || fail_with_log "slurmdbd does not answer." "$SLURM_LOG/slurmdbd.log"
    slurm sacctmgr -i add cluster testbed >/dev/null 2>&1 || true   # it is there on a second start
  fi
  printf '%-14s %6ss  slurmdbd %s, port %s %s\n' accounting "$(seconds_since "$start")" "$(slurm sinfo -V | cut -d' ' -f2)" \
    $((SLURM_PORT + 2)) "$what"
}

slurm_answers() { [[ $(slurm sinfo -h -N -o %T -p low 2>/dev/null | grep -cxE 'idle|mixed|allocated|completing') == 2 ]]; }

slurm_up() { # slurm_up yes|no: with accounting
  local start=$EPOCHREALTIME what='(was up)' accounting=none s
  export_slurm
  grep -qs '^AccountingStorageType=.*slurmdbd' "$SLURM_CONF" && accounting=slurmdbd
  if [[ $1 == yes && $accounting == none ]]; then accounting=new; fi
  if [[ ! -s $SLURM_CONF ]]; then
    for s in 0 4 5; do
      port_is_free $((SLURM_PORT + s)) || die "port $((SLURM_PORT + s)) is taken; set GRIDLOOM_TESTBED_SLURM_PORT to another base."
    done
  fi
  if [[ ! -s $SLURM_CONF || $accounting == new ]]; then
    if [[ $accounting == new ]]; then
      stop_one slurmctld
      rm -f "$SLURM_DIR/state/clustername"    # the database gives the cluster another number than slurmctld gave itself
    fi
    slurm_configure "${accounting/new/slurmdbd}"
  fi
  start_one munged
  [[ $accounting == none ]] || accounting_up
  for s in slurmctld slurmd-node1 slurmd-node2; do
    slurm_pid $s >/dev/null || { start_one $s; what=''; }
  done
  [[ $accounting != new ]] || slurm scontrol reconfigure >/dev/null 2>&1 || true   # the slurmds read the new file, too
  retry 30 slurm_answers || fail_with_log "Slurm's nodes did not come up within 30 s." "$SLURM_LOG"/{slurmctld,slurmd.node1}.log
  printf '%-14s %6ss  %s, ports %s %s %s, memory: %s %s\n' slurm "$(seconds_since "$start")" "$(slurm sinfo -V | cut -d' ' -f2)" \
    "$SLURM_PORT" $((SLURM_PORT + 4)) $((SLURM_PORT + 5)) \
    "$([[ $(slurm_enforcement) == v1 ]] && echo 'cgroup v1' || echo 'looked up every second')" "$what"
}

slurm_down() {
  local s pid
  if pid=$(slurm_pid slurmctld); then
    kill -CONT "$pid" 2>/dev/null || true
    timeout 5 "$ROOT/usr/bin/scancel" --full -s KILL --state=RUNNING -u root >/dev/null 2>&1 || true
  fi
  for s in slurmctld slurmd-node1 slurmd-node2 slurmdbd mariadbd munged; do stop_one $s; done
}

# what cgroup v1 enforcement leaves behind; only empty ones can be removed
slurm_cgroups_down() { find /sys/fs/cgroup -depth -type d -path '*/slurm_node[12]*' -exec rmdir {} + 2>/dev/null || true; }
