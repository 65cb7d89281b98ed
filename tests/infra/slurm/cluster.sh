#!/usr/bin/env bash
# A throw-away Slurm of several nodes on one machine: no systemd, no containers, no accounting, no privilege.
#
#   cluster.sh up DIR [N]      munged, slurmctld and N slurmd (default 3); returns when all nodes are idle
#   cluster.sh down DIR        stops everything that up started, and removes DIR
#   cluster.sh cut DIR I       node I loses its power: SIGKILL to its slurmd and all that runs on it
#   cluster.sh start DIR I     node I comes back
#   cluster.sh guard DIR PID   waits for the end of a process, then does `down`: no test leaves a cluster behind
#
# Nodes are slurmd processes on different ports of the loopback address, and share the machine's host name; their names
# are n1, n2, ... Partitions: main; low, preempted by requeue with 10 s of grace; urgent, which preempts it.
# CTL_PORT and NODE_PORT choose ports.
set -euo pipefail
export PATH=/usr/sbin:/sbin:$PATH
verb=$1 D=$2
CTL_PORT=${CTL_PORT:-16817} NODE_PORT=${NODE_PORT:-17000}
export SLURM_CONF=$D/etc/slurm.conf

alive() { [ -s "$1" ] && kill -0 "$(cat "$1")" 2>/dev/null; }

write_conf() {
  local n=$1 host plugins me i
  host=$(hostname -s) me=$(id -un)
  plugins=$(dirname "$(find /usr/lib /usr/lib64 /usr/local/lib -name auth_munge.so -path '*slurm*' 2>/dev/null | head -1)")
  mkdir -p "$D"/{etc,state,log,run,gpu,munge}
  chmod 755 "$D" "$D/munge"
  # Two fake GPUs a node; they must be device nodes, or slurmd sets no CUDA_VISIBLE_DEVICES.
  local devices="$D/gpu/nv[0-1]"
  for i in 0 1; do mknod "$D/gpu/nv$i" c 1 3 2>/dev/null || devices="/dev/tty[0-1]"; done
  printf 'AutoDetect=off\nNodeName=n[1-%s] Name=gpu File=%s\n' "$n" "$devices" > "$D/etc/gres.conf"
  # Without this file slurmd tries to mount cgroups.
  printf 'CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n' > "$D/etc/cgroup.conf"
  cat > "$D/etc/slurm.conf" <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmUser=$me
SlurmdUser=$me
AuthType=auth/munge
CredType=cred/munge
# A requeued job is not started again before cred_expire + 1 s (default 120, also for values below 5).
AuthInfo=socket=$D/munge/sock,cred_expire=5
SlurmctldPort=$CTL_PORT
SlurmctldPidFile=$D/run/slurmctld.pid
SlurmctldLogFile=$D/log/slurmctld.log
SlurmdPidFile=$D/run/slurmd.%n.pid
SlurmdLogFile=$D/log/slurmd.%n.log
SlurmdSpoolDir=$D/spool.%n
StateSaveLocation=$D/state
PluginDir=$plugins
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=2,sched_min_interval=0,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
JobRequeue=1
ReturnToService=2
SlurmdTimeout=10
SlurmctldTimeout=10
MessageTimeout=5
KillWait=10
InactiveLimit=0
MinJobAge=600
MaxArraySize=5
DefMemPerCPU=100
GresTypes=gpu
NodeName=n[1-$n] NodeAddr=127.0.0.1 NodeHostName=$host Port=[$((NODE_PORT + 1))-$((NODE_PORT + n))] CPUs=2 Sockets=1 CoresPerSocket=2 ThreadsPerCore=1 RealMemory=4000 Gres=gpu:2 State=UNKNOWN
PartitionName=main   Nodes=n[1-$n] Default=YES MaxTime=INFINITE DefaultTime=60 PriorityTier=10 State=UP
PartitionName=low    Nodes=n[1-$n] MaxTime=INFINITE DefaultTime=60 PriorityTier=1 PreemptMode=REQUEUE GraceTime=10 State=UP
PartitionName=urgent Nodes=n[1-$n] MaxTime=INFINITE DefaultTime=60 PriorityTier=100 PreemptMode=OFF State=UP
CONF
}

start_node() {
  alive "$D/run/node$1.pid" && return
  mkdir -p "$D/spool.n$1"
  CLUSTER_NODE="$D:n$1" setsid slurmd -D -N "n$1" </dev/null >>"$D/log/n$1.out" 2>&1 &
  echo $! > "$D/run/node$1.pid"
}

cut_node() {
  local pid
  [ -s "$D/run/node$1.pid" ] || return 0
  kill -9 "$(cat "$D/run/node$1.pid")" 2>/dev/null || true
  # slurmstepd inherits CLUSTER_NODE; tasks have SLURMD_NODENAME and SLURM_CONF; both outlive slurmd.
  { grep -lzsx "CLUSTER_NODE=$D:n$1" /proc/[0-9]*/environ
    grep -lzsx "SLURM_CONF=$SLURM_CONF" $(grep -lzsx "SLURMD_NODENAME=n$1" /proc/[0-9]*/environ) /dev/null; } 2>/dev/null |
    while IFS=/ read -r _ _ pid _; do kill -9 "$pid" 2>/dev/null || true; done || true
  rm -f "$D/run/node$1.pid"
}

wait_idle() {
  local end=$((SECONDS + 40))
  until [ "$(sinfo -h -N -p main -o %t 2>/dev/null | grep -cE '^(idle|alloc|mix)$')" -ge "$1" ]; do
    [ $SECONDS -lt $end ] || { echo "nodes are not idle after 40 s" >&2; sinfo -N >&2; tail -n 5 "$D"/log/* >&2; exit 1; }
    sleep 0.1
  done
}

case $verb in
  up)
    n=${3:-3}
    write_conf "$n"
    head -c 128 /dev/urandom > "$D/munge/key"; chmod 600 "$D/munge/key"
    # --force: the folder lies below /tmp; runs as this user, not as "munge"
    munged --force --key-file="$D/munge/key" --socket="$D/munge/sock" --pid-file="$D/run/munged.pid" \
      --log-file="$D/log/munged.log" --seed-file="$D/munge/seed" --num-threads=4 2>>"$D/log/munged.err"
    setsid slurmctld -D </dev/null >>"$D/log/slurmctld.out" 2>&1 &
    echo $! > "$D/run/slurmctld.own.pid"
    for i in $(seq "$n"); do start_node "$i"; done
    wait_idle "$n" ;;
  guard) while kill -0 "$3" 2>/dev/null && [ -d "$D" ]; do sleep 1; done; [ ! -d "$D" ] || exec "$0" down "$D" ;;
  start) start_node "$3" ;;
  cut) cut_node "$3" ;;
  down)
    if alive "$D/run/slurmctld.own.pid"; then timeout 3 scancel -u "$(id -un)" 2>/dev/null || true; sleep 0.3; fi
    for file in "$D"/run/node*.pid; do [ -e "$file" ] || continue; i=${file##*/node}; cut_node "${i%.pid}"; done
    for name in slurmctld.own munged; do
      alive "$D/run/$name.pid" || continue
      pid=$(cat "$D/run/$name.pid"); kill "$pid" 2>/dev/null || true
      for _ in $(seq 30); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
      kill -9 "$pid" 2>/dev/null || true
    done
    rm -rf "$D" ;;
  *) sed -n 2,12p "$0"; exit 2 ;;
esac
