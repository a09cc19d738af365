"""What a batch system says of the job of an owner that is silent or gone: Slurm, Grid Engine, PBS, LSF.

Guarantee: a word (`claims.peers.Word`) is given only of exactly the job that the owner's record names, by the batch
system of the same cluster, and only when it says that the job is over. A job that it does not know, one that is
pending, running, suspended, about to end or running once more after it was requeued, another cluster, a program that is
missing, hangs, fails or says what nobody understands: all of that proves nothing, and patience goes on as if nobody had
asked.

Condition of the proof: the batch system ends the processes of a job with the job, as slurmd, sge_execd, pbs_mom and
sbatchd do. Where it says itself that it could not (a node that failed, a job that was removed without asking its node),
the word is no proof but a reason for suspicion, as silence past patience is: the attempt is taken over, for the batch
system would itself start such a job a second time, but what the owner has written stays until it is proved gone. No
promise but "one owner" rests on either: an output is never replaced, whatever a batch system says.

Times and start counts are not compared: clocks of two machines, and numbers that are given again, prove nothing. The
number of a job that was given again only says "ended" when the later job of that number has ended, too.

    inquiry   whom to ask about, and when: seldom, in bulk, never two questions at a time
    command   one question to a program: fixed arguments, no shell, a time limit
    slurm, gridengine, pbs, lsf   what to ask, and what the answer means; pure but for the talk that is handed in

Slurm and Grid Engine are tested with real clusters; PBS and LSF only with answers that were recorded elsewhere.
"""
