//  bin/console.h - the commands of umbp-console, one-shot or line by line. Every command makes one
//  document and prints it: as JSON, or for people. Errors go to stderr as what, why and what next.
#ifndef UMBP_CONSOLE_H
#define UMBP_CONSOLE_H

#include <jansson.h>

#include "bin/talk.h"
#include "bin/view.h"
#include "client/umbp.h"
#include "cluster/topology.h"

//  How a command ends: the exit status of a one-shot console
typedef enum {
    UMBP_CONSOLE_OK = 0,
    UMBP_CONSOLE_NO = 1,                //  The answer is no: a miss, nothing there
    UMBP_CONSOLE_USAGE = 2,
    UMBP_CONSOLE_UNREACHABLE = 3,
    UMBP_CONSOLE_ERROR = 4,
} umbp_console_end_t;

//  Options that some commands take
enum {
    UMBP_OPTION_TEXT = 1,
    UMBP_OPTION_HEX = 2,
    UMBP_OPTION_YES = 4,
    UMBP_OPTION_EVERYWHERE = 8,
    UMBP_OPTION_COUNT = 16,
    UMBP_OPTION_INTERVAL = 32,
    UMBP_OPTION_OUT = 64,
    UMBP_OPTION_NAME = 128,
    UMBP_OPTION_NODE = 256,
    UMBP_OPTION_AT = 512,
    UMBP_OPTION_REPLICAS = 1024,
    UMBP_OPTION_TIER = 8192,
    UMBP_OPTION_STOP = 2048,
    UMBP_OPTION_CANCEL = 4096,
    UMBP_OPTION_TENANT = 1 << 20,
};

typedef struct {
    char endpoints[1024];
    char certificate[512], server_certificate[512]; //  Empty: links are plain
    uint32_t timeout_ms;                //  For an answer
    uint32_t connect_ms;                //  ... of the first node that we speak to
    bool json, colour;
    bool shell;                         //  Commands come line by line
    umbp_talk_t *talk;                  //  NULL until needed
    umbp_t *pool;                       //  NULL until needed
    unsigned given;                     //  Options of the command at hand, UMBP_OPTION_*
    const char *text;
    const char *out, *name, *node, *at; //  Of keygen
    const char *tenant;                 //  ... too
    uint64_t count, replicas;
    unsigned tier;
    uint32_t interval_ms;
} umbp_console_t;

typedef struct {
    const char *name, *args;
    int min, max;                       //  How many arguments; max -1: any number
    unsigned options;                   //  That it takes
    int (*fn) (umbp_console_t *self, int argc, char **argv);     //  The arguments alone
    const char *help;
} umbp_command_t;

//  The commands; one without a name ends them
extern const umbp_command_t umbp_commands[];

//  Run one command line: argv[0] is the console's name, then flags and a command. Returns how it
//  ended; *empty says that there was no command.
int umbp_console_run (umbp_console_t *self, int argc, char **argv, bool *empty);

//  Read lines from stdin and run them, until its end. Returns how the last one ended.
int umbp_console_shell (umbp_console_t *self);

//  Let go of connections
void umbp_console_close (umbp_console_t *self);

//  ------------------------------------------------------------------------------------------------
//  For the commands

//  Connect unless that was done. Return how it ended, and have said why not.
int umbp_console_talk (umbp_console_t *self);
int umbp_console_pool (umbp_console_t *self);

//  Say that something failed, and return how the command ends: what is "get: KEY", reason may be
//  empty
int umbp_console_fail (umbp_console_t *self, int err, const char *what, const char *reason);

//  Say what is wrong with the command line. Returns UMBP_CONSOLE_USAGE.
int umbp_console_usage (const umbp_console_t *self, const char *format, ...)
    __attribute__ ((format (printf, 2, 3)));

//  Ask, and say what failed. Returns NULL with *end set then.
const umbp_msg_t *umbp_console_ask (umbp_console_t *self, const char *address, umbp_msg_t *question,
                                    const char *what, int *end);

//  Who is in the cluster, as the registry of our node sees it. NULL with *end set on failure.
umbp_topology_t *umbp_console_topology (umbp_console_t *self, int *end);

//  Print the document as JSON if that was asked for. Returns whether it was; the document stays
//  ours.
bool umbp_console_json (const umbp_console_t *self, const json_t *doc);

//  A key or hash of the command line, which is hexadecimal with --hex. Returns its size, 0 if it is
//  none, and then has said so; room is for max bytes.
size_t umbp_console_key (umbp_console_t *self, const char *text, uint8_t *room, size_t max);

//  Number of a tier by its name, 0 if there is none; and the other way round
unsigned umbp_console_tier (const char *name);
const char *umbp_console_tier_name (unsigned tier);

//  Names of the actors that every node with these tiers has. Returns how many; each has
//  UMBP_NAME_MAX + 1 bytes.
#define UMBP_CONSOLE_ACTORS_MAX 32
size_t umbp_console_actors (const umbp_member_t *member, char (*names)[UMBP_NAME_MAX + 1]);

//  Names of all actors that a node says it has. Returns how many, at most UMBP_CONSOLE_ACTORS_MAX;
//  0 if it is of a version that does not say.
size_t umbp_console_said_actors (const umbp_msg_who_ok_t *who, char (*names)[UMBP_NAME_MAX + 1]);

//  Add to each row, which has the node and the bytes of a copy, by which way its bytes would come: "here" to a
//  client of this host, "elsewhere" to one of another host with RDMA devices if the node serves by RDMA.
//  Returns how it ended, and has said why.
#define UMBP_CONSOLE_PLACES_MAX 16
int umbp_console_add_paths (umbp_console_t *self, json_t *rows);

//  The commands, each in the file of its kind
int umbp_console_status (umbp_console_t *self, int argc, char **argv);
int umbp_console_nodes (umbp_console_t *self, int argc, char **argv);
int umbp_console_ring (umbp_console_t *self, int argc, char **argv);
int umbp_console_tiers (umbp_console_t *self, int argc, char **argv);
int umbp_console_moves (umbp_console_t *self, int argc, char **argv);
int umbp_console_advise (umbp_console_t *self, int argc, char **argv);
int umbp_console_devices (umbp_console_t *self, int argc, char **argv);
int umbp_console_tenants (umbp_console_t *self, int argc, char **argv);
int umbp_console_workers (umbp_console_t *self, int argc, char **argv);
int umbp_console_worker (umbp_console_t *self, int argc, char **argv);
int umbp_console_pressure (umbp_console_t *self, int argc, char **argv);
int umbp_console_top (umbp_console_t *self, int argc, char **argv);
int umbp_console_where (umbp_console_t *self, int argc, char **argv);
int umbp_console_put (umbp_console_t *self, int argc, char **argv);
int umbp_console_get (umbp_console_t *self, int argc, char **argv);
int umbp_console_exists (umbp_console_t *self, int argc, char **argv);
int umbp_console_rm (umbp_console_t *self, int argc, char **argv);
int umbp_console_evict (umbp_console_t *self, int argc, char **argv);
int umbp_console_copy (umbp_console_t *self, int argc, char **argv);
int umbp_console_drain (umbp_console_t *self, int argc, char **argv);
int umbp_console_clear (umbp_console_t *self, int argc, char **argv);
int umbp_console_match (umbp_console_t *self, int argc, char **argv);
int umbp_console_stat (umbp_console_t *self, int argc, char **argv);
int umbp_console_ping (umbp_console_t *self, int argc, char **argv);
int umbp_console_log (umbp_console_t *self, int argc, char **argv);
int umbp_console_keygen (umbp_console_t *self, int argc, char **argv);
int umbp_console_help (umbp_console_t *self, int argc, char **argv);

#endif
