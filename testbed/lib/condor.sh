# Sourced by up, down and service: the HTCondor pool.
# shellcheck shell=bash

export_condor() { export CONDOR_CONFIG=$CONDOR_DIR/condor_config; }
condor() { local tool=$1; shift; [[ -x $ROOT/usr/bin/$tool ]] && tool=$ROOT/usr/bin/$tool || tool=$ROOT/usr/sbin/$tool; "$tool" "$@"; }
condor_master_pid() { pid_of "$CONDOR_DIR/run/master.pid" condor_master; }

condor_configure() {
  mkdir -p -m 755 "$CONDOR_DIR" "$CONDOR_LOG" "$CONDOR_DIR"/{run,spool,execute,execute-node1,execute-node2}
  mkdir -p -m 1777 "$CONDOR_DIR/lock"
  mkdir -p -m 700 "$CONDOR_DIR"/{passwords.d,tokens.d}
  fill condor_config.in "$CONDOR_DIR/condor_config" "ROOT=$ROOT" "DIR=$CONDOR_DIR" "LOG=$CONDOR_LOG" "PORT=$CONDOR_PORT" \
    "ME=$(id -un 1)"
  [[ -s $CONDOR_DIR/passwords.d/POOL ]] || (umask 077; head -c 64 /dev/urandom > "$CONDOR_DIR/passwords.d/POOL")
}

# HTCondor runs no job as uid 0. In a user namespace in which root looks like uid 1 it does: its jobs own and read
# root's files, and root's tools outside the namespace talk to it.
condor_launch() {
  unshare --user --map-user=1 --map-group=1 "$ROOT/usr/sbin/condor_master" -pidfile "$CONDOR_DIR/run/master.pid" 9>&-
}

condor_answers() { # every daemon's ad in the collector
  [[ $(condor condor_status -any -af:h MyType Machine 2>/dev/null |
    awk '$1 == "Scheduler" || $1 == "Negotiator" { print $1 } $1 == "Machine" { print $2 }' | sort -u | grep -c .) == 4 ]]
}

condor_answers_or_died() { ! condor_master_pid || condor_answers; }

condor_up() {
  local start=$EPOCHREALTIME what=already
  export_condor
  if ! condor_master_pid >/dev/null; then
    port_is_free "$CONDOR_PORT" || die "port $CONDOR_PORT is taken; set GRIDLOOM_TESTBED_CONDOR_PORT to a free one."
    condor_configure
    condor_launch || fail_with_log "condor_master did not start." "$CONDOR_LOG/MasterLog"
    what=''
  fi
  if [[ $what ]] && ! condor_answers; then condor condor_on -all >/dev/null 2>&1 || true; fi
  retry 40 condor_answers_or_died && condor_answers ||
    fail_with_log "the HTCondor pool did not come up." "$CONDOR_LOG"/{MasterLog,CollectorLog,SchedLog,StartLog.node1}
  printf '%-14s %6ss  %s, port %s %s\n' htcondor "$(seconds_since "$start")" \
    "$(condor condor_version | sed -n 's/^\$CondorVersion: \([^ ]*\).*/\1/p')" "$CONDOR_PORT" "${what:+(was up)}"
}

condor_down() {
  local pid
  pid=$(condor_master_pid) || return 0
  kill -CONT "$(pgrep -P "$pid" -d ' ')" 2>/dev/null || true   # one that was paused could not stop
  kill -QUIT "$pid" 2>/dev/null || true                        # fast: the jobs get no grace
  retry 15 gone "$pid" || kill -KILL "$pid" 2>/dev/null || true
}

# --- one daemon at a time, for testbed/service ---

condor_subsystem() { local s=${1^^}; echo "${s/-/_}"; }
# The master says which child is which in its log; the command lines of the children say it, too.
condor_pid() { # condor_pid schedd|negotiator|collector|startd-node1|startd-node2
  local master pid name=${1%%-*} node=${1#*-} line
  master=$(condor_master_pid) || return 1
  for pid in $(pgrep -P "$master"); do
    [[ $(readlink "/proc/$pid/exe") == */condor_$name ]] || continue
    line=$(tr '\0' ' ' < "/proc/$pid/cmdline")
    [[ $name != startd || $line == *"-local-name ${node^^} "* ]] || continue
    echo "$pid"; return
  done
  return 1
}

condor_daemon_answers() { # condor_daemon_answers NAME SINCE: what the collector kept of a daemon before does not count
  condor_pid "$1" >/dev/null || return 1
  [[ $1 == collector ]] || condor_pid collector >/dev/null || return 0    # nobody to ask
  case $1 in
    schedd) condor condor_q -limit 1 ;;
    startd-*) condor condor_status -constraint "Machine == \"${1#startd-}\" && DaemonStartTime >= $2" -af Name | grep -q . ;;
    *) condor_answers ;;
  esac >/dev/null 2>&1
}

condor_start() {
  local since
  condor_pid "$1" >/dev/null && return 0
  since=$(date +%s)
  condor condor_on -daemon "$(condor_subsystem "$1")" >/dev/null || die "the master did not take the order to start $1."
  retry 40 condor_daemon_answers "$1" "$since" || fail_with_log "$1 did not start." "$CONDOR_LOG/MasterLog"
}

# The master restarts a daemon that dies; told to stop it, it leaves it stopped until told to start it.
condor_stop() {
  local pid how=-fast
  pid=$(condor_pid "$1") || pid=''
  [[ -z $pid ]] || kill -CONT "$pid"
  [[ $1 != startd-* ]] || how=-graceful    # like a drained node: its jobs get their grace
  condor condor_off $how -daemon "$(condor_subsystem "$1")" >/dev/null || die "the master did not take the order to stop $1."
  [[ -z $pid ]] || retry 40 gone "$pid" || die "$1 did not stop within 40 s."
}
