//  proto/table.h - the message table: every message, every field, every limit, once, in a file of table/
//  for each actor or idea. The C structs, encode, decode, check, print, the random generator and
//  proto/umbp.cddl all come from here.
//
//  MESSAGE (number, name, "what it says")
//      number  for ever: a new message takes a new one
//  FIELD (message, key, name, KIND, NEED, group, low, high, "what it means")
//      key     the field's number in the CBOR map: for ever too; 0..3 and 31 are the head's
//      KIND    U64 BOOL TEXT BYTES COLUMN U8S S8S U16S U32S U64S
//      NEED    MUST be there, or MAY be (absent reads as 0, false or empty)
//      group   columns of one group have the same count (a MAY column may also be empty);
//              0: on its own
//      low..high  U64: the value; TEXT, BYTES: the size; COLUMN: the size of each item;
//                 arrays: the count. A TEXT is UTF-8 without NUL
#ifndef UMBP_TABLE_H
#define UMBP_TABLE_H

#include "proto/table/common.h"
#include "proto/table/device.h"
#include "proto/table/extkv.h"
#include "proto/table/index.h"
#include "proto/table/pressure.h"
#include "proto/table/registry.h"
#include "proto/table/room.h"
#include "proto/table/router.h"
#include "proto/table/shelf.h"
#include "proto/table/tier.h"
#include "proto/table/verbs.h"
#include "proto/table/view.h"
#include "proto/table/worker.h"

//  All of them, in the order of most of their numbers
#define UMBP_MESSAGES(MESSAGE) \
    UMBP_MESSAGES_common (MESSAGE) \
    UMBP_MESSAGES_registry (MESSAGE) \
    UMBP_MESSAGES_router (MESSAGE) \
    UMBP_MESSAGES_index (MESSAGE) \
    UMBP_MESSAGES_tier (MESSAGE) \
    UMBP_MESSAGES_room (MESSAGE) \
    UMBP_MESSAGES_extkv (MESSAGE) \
    UMBP_MESSAGES_verbs (MESSAGE) \
    UMBP_MESSAGES_device (MESSAGE) \
    UMBP_MESSAGES_worker (MESSAGE) \
    UMBP_MESSAGES_pressure (MESSAGE) \
    UMBP_MESSAGES_shelf (MESSAGE) \
    UMBP_MESSAGES_view (MESSAGE)

#endif
