//  proto/table/shelf.h - messages: what a tier on a file system of many nodes rests on. See proto/table.h.
#ifndef UMBP_TABLE_SHELF_H
#define UMBP_TABLE_SHELF_H

#define UMBP_MESSAGES_shelf(MESSAGE) \
    MESSAGE (172, shelf, \
             "client -> tier manager: what the tier rests on, if that is a directory of many nodes.") \
    MESSAGE (173, shelf_ok, "tier manager -> client.")

#define UMBP_FIELDS_shelf(F, m)
#define UMBP_FIELDS_shelf_ok(F, m) \
    F (m, 4, mount, TEXT, MUST, 0, 0, 1024, "the directory, what is mounted there and how, in a line") \
    F (m, 5, hanging, U64, MUST, 0, 0, UINT64_MAX, "calls on files that do not come back") \
    F (m, 6, nodes, COLUMN, MUST, 1, 0, UMBP_NAME_MAX, "who has a folder there, but this node") \
    F (m, 7, states, U8S, MUST, 1, 0, 1024, \
       "0 it serves what it has there itself; 1 it does not, for now or for good; 2 this node does it")

#endif
