#!/usr/bin/env bash
# A MooseFS volume with two or more FUSE clients on this machine, for tests; its network is a namespace of its own.
#
#   moosefs.sh up DIR [N]         master, chunk server and N mounts (default 2), DIR/mount1 and so on; DIR/export is one
#                                 more mount, for judging
#   moosefs.sh down DIR           unmounts, stops and removes everything
#   moosefs.sh cut DIR I          client I dies with its mount (processes on it are the caller's to kill)
#   moosefs.sh boot DIR I         client I comes back
#   moosefs.sh server-stop DIR    kills the master
#   moosefs.sh server-start DIR   starts it again; it recovers its metadata from the change log
#   moosefs.sh guard DIR PID      waits for the end of a process, then does `down`
#
# Locks exclude across clients, times have whole seconds, attributes are up to one second old.
set -euo pipefail
verb=$1 D=$2
PATH=$PATH:/usr/sbin:/sbin
HERE=$(cd "$(dirname "$0")" && pwd)
space=wz$(cksum <<<"$D" | cut -d' ' -f1) ADDRESS=10.79.0.254 PORT=19419

# The chunk server refuses the loopback address.
if [ "$verb" != guard ] && [ "$(ip netns identify $$)" != "$space" ]; then
  ip netns add "$space" 2>/dev/null || true
  exec nsenter --net=/run/netns/"$space" "$HERE/moosefs.sh" "$@"
fi

alive() { [ -s "$1" ] && kill -0 "$(cat "$1")" 2>/dev/null; }

write_files() {
  mkdir -p "$D"/{master,chunk,disk,export,side}
  cp /var/lib/mfs/metadata.mfs.empty "$D/master/metadata.mfs"
  echo "* / rw,alldirs,maproot=0" > "$D/exports"
  echo "$D/disk" > "$D/disks"
  : > "$D/topology"
  local common="WORKING_USER = $(id -un)
WORKING_GROUP = $(id -gn)"
  cat > "$D/master.cfg" <<CONF
$common
DATA_PATH = $D/master
EXPORTS_FILENAME = $D/exports
TOPOLOGY_FILENAME = $D/topology
MATOML_LISTEN_HOST = $ADDRESS
MATOML_LISTEN_PORT = $PORT
MATOCS_LISTEN_HOST = $ADDRESS
MATOCS_LISTEN_PORT = $((PORT + 1))
MATOCL_LISTEN_HOST = $ADDRESS
MATOCL_LISTEN_PORT = $((PORT + 2))
CONF
  cat > "$D/chunk.cfg" <<CONF
$common
DATA_PATH = $D/chunk
HDD_CONF_FILENAME = $D/disks
HDD_LEAVE_SPACE_DEFAULT = 64MiB
MASTER_HOST = $ADDRESS
MASTER_PORT = $((PORT + 1))
CSSERV_LISTEN_HOST = $ADDRESS
CSSERV_LISTEN_PORT = $((PORT + 3))
CONF
}

server_start() {
  setsid mfsmaster -c "$D/master.cfg" -a -f start </dev/null >>"$D/master.log" 2>&1 &
  echo $! > "$D/master.pid"
  for _ in $(seq 100); do (exec 9<>"/dev/tcp/$ADDRESS/$((PORT + 2))") 2>/dev/null && return; sleep 0.1; done
  tail -n 5 "$D/master.log" >&2; return 1
}

server_stop() { ! alive "$D/master.pid" || kill -9 "$(cat "$D/master.pid")"; rm -f "$D/master.pid"; }

chunks_start() {
  setsid mfschunkserver -c "$D/chunk.cfg" -f start </dev/null >>"$D/chunk.log" 2>&1 &
  echo $! > "$D/chunk.pid"
}

# A file can be written once the chunk server has told the master of itself.
ready() {
  for _ in $(seq 200); do
    { echo ok > "$D/export/.ready" && grep -q ok "$D/export/.ready"; } 2>/dev/null && { rm "$D/export/.ready"; return; }
    sleep 0.1
  done
  tail -n 5 "$D/chunk.log" >&2; return 1
}

join() {
  mkdir -p "$1"
  ! mountpoint -q "$1" || return 0
  setsid mfsmount "$1" -f -H "$ADDRESS" -P $((PORT + 2)) -o allow_other </dev/null >>"$D/mounts.log" 2>&1 &
  echo $! > "$1.pid"
  for _ in $(seq 100); do mountpoint -q "$1" && return; sleep 0.1; done
  tail -n 5 "$D/mounts.log" >&2; return 1
}

leave() {
  [ -s "$1.pid" ] || return 0
  kill -9 -- "-$(cat "$1.pid")" 2>/dev/null || true
  umount -l "$1" 2>/dev/null || true
  rm -f "$1.pid"
}

case $verb in
  up)
    write_files
    ip link set lo up
    ip link add bridge type bridge; ip addr add "$ADDRESS/24" dev bridge; ip link set bridge up
    server_start
    chunks_start
    join "$D/export"
    ready
    for i in $(seq "${3:-2}"); do join "$D/mount$i"; done ;;
  cut) leave "$D/mount$3" ;;
  boot) join "$D/mount$3" ;;
  server-stop) server_stop ;;
  server-start) server_start ;;
  guard) while kill -0 "$3" 2>/dev/null && [ -d "$D" ]; do sleep 1; done; [ ! -d "$D" ] || exec "$0" down "$D" ;;
  down)
    for file in "$D"/{mount*,export}.pid; do [ ! -e "$file" ] || leave "${file%.pid}"; done
    ! alive "$D/chunk.pid" || kill -9 "$(cat "$D/chunk.pid")"
    server_stop
    ip netns del "$space"
    rm -rf --one-file-system "$D" ;;
  *) sed -n 2,15p "$0"; exit 2 ;;
esac
