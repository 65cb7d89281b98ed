#!/usr/bin/env bash
# Two or more sshfs clients of one folder through a private sshd, for tests: the hostile kind of shared file system.
#
#   sshfs.sh up DIR [N]         sshd and N mounts (default 2), DIR/mount1 and so on; the served folder is DIR/export
#   sshfs.sh down DIR           unmounts, stops and removes everything
#   sshfs.sh cut DIR I          client I dies with its mount (processes on it are the caller's to kill)
#   sshfs.sh boot DIR I         client I comes back
#   sshfs.sh server-stop DIR    kills sshd and all its connections
#   sshfs.sh server-start DIR   starts it again; the mounts reconnect
#   sshfs.sh guard DIR PID      waits for the end of a process, then does `down`
#
# Locks exclude within one mount only, times have whole seconds, listings and attributes are up to 20 s old.
# Environment: SSHFS_OPTIONS (for example dcache_timeout=5), SSHFS_PORT.
set -euo pipefail
verb=$1 D=$2 PORT=${SSHFS_PORT:-}
PATH=$PATH:/usr/sbin:/sbin

write_files() {
  mkdir -p "$D"/{export,side}
  [ -f "$D/host_key" ] || {
    ssh-keygen -q -t ed25519 -N '' -f "$D/host_key"; ssh-keygen -q -t ed25519 -N '' -f "$D/key"
    echo "${PORT:-$((20000 + RANDOM % 9000))}" > "$D/port"
  }
  [ "$(id -u)" != 0 ] || mkdir -p /run/sshd
  cat > "$D/sshd_config" <<CONF
Port $(cat "$D/port")
ListenAddress 127.0.0.1
HostKey $D/host_key
AuthorizedKeysFile $D/key.pub
PidFile none
StrictModes no
UsePAM no
PermitRootLogin yes
PasswordAuthentication no
MaxStartups 100
Subsystem sftp internal-sftp
CONF
}

server_start() {
  setsid /usr/sbin/sshd -D -e -f "$D/sshd_config" </dev/null >>"$D/sshd.log" 2>&1 &
  echo $! > "$D/sshd.pid"
  for _ in $(seq 100); do (exec 9<>"/dev/tcp/127.0.0.1/$(cat "$D/port")") 2>/dev/null && return; sleep 0.1; done
  tail -n 5 "$D/sshd.log" >&2; return 1
}

server_stop() {
  local pid
  [ -s "$D/sshd.pid" ] || return 0
  pid=$(cat "$D/sshd.pid")
  for child in $(cat "/proc/$pid/task/$pid/children" 2>/dev/null); do
    kill -9 $(cat "/proc/$child/task/$child/children" 2>/dev/null) "$child" 2>/dev/null || true
  done
  kill -9 "$pid" 2>/dev/null || true
  rm -f "$D/sshd.pid"
}

boot() {
  mkdir -p "$D/mount$1"
  mountpoint -q "$D/mount$1" && return
  setsid sshfs -f -p "$(cat "$D/port")" -o "IdentityFile=$D/key,StrictHostKeyChecking=no,UserKnownHostsFile=/dev/null" \
    -o "LogLevel=ERROR,reconnect,ServerAliveInterval=2,ServerAliveCountMax=2${SSHFS_OPTIONS:+,$SSHFS_OPTIONS}" \
    "$(id -un)@127.0.0.1:$D/export" "$D/mount$1" </dev/null >>"$D/sshfs.log" 2>&1 &
  echo $! > "$D/client$1.pid"
  for _ in $(seq 100); do mountpoint -q "$D/mount$1" && return; sleep 0.1; done
  tail -n 5 "$D/sshfs.log" >&2; return 1
}

cut() {
  [ -s "$D/client$1.pid" ] || return 0
  kill -9 -- "-$(cat "$D/client$1.pid")" 2>/dev/null || true
  fusermount3 -uz "$D/mount$1" 2>/dev/null || umount -l "$D/mount$1" 2>/dev/null || true
  rm -f "$D/client$1.pid"
}

case $verb in
  up) write_files; server_start; for i in $(seq "${3:-2}"); do boot "$i"; done ;;
  cut) cut "$3" ;;
  boot) boot "$3" ;;
  server-stop) server_stop ;;
  server-start) server_start ;;
  guard) while kill -0 "$3" 2>/dev/null && [ -d "$D" ]; do sleep 1; done; [ ! -d "$D" ] || exec "$0" down "$D" ;;
  down)
    for file in "$D"/client*.pid; do [ -e "$file" ] || continue; i=${file##*/client}; cut "${i%.pid}"; done
    server_stop
    rm -rf --one-file-system "$D" ;;
  *) sed -n 2,16p "$0"; exit 2 ;;
esac
