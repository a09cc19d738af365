"""Real network filesystems under random faults: `nfs` (four machines and a server), `mounts` (sshfs and GlusterFS)."""
