//  proto/table/worker.h - messages: workers on accelerators. See proto/table.h.
#ifndef UMBP_TABLE_WORKER_H
#define UMBP_TABLE_WORKER_H

#define UMBP_MESSAGES_worker(MESSAGE) \
    MESSAGE (150, workers, "client -> worker: which workers has this node, and how are they?") \
    MESSAGE (151, workers_ok, "worker -> client.") \
    MESSAGE (152, worker_allocate, \
             "client -> worker: these devices for this worker, all or none; again is fine.") \
    MESSAGE (153, worker_allocate_ok, "worker -> client: it has them.") \
    MESSAGE (154, worker_release, \
             "client -> worker: this worker is over: end its process, free its devices. For ever.") \
    MESSAGE (155, worker_start, "client -> worker: let its process run again. Answered with ok.") \
    MESSAGE (156, worker_stop, \
             "client -> worker: end its process until it is started. Answered with ok once it ended.") \
    MESSAGE (157, worker_events, \
             "client -> worker: what happened since that event? Waits for one until the deadline.") \
    MESSAGE (158, worker_events_ok, "worker -> client.") \
    MESSAGE (181, worker_freeze, \
             "client -> worker: stop its process in its tracks, or let it go on. Answered with ok.")

//  Workers (actors/worker.h). A state is 0 Pending, 1 DeviceAllocating, 2 Running, 3 Terminated; a mode
//  0 shared, 1 soft, 2 hard, 3 partitioned; a qos 0 low, 1 medium, 2 high, 3 critical
#define UMBP_FIELDS_workers(F, m) \
    F (m, 4, uid, TEXT, MAY, 0, 0, UMBP_NAME_MAX, "of which; empty: all")
#define UMBP_FIELDS_workers_ok(F, m) \
    F (m, 4, folder, TEXT, MUST, 0, 0, UMBP_TEXT_MAX, "where workers.json is") \
    F (m, 5, bad, U64, MUST, 0, 0, 2, "of its files, that are no JSON now and so are not heeded") \
    F (m, 6, uids, COLUMN, MUST, 1, 1, UMBP_NAME_MAX, "workers") \
    F (m, 7, names, COLUMN, MUST, 1, 0, UMBP_NAME_MAX, "what they are called") \
    F (m, 8, spaces, COLUMN, MUST, 1, 0, UMBP_NAME_MAX, "in which namespace") \
    F (m, 9, states, U8S, MUST, 1, 0, UMBP_WORKERS_MAX, "of each") \
    F (m, 10, modes, U8S, MUST, 1, 0, UMBP_WORKERS_MAX, "isolation mode") \
    F (m, 11, qoses, U8S, MUST, 1, 0, UMBP_WORKERS_MAX, "quality of service") \
    F (m, 12, pids, U32S, MUST, 1, 0, UMBP_WORKERS_MAX, "its process; 0: none runs") \
    F (m, 13, inner_pids, U32S, MUST, 1, 0, UMBP_WORKERS_MAX, \
       "the same in its innermost namespace of pids") \
    F (m, 14, pods, COLUMN, MUST, 1, 0, UMBP_TEXT_MAX, "namespace_pod_container it runs in, or the uid of the pod") \
    F (m, 15, restarts, U64S, MUST, 1, 0, UMBP_WORKERS_MAX, "times its process was started again") \
    F (m, 16, codes, U16S, MUST, 1, 0, UMBP_WORKERS_MAX, \
       "exit status of the last one, 128 and a signal; 65535: unknown") \
    F (m, 17, waits_ms, U32S, MUST, 1, 0, UMBP_WORKERS_MAX, "until it is started again") \
    F (m, 18, stops, U8S, MUST, 1, 0, UMBP_WORKERS_MAX, "1: its process is stopped, or about to be") \
    F (m, 19, reasons, COLUMN, MUST, 1, 0, UMBP_TEXT_MAX, "why it does not go on") \
    F (m, 20, device_counts, U8S, MUST, 1, 0, UMBP_WORKERS_MAX, \
       "how many rows of the next columns are its") \
    F (m, 21, devices, COLUMN, MUST, 2, 1, UMBP_NAME_MAX, "devices it has, or shall have") \
    F (m, 22, partitions, COLUMN, MUST, 2, 0, UMBP_NAME_MAX, "which part of each; empty: no part") \
    F (m, 23, losts, U8S, MAY, 1, 0, UMBP_WORKERS_MAX, "1: a device that it has is gone or failed") \
    F (m, 24, frozens, U8S, MAY, 1, 0, UMBP_WORKERS_MAX, "1: its process is stopped in its tracks")
#define UMBP_FIELDS_worker_allocate(F, m) \
    F (m, 4, uid, TEXT, MUST, 0, 1, UMBP_NAME_MAX, "of the worker; an unknown one is made, without a process") \
    F (m, 5, devices, COLUMN, MUST, 0, 1, UMBP_NAME_MAX, "uuids, 1 to 16") \
    F (m, 6, mode, U64, MAY, 0, 0, 3, "isolation mode") \
    F (m, 7, template, TEXT, MAY, 0, 0, UMBP_NAME_MAX, "kind of partition")
#define UMBP_FIELDS_worker_allocate_ok(F, m) \
    F (m, 4, devices, COLUMN, MUST, 1, 1, UMBP_NAME_MAX, "uuids") \
    F (m, 5, partitions, COLUMN, MUST, 1, 0, UMBP_NAME_MAX, "which part of each; empty: no part") \
    F (m, 6, env_names, COLUMN, MUST, 2, 1, UMBP_NAME_MAX, "variables that its process needs") \
    F (m, 7, env_values, COLUMN, MUST, 2, 0, 2048, "and their values")
#define UMBP_FIELDS_worker_release(F, m) F (m, 4, uid, TEXT, MUST, 0, 1, UMBP_NAME_MAX, "which")
#define UMBP_FIELDS_worker_start(F, m) F (m, 4, uid, TEXT, MUST, 0, 1, UMBP_NAME_MAX, "which")
#define UMBP_FIELDS_worker_stop(F, m) F (m, 4, uid, TEXT, MUST, 0, 1, UMBP_NAME_MAX, "which")
#define UMBP_FIELDS_worker_freeze(F, m) \
    F (m, 4, uid, TEXT, MUST, 0, 1, UMBP_NAME_MAX, "which") \
    F (m, 5, frozen, BOOL, MAY, 0, 0, 1, "else it goes on")
#define UMBP_FIELDS_worker_events(F, m) \
    F (m, 4, since, U64, MAY, 0, 0, UINT64_MAX, "number of the last event that is known; 0: all")
#define UMBP_FIELDS_worker_events_ok(F, m) \
    F (m, 4, last, U64, MUST, 0, 0, UINT64_MAX, "number of the last event: ask from there the next time") \
    F (m, 5, lost, U64, MAY, 0, 0, UINT64_MAX, "events since then that are forgotten: ask for the workers") \
    F (m, 6, kinds, U8S, MUST, 1, 0, UMBP_WORKERS_MAX, \
       "1 added, 2 removed, 3 changed, 4 state, 5 started, 6 adopted, 7 ended, 8 failed, 9 a device " \
       "of it is gone or failed, 10 it is back, 11 frozen, 12 it goes on") \
    F (m, 7, uids, COLUMN, MUST, 1, 1, UMBP_NAME_MAX, "of which worker") \
    F (m, 8, states, U8S, MUST, 1, 0, UMBP_WORKERS_MAX, "its state then") \
    F (m, 9, pids, U32S, MUST, 1, 0, UMBP_WORKERS_MAX, "its process then; 0: none") \
    F (m, 10, reasons, COLUMN, MUST, 1, 0, UMBP_TEXT_MAX, "more, in words") \
    F (m, 11, ages_ms, U64S, MUST, 1, 0, UMBP_WORKERS_MAX, "since it happened")

#endif
