# Sourced by up: Debian's packages, unpacked under $ROOT (a later release's under a root of its own) instead of installed.
# The debs come from the machine's own mirror with an apt state of their own, apt checks the archive's signature and the
# hashes, and every program is given the loader and the libraries of its own release, so the system's glibc does not matter.
# shellcheck shell=bash

declare -A PACKAGE_SETS=(
  [htcondor]="condor"
  [slurm]="slurmctld slurmd slurm-client munge"
  [accounting]="slurmdbd mariadb-server-core mariadb-client-core"
  [apptainer]="apptainer squashfs-tools squashfuse fuse-overlayfs uidmap"
  [docker]="docker.io docker-cli docker-buildx containerd runc tini iptables"
  [podman]="podman conmon runc netavark aardvark-dns passt catatonit iptables uidmap golang-github-containers-common"
  [arm64]="qemu-user"
  [base]="mmdebstrap"
)
declare -A SET_SUITE=([apptainer]=sid)    # no stable release has it

use_suite() { # use_suite RELEASE: where the functions below unpack to, and the loader and libraries they give the programs
  SUITE=$1 INTO=$PACKAGES/root
  [[ $SUITE == trixie ]] || INTO=$PACKAGES/$SUITE
  local lib=$INTO/usr/lib/x86_64-linux-gnu
  RPATH=$lib:$INTO/usr/lib:$INTO/usr/lib/condor:$lib/condor:$lib/slurm-wlm
  LOADER=$lib/ld-linux-x86-64.so.2
  UNPACKED=$PACKAGES/unpacked-$SUITE
}

APT=$PACKAGES/apt
private_apt() {
  apt-get -q -c "$APT/apt.conf" -o Debug::NoLocking=1 -o APT::Sandbox::User=root -o Acquire::Languages=none \
    -o APT::Install-Recommends=false -o Dir::State::Lists="$APT/lists" -o Dir::Cache="$APT/cache" "$@"
}
suite_apt() {
  private_apt -o Dir::Etc::SourceList="$APT/sources.list" -o Dir::Etc::SourceParts=- -o Dir::State::status=/dev/null "$@"
}

# The mirror the machine itself uses for Debian's main archive; apt reads both forms of its sources for us.
debian_mirror() {
  if [[ -n ${GRIDLOOM_TESTBED_MIRROR:-} ]]; then echo "$GRIDLOOM_TESTBED_MIRROR"; return; fi
  apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' 2>/dev/null |
    awk '$3 == "main" && $2 ~ /^(stable|oldstable|testing|unstable|sid|bullseye|bookworm|trixie|forky)$/ && $1 !~ /security/ { print $1; exit }'
}

apt_start() {
  local mirror keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null ||
    die "this needs apt-get and dpkg-deb: run it on Debian or Ubuntu, or in a container of one (for example debian:stable)."
  [[ $(dpkg --print-architecture) == amd64 ]] || die "this needs an amd64 machine."
  mirror=$(debian_mirror)
  [[ -n $mirror ]] || die "apt's sources name no Debian mirror; set GRIDLOOM_TESTBED_MIRROR to the address of one."
  mkdir -p "$APT"/lists/partial "$APT"/cache/archives/partial
  # hooks of the system's apt (caches of desktop programs and the like) have no business here
  printf '#clear %s;\n' APT::Update::Pre-Invoke APT::Update::Post-Invoke APT::Update::Post-Invoke-Success \
    DPkg::Pre-Invoke DPkg::Post-Invoke DPkg::Pre-Install-Pkgs > "$APT/apt.conf"
  if [[ ! -s $keyring ]] || ! suite_update "$mirror" "$keyring"; then
    # an older keyring lacks the newer release's key: take the package the running release signs
    echo "testbed: fetching a newer debian-archive-keyring" >&2
    { private_apt update && cd "$APT" && private_apt download debian-archive-keyring &&
      dpkg-deb -x "$APT"/debian-archive-keyring_*.deb "$APT/keyring"; } >"$APT/log" 2>&1 ||
      fail_with_log "the key of Debian $SUITE could not be had; install a newer debian-archive-keyring." "$APT/log"
    cd "$HERE"
    keyring=$APT/keyring$keyring
    [[ -e $keyring ]] || keyring=${keyring%.gpg}.pgp
    suite_update "$mirror" "$keyring" ||
      fail_with_log "apt-get update failed for Debian $SUITE at $mirror." "$APT/log"
  fi
}
suite_update() {
  echo "deb [signed-by=$2] $1 $SUITE main" > "$APT/sources.list"
  # apt-get update exits 0 over a failed signature when older lists are there; ours are fresh, and this makes it an error
  suite_apt -o APT::Update::Error-Mode=any update >"$APT/log" 2>&1
}

# unpack PACKAGE...: with the libraries they need, less what only an operating system or the packages' scripts would need
unpack() {
  local wanted="$*" pkgs=() p
  while read -r p; do
    # what an earlier set brought stays untouched: its daemons may be running
    grep -qx "$p" "$UNPACKED" 2>/dev/null || pkgs+=("$p")
  done < <(suite_apt install --print-uris "$@" | sed -n "s/^'[^']*' \([^_]*\)_.*/\1/p" |
    grep -E "^(${wanted// /|}|lib.*|zlib1g|slurm-wlm-.*)$" |
    grep -vE '^lib(python|perl|js-|apt|pam-|devmapper|cryptsetup|date-manip|debconf|locale|semanage|sepol|c-gconv|x11-data|text-|dbi-|config-|systemd-shared).*')
  if [[ ${#pkgs[@]} == 0 ]]; then
    grep -qxF "${wanted##* }" "$UNPACKED" 2>/dev/null || die "apt-get finds no packages $wanted in Debian $SUITE."
    return 0
  fi
  mkdir -p "$APT/debs" "$INTO"
  touch "$PACKAGES/unpacking"
  (cd "$APT/debs" && suite_apt download "${pkgs[@]}" >"$APT/log" 2>&1) || fail_with_log "downloading packages failed." "$APT/log"
  for p in "$APT"/debs/*.deb; do dpkg-deb -x "$p" "$INTO"; done
  # apptainer looks for its settings beside its program
  if [[ -d $INTO/etc/apptainer ]]; then mkdir -p "$INTO/usr/etc"; cp -a "$INTO/etc/apptainer" "$INTO/usr/etc/"; fi
  rm -rf "$INTO"/usr/share/{doc,man,locale,lintian,bug,perl5} "$INTO"/usr/lib/{python3,systemd} "$INTO"/usr/include \
    "$INTO"/etc "$INTO"/var "$INTO"/lib/systemd "$INTO"/usr/lib/x86_64-linux-gnu/slurm-wlm/mpi_pmix*   # it finds no PMIx here
  # Debian chooses between two kinds of Slurm's daemons by links that only an installation makes
  for p in "$INTO"/usr/{bin,sbin}/*-wlm; do [[ ! -f $p ]] || mv -f "$p" "${p%-wlm}"; done
  find "$INTO/usr/bin" -name 'qemu-*' ! -name qemu-aarch64 -delete     # of forty kinds of processors, one
  patch_programs
  for p in "$APT"/debs/*.deb; do dpkg-deb -W --showformat='${Package} ${Version}\n' "$p"; done >> "$PACKAGES/versions"
  printf '%s\n' "${pkgs[@]}" >> "$UNPACKED"
  rm -rf "$APT/debs"
}

run_patchelf() { "$LOADER" --library-path "$RPATH" "$INTO/usr/bin/patchelf" "$@"; }

# Programs get our loader; whatever carries a search path gets ours, so that nothing mixes with the system's libraries.
patch_programs() {
  local f programs=() fixed=() libraries=()
  while IFS= read -r -d '' f; do
    [[ $(head -c 4 "$f" | tr -d '\0') == $'\x7fELF' ]] || continue
    case $f in
      */patchelf|*/qemu-*) ;;     # it runs now; it is static
      *) if run_patchelf --print-interpreter "$f" >/dev/null 2>&1; then
           # a program with a fixed address, which Go's often are, crashes when its sections are sorted
           if [[ $(od -An -tu1 -j16 -N1 "$f") == *2 ]]; then fixed+=("$f"); else programs+=("$f"); fi
         elif run_patchelf --print-rpath "$f" >/dev/null 2>&1; then libraries+=("$f"); fi ;;   # neither: a static program
    esac
  done < <(find "$INTO"/usr/{bin,sbin,libexec,lib/condor,lib/podman,lib/x86_64-linux-gnu/{slurm-wlm,condor,apptainer}} \
             -type f -cnewer "$PACKAGES/unpacking" \( -perm /111 -o -name '*.so*' \) -print0 2>/dev/null)
  [[ ${#programs[@]} == 0 ]] || run_patchelf --set-interpreter "$LOADER" --force-rpath --set-rpath "$RPATH" "${programs[@]}"
  [[ ${#fixed[@]} == 0 ]] || run_patchelf --no-sort --set-interpreter "$LOADER" --force-rpath --set-rpath "$RPATH" "${fixed[@]}"
  [[ ${#libraries[@]} == 0 ]] || run_patchelf --force-rpath --set-rpath "$RPATH" "${libraries[@]}"
}

# install_sets SET...: what is not there yet
install_sets() {
  local set suite missing=() patchelf start=$EPOCHREALTIME
  # the programs carry the folder's path; in a moved or half-made folder start anew
  [[ $(cat "$PACKAGES/path" 2>/dev/null) == "$ROOT" ]] || rm -rf "$PACKAGES"
  for set in "$@"; do [[ -e $PACKAGES/have-$set ]] || missing+=("$set"); done
  [[ ${#missing[@]} != 0 ]] || return 0
  mkdir -p "$PACKAGES"; echo "$ROOT" > "$PACKAGES/path"
  for suite in trixie sid; do
    use_suite "$suite"
    patchelf=patchelf
    for set in "${missing[@]}"; do
      [[ ${SET_SUITE[$set]:-trixie} == "$suite" ]] || continue
      [[ -z $patchelf ]] || apt_start
      # shellcheck disable=SC2086
      unpack $patchelf ${PACKAGE_SETS[$set]}
      patchelf=''
      touch "$PACKAGES/have-$set"
    done
    rm -rf "$APT" "$PACKAGES/unpacking"
  done
  printf '%-14s %6ss  Debian: %s\n' packages "$(seconds_since "$start")" "${missing[*]}"
}
