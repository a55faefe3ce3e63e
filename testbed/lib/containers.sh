# Sourced by up, down and service: apptainer, docker, podman, the base image, and the ordinary user who tries them.
# shellcheck shell=bash

APPTAINER=$PACKAGES/sid/usr
DOCKER_DIR=$FOLDER/docker
DOCKER_LOG=$FOLDER/log-docker
PODMAN_DIR=$FOLDER/podman
BASES=$PACKAGES/bases
CHANGED=$FOLDER/changed           # what of the system was changed, one file a change: down undoes it
CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt
TEST_USER=gridloom-test

# --- the system: the little that cannot lie in the folder ---

# An ordinary user with ids for user namespaces; the device that gives file systems to them.
user_up() {
  local file start
  mkdir -p "$CHANGED"
  if ! id "$TEST_USER" >/dev/null 2>&1; then
    touch "$CHANGED/user"
    useradd --user-group --no-create-home --home-dir "$FOLDER/home" --shell /bin/bash "$TEST_USER" ||
      die "the user $TEST_USER could not be made."
  fi
  for file in /etc/subuid /etc/subgid; do
    grep -qs "^$TEST_USER:" "$file" && continue
    start=$(awk -F: '$2 + $3 > end { end = $2 + $3 } END { print end > 200000 ? end : 200000 }' "$file" 2>/dev/null || echo 200000)
    echo "$TEST_USER:$start:65536" >> "$file"
    touch "$CHANGED/${file##*/}"
  done
  mkdir -p "$FOLDER/home"; chown "$TEST_USER:" "$FOLDER/home"
  for file in fuse net/tun; do
    [[ -c /dev/$file && $(stat -c %a "/dev/$file") != 666 ]] || continue
    stat -c %a "/dev/$file" > "$CHANGED/mode-${file##*/}"
    chmod 666 "/dev/$file"
  done
  [[ -c /dev/fuse ]] || die "there is no /dev/fuse; in a container, pass it in (docker run --device /dev/fuse)."
}

user_down() {
  local file
  for file in fuse net/tun; do
    [[ ! -s $CHANGED/mode-${file##*/} || ! -c /dev/$file ]] || chmod "$(<"$CHANGED/mode-${file##*/}")" "/dev/$file"
  done
  if [[ -e $CHANGED/user ]]; then userdel "$TEST_USER" >/dev/null 2>&1 || true; fi
  for file in subuid subgid; do
    [[ ! -e $CHANGED/$file ]] || sed -i "/^$TEST_USER:/d" "/etc/$file"
  done
}

# What docker and podman change by themselves is noted before they first run, and put back.
SYSCTLS=(net/ipv4/ip_forward net/ipv6/conf/all/forwarding net/ipv6/conf/default/forwarding
  net/bridge/bridge-nf-call-iptables net/bridge/bridge-nf-call-ip6tables)
PLACES=(/etc/containers /run/containers /run/libpod /run/runc /run/netns /run/lock/netavark.lock /run/containerd
  /run/containerd/s /var/lib/containers /var/lib/cni)
BRIDGES='docker0|br-[0-9a-f]{12}|podman[0-9]+'

tables() { XTABLES_LIBDIR=$ROOT/usr/lib/x86_64-linux-gnu/xtables "$ROOT/usr/sbin/$@"; }
# rules PROGRAM TABLE: chains without their counters, and rules
rules() { tables "$1-save" -t "$2" 2>/dev/null | sed -nE 's/^(:[^ ]+ [^ ]+) .*/\1/p; /^-A/p' || true; }
links() { ls /sys/class/net; }
for_tables() { local program table; for program in iptables ip6tables; do for table in filter nat raw mangle; do "$1" $program $table; done; done; }

network_note() {
  local name
  [[ ! -e $CHANGED/sysctls ]] || return 0
  mkdir -p "$CHANGED"
  for name in "${PLACES[@]}"; do [[ -e $name ]] || echo "$name"; done > "$CHANGED/places"
  mountpoint -q /run/netns || touch "$CHANGED/netns"
  links > "$CHANGED/links"
  rules_note() { rules "$1" "$2" > "$CHANGED/$1-$2"; }
  for_tables rules_note
  for name in "${SYSCTLS[@]}"; do
    [[ ! -e /proc/sys/$name ]] || echo "$name $(<"/proc/sys/$name")"
  done > "$CHANGED/sysctls.new"
  mv "$CHANGED/sysctls.new" "$CHANGED/sysctls"
}

noted() { cat "$CHANGED/$1" 2>/dev/null || true; }
# rules_restore PROGRAM TABLE: of what was not there before, the rules that lead into their chains, then the chains
rules_restore() {
  local line chains action
  rules "$1" "$2" | grep -vxF -f <(noted "$1-$2") > "$CHANGED/rules" || return 0
  sed -nE "/^-A .*(DOCKER|NETAVARK|$BRIDGES)/s/^-A //p" "$CHANGED/rules" | while read -r line; do
    eval "tables $1 -t $2 -D $line" 2>/dev/null || true      # iptables-save quotes as a shell does
  done
  mapfile -t chains < <(sed -nE 's/^:((DOCKER|NETAVARK)[^ ]*) .*/\1/p' "$CHANGED/rules")
  for action in -F -X; do
    for line in "${chains[@]}"; do tables "$1" -t "$2" $action "$line" 2>/dev/null || true; done
  done
  line=$(noted "$1-$2" | sed -n 's/^:FORWARD //p')
  [[ $2 != filter ]] || tables "$1" -P FORWARD "${line:-ACCEPT}" 2>/dev/null || true
}

network_restore() {
  local name value
  [[ -e $CHANGED/sysctls ]] || return 0
  links | grep -vxF -f <(noted links) | grep -xE "$BRIDGES" | while read -r name; do ip link delete "$name" || true; done || true
  for_tables rules_restore
  while read -r name value; do echo "$value" > "/proc/sys/$name"; done < "$CHANGED/sysctls" 2>/dev/null || true
  if [[ -e $CHANGED/netns ]]; then umount -l /run/netns 2>/dev/null || true; fi
  if [[ -e $CHANGED/policy ]]; then rm -f /etc/containers/policy.json; fi
  if grep -qx /var/lib/containers <(noted places); then rm -rf /var/lib/containers/cache; fi
  if grep -qx /run/containers <(noted places); then rm -rf /run/containers/networks; fi
  noted places | tac | while read -r name; do rm -df "$name" 2>/dev/null || true; done     # files, and empty folders
}

# what docker and podman leave of cgroup v1; only empty ones can be removed
containers_cgroups_down() {
  local name
  for name in docker libpod_parent apptainer; do
    find /sys/fs/cgroup -depth -type d -path "/sys/fs/cgroup/*/$name*" -exec rmdir {} + 2>/dev/null || true
  done
}

containers_mounts_down() {
  awk -v folder="$FOLDER/" 'index($5, folder) == 1 { print $5 }' /proc/self/mountinfo | sort -r | while read -r mount; do
    umount -l "$mount" 2>/dev/null || true
  done
}

containers_down() {
  local ids
  if [[ -s $PODMAN_DIR/storage.conf ]]; then
    podman_cli rm --all --force --time 0 >/dev/null 2>&1 || true
    [[ ! -d $PODMAN_DIR/$TEST_USER ]] || user_podman rm --all --force --time 0 >/dev/null 2>&1 || true
  fi
  if docker_pid >/dev/null; then
    export_docker
    kill -CONT "$(docker_pid)" 2>/dev/null || true
    ids=$(timeout 20 "$ROOT/usr/bin/docker" ps -q 2>/dev/null) || ids=''
    # shellcheck disable=SC2086
    [[ -z $ids ]] || timeout 30 "$ROOT/usr/bin/docker" kill $ids >/dev/null 2>&1 || true
    timeout 20 "$ROOT/usr/bin/docker" network prune -f >/dev/null 2>&1 || true
    docker_stop
  fi
}

# --- apptainer ---

apptainer_up() {
  local start=$EPOCHREALTIME conf=$APPTAINER/etc/apptainer/apptainer.conf
  user_up
  if [[ ! -e $PACKAGES/ready-apptainer ]]; then
    mkdir -p "$APPTAINER"/var/lib/apptainer/mnt/{session,source}
    # its starter looks for both one folder too deep
    ln -sfn ../etc "$APPTAINER/lib/etc"; ln -sfn ../var "$APPTAINER/lib/var"
    sed -i -e "s|^# binary path = .*|binary path = $APPTAINER/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin|" \
      -e 's|^systemd cgroups = .*|systemd cgroups = no|' \
      -e 's|^root default capabilities = .*|root default capabilities = file|' "$conf"
    [[ $(grep -cE "^(binary path = $APPTAINER|systemd cgroups = no|root default capabilities = file)" "$conf") == 3 ]] ||
      die "the settings of this release of apptainer are not those that are known here: $conf"
    touch "$PACKAGES/ready-apptainer"
  fi
  root_capabilities > "$APPTAINER/etc/apptainer/capability.json"
  printf '%-14s %6ss  %s\n' apptainer "$(seconds_since "$start")" "$("$APPTAINER/bin/apptainer" --version | cut -d' ' -f3)"
}

# Root of a container often lacks a capability or two; asked for all, as it would by itself, apptainer fails.
root_capabilities() {
  local names=(chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable net_bind_service
    net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot sys_ptrace sys_pacct sys_admin sys_boot
    sys_nice sys_resource sys_time sys_tty_config mknod lease audit_write audit_control setfcap mac_override mac_admin syslog
    wake_alarm block_suspend audit_read perfmon bpf checkpoint_restore)
  local mask i list=''
  mask=$((16#$(awk '/^CapPrm/ { print $2 }' /proc/self/status)))
  for i in "${!names[@]}"; do
    (( mask >> i & 1 )) && list+=", \"CAP_${names[i]^^}\""
  done
  echo "{\"users\": {\"root\": [${list#, }]}}"
}

# --- the base image ---

BASE=$(sed -n 's/^ARG BASE=//p; s/^FROM //p' "$HERE/../Dockerfile" 2>/dev/null | head -n 1 || true)
BASE=${BASE:-debian:bookworm-slim}

# base_tar ARCH: no registry is asked; Debian's packages make an image of the base's name
base_tar() {
  local arch=$1 tar=$BASES/base-$1.tar start=$EPOCHREALTIME mirror options=()
  [[ -s $tar ]] && return 0
  command -v perl >/dev/null && command -v apt-get >/dev/null || die "mmdebstrap needs perl and apt-get: apt-get install perl"
  mirror=$(debian_mirror)
  [[ -n $mirror ]] || die "apt's sources name no Debian mirror; set GRIDLOOM_TESTBED_MIRROR to the address of one."
  mkdir -p "$BASES"
  # where https is signed anew on its way, a container must trust what this machine trusts
  # shellcheck disable=SC2016
  [[ $arch == amd64 ]] || options+=(--skip=check/qemu)    # it is there, if not where mmdebstrap looks
  [[ ! -s $CA_BUNDLE ]] || options+=(--customize-hook='cp '"$CA_BUNDLE"' "$1"'"$CA_BUNDLE")
  # its own filter for tar archives lies beside it
  TMPDIR=$BASES PATH=$PATH:$ROOT/usr/bin perl "$ROOT/usr/bin/mmdebstrap" --quiet --variant=minbase --arch="$arch" --skip=output/dev \
    --include=ca-certificates --aptopt='Acquire::Languages "none"' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' "${options[@]}" \
    --format=tar bookworm "$tar.new" "$mirror" > "$BASES/log-$arch" 2>&1 9>&- ||
    fail_with_log "the base image could not be made." "$BASES/log-$arch"
  mv "$tar.new" "$tar"
  printf '%-14s %6ss  %s, %s, %s MB\n' "base" "$(seconds_since "$start")" "$BASE" "$arch" $(( $(stat -c %s "$tar") / 1000000 ))
}

# the settings of the base: what Debian's own image has, and the certificates' place for those who bring their own
base_changes() {
  printf '%s\0' --change 'CMD ["bash"]' --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
  local name
  for name in SSL_CERT_FILE PIP_CERT REQUESTS_CA_BUNDLE; do
    [[ ! -v $name ]] || printf '%s\0' --change "ENV $name=$CA_BUNDLE"
  done
}

# --- docker ---

export_docker() { export DOCKER_HOST=unix://$DOCKER_DIR/docker.sock DOCKER_CONFIG=$DOCKER_DIR/config; }
docker_pid() { pid_of "$DOCKER_DIR/dockerd.pid" dockerd; }
docker_cli() { "$ROOT/usr/bin/docker" "$@"; }
docker_path() { echo "$ROOT/usr/sbin:$ROOT/usr/bin:$ROOT/usr/libexec/docker:/usr/sbin:/usr/bin:/sbin:/bin"; }

docker_configure() {
  local mtu
  mkdir -p -m 755 "$DOCKER_DIR" "$DOCKER_LOG" "$DOCKER_DIR/config"
  mkdir -p -m 711 "$DOCKER_DIR"/{data,exec}
  # a packet larger than the way out lets through would be lost without a word
  mtu=$(cat "/sys/class/net/$(awk '$2 == "00000000" { print $1; exit }' /proc/net/route)/mtu" 2>/dev/null || echo 1500)
  printf '{"mtu": %s, "storage-driver": "overlay2", "log-level": "warn"}\n' "$mtu" > "$DOCKER_DIR/daemon.json"
  printf '{"cliPluginsExtraDirs": ["%s"]}\n' "$ROOT/usr/libexec/docker/cli-plugins" > "$DOCKER_DIR/config/config.json"
  iptables_links
  ln -sfn ../bin/tini-static "$ROOT/usr/sbin/docker-init"
}

# what an installation would choose
iptables_links() {
  local name
  for name in iptables ip6tables iptables-save iptables-restore ip6tables-save ip6tables-restore; do
    ln -sfn xtables-nft-multi "$ROOT/usr/sbin/$name"
  done
}

docker_launch() {
  PATH=$(docker_path) XTABLES_LIBDIR=$ROOT/usr/lib/x86_64-linux-gnu/xtables setsid "$ROOT/usr/sbin/dockerd" \
    --config-file "$DOCKER_DIR/daemon.json" --data-root "$DOCKER_DIR/data" --exec-root "$DOCKER_DIR/exec" \
    --pidfile "$DOCKER_DIR/dockerd.pid" -H "$DOCKER_HOST" >>"$DOCKER_LOG/dockerd.log" 2>&1 </dev/null 9>&- &
}

docker_start() {
  docker_pid >/dev/null && return 0
  rm -f "$DOCKER_DIR/dockerd.pid"      # of one that was killed
  docker_launch
  retry 60 docker_cli version || fail_with_log "dockerd did not start." "$DOCKER_LOG/dockerd.log"
}

docker_stop() {
  local pid
  pid=$(docker_pid) || return 0
  kill -CONT "$pid" 2>/dev/null || true
  kill "$pid" 2>/dev/null || true
  retry "${1:-20}" gone "$pid" || kill -KILL "$pid" 2>/dev/null || true
}

docker_up() {
  local start=$EPOCHREALTIME what='(was up)' changes
  export_docker
  if ! docker_pid >/dev/null; then
    what=''
    docker_configure
    [[ -e $CHANGED/docker || ! -e /sys/class/net/docker0 ]] ||
      die "this machine has a docker0 already: another docker runs here, or left it; use that one, or ip link delete docker0."
    network_note
    touch "$CHANGED/docker"
    docker_start
  fi
  if ! docker_cli image inspect "$BASE" >/dev/null 2>&1; then
    mapfile -d '' changes < <(base_changes)
    docker_cli import "${changes[@]}" "$BASES/base-amd64.tar" "$BASE" >/dev/null || die "docker did not take the base image."
  fi
  printf '%-14s %6ss  %s, %s %s\n' docker "$(seconds_since "$start")" "$(docker_cli version -f '{{.Server.Version}}')" \
    "$DOCKER_HOST" "$what"
}

# --- podman ---

podman_cli() { "$FOLDER/bin/podman" "$@" 9>&-; }
user_podman() (
  cd / && setpriv --reuid "$TEST_USER" --regid "$TEST_USER" --init-groups env HOME="$FOLDER/home" "$FOLDER/bin/podman" "$@" 9>&-
)

# podman_name NAME: as podman writes it in full
podman_name() {
  case $1 in
    localhost/*|*.*/*|*:*/*) echo "$1" ;;
    */*) echo "docker.io/$1" ;;
    *) echo "docker.io/library/$1" ;;
  esac
}

podman_configure() {
  local lib=$ROOT/usr files processes
  files=$(ulimit -Hn) processes=$(ulimit -Hu)
  files=${files/unlimited/-1} processes=${processes/unlimited/-1}
  mkdir -p -m 755 "$PODMAN_DIR" "$FOLDER/bin"
  chmod 1777 "$PODMAN_DIR"
  # runc: crun wants cgroups v2 alone. The limits: podman's own are more than root of a container may have.
  cat > "$PODMAN_DIR/containers.conf" <<END
[containers]
default_ulimits = ["nofile=$files:$files", "nproc=$processes:$processes"]
seccomp_profile = "$lib/share/containers/seccomp.json"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
lock_type = "file"
tmp_dir = "$PODMAN_DIR/@USER@/run/libpod"
events_logger = "file"
conmon_path = ["$lib/bin/conmon"]
helper_binaries_dir = ["$lib/lib/podman", "$lib/libexec/podman", "$lib/bin"]
init_path = "$lib/bin/catatonit"
[engine.runtimes]
runc = ["$lib/sbin/runc"]
[network]
network_backend = "netavark"
firewall_driver = "iptables"
network_config_dir = "$PODMAN_DIR/@USER@/networks"
END
  cat > "$PODMAN_DIR/storage.conf" <<END
[storage]
driver = "overlay"
runroot = "$PODMAN_DIR/@USER@/run"
graphroot = "$PODMAN_DIR/@USER@/storage"
rootless_storage_path = "$PODMAN_DIR/@USER@/storage"
END
  echo 'unqualified-search-registries = ["docker.io"]' > "$PODMAN_DIR/registries.conf"
  fill podman.in "$FOLDER/bin/podman" "ROOT=$ROOT" "DIR=$PODMAN_DIR"
  chmod 755 "$FOLDER/bin/podman"
  iptables_links
  network_note
  # the one file podman looks for in the system alone
  if [[ ! -e /etc/containers/policy.json ]]; then
    touch "$CHANGED/policy"
    mkdir -p /etc/containers
    echo '{"default": [{"type": "insecureAcceptAnything"}]}' > /etc/containers/policy.json
  fi
}

podman_up() {
  local start=$EPOCHREALTIME what='(was up)' changes name
  name=$(podman_name "$BASE")
  user_up
  if [[ ! -s $PODMAN_DIR/storage.conf ]]; then what=''; podman_configure; fi
  mapfile -d '' changes < <(base_changes)
  podman_cli image exists "$name" || podman_cli import -q "${changes[@]}" "$BASES/base-amd64.tar" "$name" >/dev/null ||
    die "podman did not take the base image."
  user_podman --log-level error image exists "$name" ||
    user_podman --log-level error import -q "${changes[@]}" "$BASES/base-amd64.tar" "$name" >/dev/null ||
    die "podman without root did not take the base image."
  printf '%-14s %6ss  %s, for root and %s %s\n' podman "$(seconds_since "$start")" "$(podman_cli version -f '{{.Client.Version}}')" \
    "$TEST_USER" "$what"
}

# --- arm64 ---

BINFMT=/proc/sys/fs/binfmt_misc
arm64_register() {
  # an ELF file of 64 bits, of whatever kind, for machine 183
  local magic='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
  local mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
  mkdir -p "$CHANGED"
  if [[ ! -e $BINFMT/register ]]; then
    mount -t binfmt_misc binfmt_misc "$BINFMT" || die "binfmt_misc cannot be mounted, so arm64 programs cannot be run."
    touch "$CHANGED/binfmt-mounted"
  fi
  [[ ! -e $BINFMT/qemu-aarch64 ]] || return 0
  touch "$CHANGED/binfmt"
  # F: the kernel opens the program now, so that it is found inside containers, too
  printf '%s' ":qemu-aarch64:M::$magic:$mask:$ROOT/usr/bin/qemu-aarch64:OCF" > "$BINFMT/register" ||
    die "the kernel did not take qemu-aarch64 as the interpreter of arm64 programs."
}

# What is up gets the base for arm64, too: podman under the same name, docker, which has one image a name, as NAME-arm64.
arm64_up() {
  local start changes name=$BASE-arm64
  arm64_register
  base_tar arm64
  start=$EPOCHREALTIME
  mapfile -d '' changes < <(base_changes)
  if docker_pid >/dev/null; then
    export_docker
    docker_cli image inspect "$name" >/dev/null 2>&1 ||
      docker_cli import --platform linux/arm64 "${changes[@]}" "$BASES/base-arm64.tar" "$name" >/dev/null ||
      die "docker did not take the base image for arm64."
  fi
  if [[ -s $PODMAN_DIR/storage.conf ]]; then podman_arm64 podman_cli; podman_arm64 user_podman; fi
  printf '%-14s %6ss  %s\n' arm64 "$(seconds_since "$start")" \
    "$("$ROOT/usr/bin/qemu-aarch64" --version | sed -n 's/^.*version \([^ ]*\).*/qemu \1/p')"
}

podman_arm64() { # podman_arm64 PODMAN: a list of both images takes the base's name
  local podman=$1 changes name
  name=$(podman_name "$BASE")
  ! $podman image exists localhost/base:arm64 || return 0
  mapfile -d '' changes < <(base_changes)
  $podman tag "$name" localhost/base:amd64 && $podman untag "$name" "$name" &&
    $podman import -q --os linux --arch arm64 "${changes[@]}" "$BASES/base-arm64.tar" localhost/base:arm64 >/dev/null &&
    $podman manifest create "$name" containers-storage:localhost/base:amd64 containers-storage:localhost/base:arm64 >/dev/null ||
    die "podman did not take the base image for arm64."
}

arm64_down() {
  if [[ -e $CHANGED/binfmt && -e $BINFMT/qemu-aarch64 ]]; then echo -1 > "$BINFMT/qemu-aarch64" || true; fi
  if [[ -e $CHANGED/binfmt-mounted ]]; then umount "$BINFMT" 2>/dev/null || true; fi
}
