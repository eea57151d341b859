//  bin/console_paths.c - by which way the bytes of a block would come to a client: of this host, and of
//  another one. The ways are those of UMBP_PATHS, and "message" for what is so small that it rides in one.
#include <czmq.h>

#include "bin/console.h"
#include "cluster/bulk/host.h"
#include "cluster/bulk/verbs.h"

typedef struct {
    json_t *rows;
    bool serves[UMBP_CONSOLE_PLACES_MAX];   //  By row: that node serves by RDMA
} asked_t;

static void s_on_who (void *arg, size_t index, int status, const umbp_msg_t *answer)
{
    char names[UMBP_CONSOLE_ACTORS_MAX][UMBP_NAME_MAX + 1];
    size_t count = status == 0 ? umbp_console_said_actors (&answer->who_ok, names) : 0;
    for (size_t actor = 0; actor < count; actor++)
        if (streq (names[actor], "verbs"))
            ((asked_t *) arg)->serves[index] = true;
}

//  Ask the nodes of all rows who they are
static void s_ask (umbp_console_t *self, asked_t *asked, size_t count)
{
    char texts[UMBP_CONSOLE_PLACES_MAX][2 * UMBP_NAME_MAX];
    const char *addresses[UMBP_CONSOLE_PLACES_MAX];
    for (size_t index = 0; index < count; index++) {
        json_t *row = json_array_get (asked->rows, index);
        snprintf (texts[index], sizeof *texts, "registry@%s",
                  json_string_value (json_object_get (row, "node")));
        addresses[index] = texts[index];
    }
    umbp_msg_t question;
    umbp_msg_init (&question, UMBP_MSG_who, 0);
    umbp_talk_ask_each (self->talk, addresses, count, &question, s_on_who, asked);
}

//  Whether a client of this host finds RDMA devices, as the environment says
static bool s_devices (void)
{
    char why[UMBP_VERBS_WHY_MAX];
    umbp_verbs_options_t options = { .devices = getenv ("UMBP_RDMA_DEVICES") };
    const umbp_verbs_api_t *api = umbp_verbs_load (getenv ("UMBP_RDMA_PLUGIN"), why);
    umbp_verbs_t *verbs = api ? api->open (&options, NULL, why) : NULL;
    bool had = verbs != NULL;
    if (verbs)
        api->close (&verbs);
    return had;
}

static bool s_shares (const umbp_topology_t *topology, const char *node, const char *host)
{
    int number = umbp_topology_find (topology, umbp_text (node));
    const umbp_member_t *member =
        number >= 0 ? umbp_topology_member (topology, (size_t) number) : NULL;
    return member && *host && *member->doors && streq (member->host, host);
}

int umbp_console_add_paths (umbp_console_t *self, json_t *rows)
{
    int end = UMBP_CONSOLE_OK;
    asked_t asked = { .rows = rows };
    size_t count = json_array_size (rows);
    count = count < UMBP_CONSOLE_PLACES_MAX ? count : UMBP_CONSOLE_PLACES_MAX;
    umbp_topology_t *topology = count ? umbp_console_topology (self, &end) : NULL;
    if (!topology)
        return end;
    char host[UMBP_HOST_ID_MAX];
    umbp_host_id (host, sizeof host);
    s_ask (self, &asked, count);
    bool looked = false, devices = false;
    for (size_t index = 0; index < count; index++) {
        json_t *row = json_array_get (rows, index);
        const char *node = json_string_value (json_object_get (row, "node"));
        bool small = json_integer_value (json_object_get (row, "bytes")) <= UMBP_INLINE_MAX;
        if (asked.serves[index] && !looked)
            devices = s_devices ();
        looked |= asked.serves[index];
        const char *far = small ? "message" : "tcp", *here = far;
        if (asked.serves[index] && !small) {
            far = "rdma";
            here = devices ? "rdma" : "tcp";
        }
        if (s_shares (topology, node, host))
            here = "shm";
        json_object_set_new (row, "here", json_string (here));
        json_object_set_new (row, "elsewhere", json_string (far));
    }
    umbp_topology_destroy (&topology);
    return UMBP_CONSOLE_OK;
}
