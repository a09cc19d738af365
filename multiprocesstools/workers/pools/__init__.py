"""What a pool is made of, beneath `WorkerController` and `AppRunner`.

engine, shift, feed, desk, outbox, tally    its thread: tasks are given, results counted, kept and reported
shared_run, hands, trusted                  the same with the tasks of one list shared by pools on many machines
pool, staff, worker, line                   its processes, and how both sides talk
packing, apart, memory                      what travels: as bytes, or in memory that both have
"""
