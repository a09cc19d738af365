#!/bin/bash
# The first process of every kernel of nfs-lab. $labnode and $labdir come from the kernel's command line.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
. "$labdir/$labnode/env"
exec </dev/null
mount -t proc proc /proc; mount -t sysfs sysfs /sys
mkdir -p /dev/pts /dev/shm; mount -t devpts devpts /dev/pts; mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/home /run/etc /run/nfs/rpc_pipefs /run/modroot/lib/modules /run/sendsigs.omit.d /run/rpcbind
cp "$labdir/nfs_agent.py" /run/
ln -s "$LAB_MODS" "/run/modroot/lib/modules/$(uname -r)"
printf '#!/bin/sh\nexec /sbin/modprobe -d /run/modroot "$@"\n' >/run/modprobe; chmod +x /run/modprobe
echo /run/modprobe >/proc/sys/kernel/modprobe

# who this machine is
hostname "$labnode"
echo "$labnode" >/run/etc/hostname; cp "$labdir/hosts" /run/etc/hosts; echo -n "$labnode" | md5sum | cut -c1-32 >/run/etc/machine-id
for f in hostname hosts machine-id; do [ -f /etc/$f ] && mount --bind /run/etc/$f /etc/$f; done

# hide the host's writable places; the host stays visible, read-only, at /mnt/host
mount -t tmpfs tmpfs /mnt; mkdir -p /mnt/shared /mnt/host
mount -t hostfs -o ro none /mnt/host
mount -t tmpfs -o mode=1777 tmpfs /tmp; mount -t tmpfs -o mode=1777 tmpfs /var/tmp
IFS=:; for d in $LAB_BIND; do [ -n "$d" ] && mkdir -p "$d" && mount -t hostfs -o "ro,$d" none "$d"; done; unset IFS
[ -d /var/lib/nfs ] && mount --bind /run/nfs /var/lib/nfs

# One packet a segment: the driver truncates packets that it was to cut up later, and every fourth is sent twice.
ip link set lo up
ip addr add "$LAB_DATA/24" dev vec0; ip link set vec0 gso_max_segs 1 up
ip addr add "$LAB_CTL/24" dev vec1; ip link set vec1 gso_max_segs 1 up
/run/modprobe sunrpc; mount -t rpc_pipefs rpc_pipefs /run/nfs/rpc_pipefs
export HOME=/run/home PYTHONDONTWRITEBYTECODE=1 PATH="$(dirname "$LAB_PYTHON"):$PATH"

if [ "$labnode" = server ]; then
  # the disk: /run/disk/export is what clients see, nfsstate survives reboots (for v4 recovery)
  mkdir -p /run/disk; mount -t ext4 /dev/ubda /run/disk || echo "LAB: the disk could not be mounted"
  mkdir -p /run/disk/export /run/disk/nfsstate; chmod 1777 /run/disk/export
  umount /run/nfs/rpc_pipefs; umount /var/lib/nfs; mount --bind /run/disk/nfsstate /var/lib/nfs
  mkdir -p /var/lib/nfs/{rpc_pipefs,v4recovery,sm,sm.bak,nfsdcld}
  touch /var/lib/nfs/etab /var/lib/nfs/rmtab; mount -t rpc_pipefs rpc_pipefs /var/lib/nfs/rpc_pipefs
  /run/modprobe nfsd; mount -t nfsd nfsd /proc/fs/nfsd
  echo "$LAB_LEASE" >/proc/fs/nfsd/nfsv4leasetime; echo "$LAB_LEASE" >/proc/fs/nfsd/nfsv4gracetime
  rpcbind -w; nfsdcld -p /var/lib/nfs/rpc_pipefs; rpc.statd --no-notify
  exportfs -o "fsid=0,$LAB_EXPORT_OPTS" "*:/run/disk/export"
  rpc.nfsd 8; rpc.mountd; sm-notify
  touch /run/ready
else
  if [ "$LAB_VERS" = 3 ]; then
    /run/modprobe nfsv3; mkdir -p /var/lib/nfs/sm /var/lib/nfs/sm.bak; rpcbind -w; rpc.statd --no-notify
  else
    /run/modprobe nfsv4
  fi
  ( for t in 1 2 3 4 5 6 7 8 9 10; do
      mount -v -t nfs -o "vers=$LAB_VERS${LAB_MOUNT_OPTS:+,$LAB_MOUNT_OPTS}" "$LAB_SRC" /mnt/shared && { touch /run/ready; break; }
      sleep 0.5
    done; grep shared /proc/mounts ) &
fi
"$LAB_PYTHON" -S /run/nfs_agent.py "$LAB_CTL" 7777 &
while :; do wait; sleep 1; done
