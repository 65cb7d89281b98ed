#!/usr/bin/env bash
# An NFS server and N clients with kernels of their own on one machine, for tests: no container, no systemd.
#
#   nfs.sh up DIR [N]         server and N guests (default 2), each with the export on /mnt/spool; returns when mounted
#   nfs.sh down DIR           stops everything that up started, and removes DIR
#   nfs.sh cut DIR I          guest I loses its power; its locks stay with the server until its NFS lease ends
#   nfs.sh boot DIR I         guest I comes back
#   nfs.sh server-stop DIR    kills the server (hard mounts block)
#   nfs.sh server-start DIR   starts it again
#   nfs.sh ask DIR I          standard input and output of this command become those of the agent in guest I
#   nfs.sh guard DIR PID      waits for the end of a process, then does `down`: no test leaves anything behind
#
# Guests are User-Mode-Linux kernels whose root is this machine's file system, copy-on-write. Each is a computer of its
# own: kernel, caches, NFS state, host name, process ids. DIR/export is the exported folder; DIR/side is writable in
# guests under the same name without NFS (for what the tests themselves must write down). The network is a namespace of
# its own without a way out.
#
# Needs root, /dev/net/tun, a C compiler, and the packages named in README.md.
# Environment: NFS_OPTIONS (of the mount), UML_MEM (256M).
set -euo pipefail
export PATH=$PATH:/usr/sbin:/sbin
verb=$1 D=$2 HERE=$(cd "$(dirname "$0")" && pwd)
space=wz$(basename "$D" | tr -dc 'A-Za-z0-9' | tail -c 10)
if [ "$verb" != guard ] && [ "$(ip netns identify $$ 2>/dev/null)" != "$space" ]; then
  if [ "$verb" = up ]; then ip netns add "$space"; ip -n "$space" link set lo up; fi
  [ -e "/run/netns/$space" ] || { echo "not up: $D" >&2; exit 1; }
  exec nsenter --net="/run/netns/$space" bash "$0" "$@"
fi
NET=10.78.0 OPTIONS=${NFS_OPTIONS:-vers=4.2,proto=tcp,hard} LEASE=10
PYTHON=$(dirname "$(readlink -f "$(command -v python3)")")

alive() { [ -s "$1" ] && kill -0 "$(cat "$1")" 2>/dev/null; }

write_files() {
  mkdir -p "$D"/{run,export,side,recovery}
  chmod 755 "$D"; chmod 1777 "$D/export" "$D/side"
  cc -O2 -shared -fPIC -o "$D/whole_xstate.so" "$HERE/whole_xstate.c"
  cat > "$D/ganesha.conf" <<CONF
NFS_CORE_PARAM { Protocols = 4; NFS_Port = 2049; Bind_addr = $NET.254; Enable_NLM = false; Enable_RQUOTA = false; }
NFSV4 { Graceless = true; Lease_Lifetime = $LEASE; Grace_Period = $LEASE; RecoveryBackend = fs; RecoveryRoot = "$D/recovery"; Minor_Versions = 0,1,2; }
NFS_KRB5 { Active_krb5 = false; }
EXPORT_DEFAULTS { Access_Type = RW; Squash = No_Root_Squash; SecType = sys; }
EXPORT { Export_Id = 1; Path = $D/export; Pseudo = /spool; FSAL { Name = VFS; } }
LOG { Default_Log_Level = EVENT; }
CONF
  cat > "$D/init.sh" <<INIT
#!/bin/bash
export PATH=$PYTHON:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root PYTHONDONTWRITEBYTECODE=1
modules=/usr/lib/uml/modules/\$(uname -r)
load() {
  local line i
  line=\$(grep "/\$1.ko:" \$modules/modules.dep); line=(\${line/:/})
  for ((i = \${#line[@]} - 1; i >= 0; i--)); do busybox insmod \$modules/\${line[i]} 2>/dev/null; done
}
if [ "\$1" != 2 ]; then  # a copy-on-write view of this machine's files: hostfs below, read-only, tmpfs above
  load overlay
  mount -t tmpfs -o mode=755 upper /mnt; mkdir /mnt/upper /mnt/work /mnt/root
  mount -t overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work none /mnt/root
  cd /mnt/root; exec busybox chroot /mnt/root /bin/bash $D/init.sh 2
fi
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev 2>/dev/null
mkdir -p /dev/shm /dev/pts; mount -t tmpfs -o mode=1777 shm /dev/shm; mount -t devpts pts /dev/pts
ln -sfn /proc/self/fd /dev/fd; mount -t tmpfs run /run
for word in \$(cat /proc/cmdline); do case \$word in node=*) node=\${word#*=};; options=*) options=\${word#*=};; esac; done
load nfsv4; load nfsv3
hostname node\$node; ip link set lo up; ip addr add $NET.\$node/24 dev vec0; ip link set vec0 up
mkdir -p /mnt/spool
mount -t nfs -o "\$options" $NET.254:/spool /mnt/spool || echo MOUNT FAILED
mount -t hostfs -o $D/side none $D/side
exec python3 -u $HERE/agent.py serve $NET.\$node
INIT
  chmod +x "$D/init.sh"
}

server_start() {
  alive "$D/run/ganesha.pid" && return
  mkdir -p /run/ganesha
  setsid ganesha.nfsd -F -f "$D/ganesha.conf" -L "$D/ganesha.log" -p "$D/run/ganesha.own" \
    </dev/null >>"$D/ganesha.out" 2>&1 &
  echo $! > "$D/run/ganesha.pid"
  for _ in $(seq 200); do (exec 9<>"/dev/tcp/$NET.254/2049") 2>/dev/null && return; sleep 0.1; done
  tail -n 5 "$D/ganesha.log" >&2; return 1
}

server_stop() { alive "$D/run/ganesha.pid" && kill -9 "$(cat "$D/run/ganesha.pid")"; rm -f "$D/run/ganesha.pid"; }

boot() {
  alive "$D/run/guest$1.pid" && return
  ip link show "tap$1" >/dev/null 2>&1 || { ip tuntap add dev "tap$1" mode tap; ip link set "tap$1" master bridge up; }
  LD_PRELOAD="$D/whole_xstate.so" setsid linux.uml mem="${UML_MEM:-256M}" root=/dev/root rootfstype=hostfs rootflags=/ \
    ro init="$D/init.sh" node="$1" options="$OPTIONS" vec0:transport=tap,ifname="tap$1",depth=128,gro=1 \
    con=null con0=null,fd:1 con1=null,fd:1 quiet umid="n$1" uml_dir="$D/run/" </dev/null >"$D/console.$1" 2>&1 &
  echo $! > "$D/run/guest$1.pid"
}

ready() {
  for _ in $(seq 300); do
    (exec 9<>"/dev/tcp/$NET.$1/7000") 2>/dev/null && break
    alive "$D/run/guest$1.pid" || { tail -n 20 "$D/console.$1" >&2; return 1; }
    sleep 0.1
  done
  ! grep 'MOUNT FAILED' "$D/console.$1" >&2
}

cut() {
  [ -s "$D/run/guest$1.pid" ] || return 0
  kill -9 -- "-$(cat "$D/run/guest$1.pid")" 2>/dev/null || true
  rm -rf "$D/run/guest$1.pid" "$D/run/n$1"
}

case $verb in
  up)
    write_files
    ip link add bridge type bridge; ip addr add "$NET.254/24" dev bridge; ip link set bridge up
    server_start
    for i in $(seq "${3:-2}"); do boot "$i"; done
    for i in $(seq "${3:-2}"); do ready "$i"; done ;;
  cut) cut "$3" ;;
  boot) boot "$3"; ready "$3" ;;
  server-stop) server_stop ;;
  server-start) server_start ;;
  ask) exec python3 -u "$HERE/agent.py" ask "$NET.$3" ;;
  guard) while kill -0 "$3" 2>/dev/null && [ -d "$D" ]; do sleep 1; done; [ ! -d "$D" ] || exec "$0" down "$D" ;;
  down)
    for file in "$D"/run/guest*.pid; do [ -e "$file" ] || continue; i=${file##*/guest}; cut "${i%.pid}"; done
    server_stop
    ip netns del "$space"
    rm -rf --one-file-system "$D" ;;
  *) sed -n 2,20p "$0"; exit 2 ;;
esac
