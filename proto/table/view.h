//  proto/table/view.h - messages: blocks in device memory, held for engines of the host. See proto/table.h.
#ifndef UMBP_TABLE_VIEW_H
#define UMBP_TABLE_VIEW_H

#define UMBP_MESSAGES_view(MESSAGE) \
    MESSAGE (176, device_lease, \
             "client -> tier manager, only through its door: hold these blocks where they lie on the device.") \
    MESSAGE (177, device_lease_ok, \
             "tier manager -> client: where that is, and what the driver needs to map it.") \
    MESSAGE (178, device_check, \
             "client -> tier manager, through that door: do these leases hold? Answered with ok, or ESTALE.")

//  Block i owns the next counts[i] rows of group 2
#define UMBP_FIELDS_device_lease(F, m) \
    F (m, 4, keys, COLUMN, MUST, 1, 1, UMBP_KEY_MAX, "blocks to hold, as the client calls them")
#define UMBP_FIELDS_device_lease_ok(F, m) \
    F (m, 4, statuses, S8S, MUST, 1, 0, UMBP_LENT_MAX, \
       "0 held, ENOENT not on this device, EAGAIN on its way there") \
    F (m, 5, sizes, U32S, MUST, 1, 0, UMBP_LENT_MAX, "bytes of each block") \
    F (m, 6, sums, U64S, MUST, 1, 0, UMBP_LENT_MAX, "XXH3-64 of each block") \
    F (m, 7, counts, U16S, MUST, 1, 0, UMBP_LENT_MAX, "how many spans are this block's") \
    F (m, 8, chunks, U16S, MUST, 2, 0, UMBP_EXTENTS_MAX, "of each span: its row in group 3") \
    F (m, 9, offsets, U64S, MUST, 2, 0, UMBP_EXTENTS_MAX, "where in that chunk it begins") \
    F (m, 10, bytes, U64S, MUST, 2, 0, UMBP_EXTENTS_MAX, "how many it has") \
    F (m, 11, handles, BYTES, MUST, 0, 0, UMBP_REGIONS_MAX * 64, \
       "64 bytes for each chunk: its handle, as the driver exports it") \
    F (m, 12, chunk_bytes, U64S, MUST, 3, 0, UMBP_REGIONS_MAX, "size of each chunk") \
    F (m, 13, kind, TEXT, MUST, 0, 1, 8, "whose handles they are: cuda, hip or mock") \
    F (m, 14, device, U64, MUST, 0, 0, UINT32_MAX, "its number there") \
    F (m, 15, lease, U64, MUST, 0, 0, UINT64_MAX, "one lease on all that are held; 0: none is") \
    F (m, 16, ttl_ms, U64, MUST, 0, 1, UINT32_MAX, "how long it holds, from when it was asked for")
#define UMBP_FIELDS_device_check(F, m) \
    F (m, 4, leases, U64S, MUST, 0, 0, UMBP_BATCH_MAX, "which: ESTALE if one of them is over") \
    F (m, 5, release, BOOL, MAY, 0, 0, 1, "and end them now")

#endif
