//  test/cddl/make_messages.c - prints made-up messages of every type as the codec encodes them, for
//  others to judge: make_messages [COUNT [SEED]]. A line is the name, the bytes in hex, and the
//  message as umbp_msg_print writes it.
#include <stdio.h>
#include <stdlib.h>

#include "proto/message.h"

#define ARENA_SIZE 4096

static int s_print (int type, uint64_t *state)
{
    static uint8_t arena[ARENA_SIZE], wire[2 * ARENA_SIZE];
    static char text[1 << 16];
    umbp_msg_t msg;
    if (umbp_msg_random (&msg, type, state, arena, sizeof arena) != 0)
        return -1;
    int size = umbp_msg_encode (&msg, wire, sizeof wire);
    if (size < 0)
        return -1;
    printf ("%s ", umbp_msg_name (type));
    for (int index = 0; index < size; index++)
        printf ("%02x", wire[index]);
    umbp_msg_print (&msg, text, sizeof text);
    printf (" %s\n", text);
    return 0;
}

int main (int argc, char **argv)
{
    unsigned long count = argc > 1 ? strtoul (argv[1], NULL, 0) : 200;
    uint64_t state = argc > 2 ? strtoull (argv[2], NULL, 0) : 1;
    for (int type = 0; type < UMBP_MSG_LAST; type++)
        for (unsigned long index = 0; umbp_msg_name (type) && index < count; index++)
            if (s_print (type, &state) != 0)
                return 1;
    return fflush (stdout) != 0;
}
