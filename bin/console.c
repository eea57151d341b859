//  bin/console.c - command lines, connections and errors of the console, see console.h
#include "bin/console.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>

#include "bin/suggest.h"
#include "bin/units.h"

#define TIMEOUT_MS_MAX 600000
#define MOMENT_MS 2000                  //  A node that has not answered by then is said to be waited for
#define COUNT_MAX 1000000000

const umbp_command_t umbp_commands[] = {
    { "status", "", 0, 0, 0, umbp_console_status,
      "the cluster on one screen: members, capacity, blocks, index" },
    { "top", "[--count N] [--interval TIME]", 0, 0, UMBP_OPTION_COUNT | UMBP_OPTION_INTERVAL,
      umbp_console_top, "the same, live; q quits. Without a terminal: one block after the other" },
    { "nodes", "", 0, 0, 0, umbp_console_nodes, "one line for each member" },
    { "tiers", "", 0, 0, 0, umbp_console_tiers, "one line for each tier of each member" },
    { "moves", "", 0, 0, 0, umbp_console_moves,
      "what is on its way between the tiers of each member, or waits for it: since it has to leave, since "
      "somebody read it, or while nothing else moves; how much may be a second, and whether that is a "
      "storm" },
    { "tenants", "", 0, 0, 0, umbp_console_tenants,
      "who uses how much of each member, and how much each may" },
    { "devices", "[NODE]", 0, 1, 0, umbp_console_devices,
      "accelerators of each member, or of one: memory, health, who uses them" },
    { "pressure",
      "[cost SIZE | pool [SIZE] | suspend TENANT | resume TENANT | events [NUMBER]] [--node NODE] "
      "[--tenant T]",
      0, 2, UMBP_OPTION_NODE | UMBP_OPTION_TENANT, umbp_console_pressure,
      "how short of memory a node is, why, and what it did; what letting go of SIZE would cost, of "
      "one tenant with --tenant; memory for blocks from now on; give a tenant no new room; what "
      "happened to memory" },
    { "ring", "[KEY]", 0, 1, UMBP_OPTION_HEX, umbp_console_ring,
      "each member's share of the ring; with a key, who keeps its index entry" },
    { "where", "KEY", 1, 1, UMBP_OPTION_HEX, umbp_console_where,
      "on which nodes and tiers a block is, and by which way its bytes would come to a client here and on "
      "another host: shm, rdma, tcp, or in the message itself" },
    { "put", "KEY (FILE | - | --text TEXT) [--replicas N] [--tier TIER]", 1, 2,
      UMBP_OPTION_HEX | UMBP_OPTION_TEXT | UMBP_OPTION_REPLICAS | UMBP_OPTION_TIER,
      umbp_console_put,
      "store a block: of a file, of stdin, or the text; on so many nodes, 1 to 4; into this tier: hbm, dram, nvme, "
      "shared" },
    { "get", "KEY [FILE | -]", 1, 2, UMBP_OPTION_HEX, umbp_console_get,
      "read a block into a file or to stdout" },
    { "exists", "KEY...", 1, -1, UMBP_OPTION_HEX, umbp_console_exists, "are these blocks there?" },
    { "rm", "KEY...", 1, -1, UMBP_OPTION_HEX, umbp_console_rm, "forget blocks on every node" },
    { "advise", "(need | cold) KEY...", 2, -1, UMBP_OPTION_HEX, umbp_console_advise,
      "say that blocks will be read soon, and shall come up from disk; or that they will not, and shall "
      "leave memory first" },
    { "copy", "KEY FROM-NODE TO-NODE", 3, 3, UMBP_OPTION_HEX, umbp_console_copy,
      "make a replica of a block on another node" },
    { "evict", "NODE [TIER] [SIZE]", 1, 3, 0, umbp_console_evict,
      "let the least useful blocks go: so many bytes of them, or down to the low mark" },
    { "drain", "NODE [--stop | --cancel]", 1, 1, UMBP_OPTION_STOP | UMBP_OPTION_CANCEL,
      umbp_console_drain,
      "move a node's blocks to others, then take it out of the ring, and end it if asked" },
    { "clear", "[--everywhere] --yes", 0, 0, UMBP_OPTION_YES | UMBP_OPTION_EVERYWHERE,
      umbp_console_clear, "forget all blocks of the node we are connected to, or of all nodes" },
    { "match", "HASH...", 1, -1, UMBP_OPTION_HEX, umbp_console_match,
      "which engines hold these hashes in their own memory" },
    { "workers", "[NODE]", 0, 1, 0, umbp_console_workers,
      "one line for each worker of a node: its devices, its process" },
    { "worker", "(start UID | stop UID | freeze UID | thaw UID | release UID | "
      "allocate UID MODE DEVICE... | events [NUMBER]) [--node NODE]",
      1, -1, UMBP_OPTION_NODE, umbp_console_worker,
      "let its process run again; end it until then; stop it in its tracks; let it go on; end it for ever "
      "and free its devices; give devices to a worker; what happened since that event" },
    { "stat", "[ACTOR][@NODE]", 0, 1, 0, umbp_console_stat,
      "all counters of an actor; without one, a line for each actor of the node" },
    { "ping", "ACTOR[@NODE]", 1, 1, 0, umbp_console_ping, "is it there, and how far away?" },
    { "log-level", "(error | warning | info | debug) [ACTOR[@NODE]]", 1, 2, 0, umbp_console_log,
      "how much an actor logs; without one, all actors of the node we are connected to" },
    { "keygen", "[--out FILE] [--name NAME [--tenant T] | --node NODE] [--at ENDPOINTS]", 0, 0,
      UMBP_OPTION_OUT | UMBP_OPTION_NAME | UMBP_OPTION_NODE | UMBP_OPTION_AT | UMBP_OPTION_TENANT,
      umbp_console_keygen,
      "make a certificate: FILE for others, FILE_secret for its owner alone; --at where its node "
      "serves, --tenant whose blocks its client sees" },
    { "help", "[COMMAND]", 0, 1, 0, umbp_console_help, "this list, or how a command is used" },
    { NULL, NULL, 0, 0, 0, NULL, NULL },
};

//  ------------------------------------------------------------------------------------------------
//  Errors

int umbp_console_usage (const umbp_console_t *self, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start (args, format);
    vsnprintf (text, sizeof text, format, args);
    va_end (args);
    fprintf (stderr, "%s%s\n", self->shell ? "" : "umbp-console: ", text);
    if (self->json) {
        json_t *doc = json_pack ("{s:s, s:o}", "error", "USAGE", "what",
                                 umbp_view_text (text, strlen (text)));
        umbp_console_json (self, doc);
        json_decref (doc);
    }
    return UMBP_CONSOLE_USAGE;
}

int umbp_console_fail (umbp_console_t *self, int err, const char *what, const char *reason)
{
    json_t *shown = umbp_view_text (reason, strlen (reason));        //  Others' words
    //  Who says what was wrong knows better than the words that are the same for all
    fprintf (stderr, "%s%s: %s (%s)\n", self->shell ? "" : "umbp-console: ", what,
             *reason ? json_string_value (shown) : umbp_strerror (err), umbp_errname (err));
    if (self->json) {
        json_t *doc = json_pack ("{s:s, s:o, s:O, s:s}", "error", umbp_errname (err), "what",
                                 umbp_view_text (what, strlen (what)), "reason", shown, "next",
                                 umbp_strerror (err));
        umbp_console_json (self, doc);
        json_decref (doc);
    }
    json_decref (shown);
    switch (err) {
    case UMBP_ENOENT: return UMBP_CONSOLE_NO;
    case UMBP_EUNREACH:
    case UMBP_ETIMEDOUT:
    case UMBP_ECLOSED: return UMBP_CONSOLE_UNREACHABLE;
    default: return UMBP_CONSOLE_ERROR;
    }
}

bool umbp_console_json (const umbp_console_t *self, const json_t *doc)
{
    if (!self->json)
        return false;
    json_dumpf (doc, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION (6));
    fputc ('\n', stdout);
    fflush (stdout);
    return true;
}

//  ------------------------------------------------------------------------------------------------
//  Connections

//  Connect. Who waits for longer than a moment is told for what.
static int s_connect (umbp_console_t *self, char *why, size_t size)
{
    int err = 0;
    uint32_t first_ms = self->connect_ms < MOMENT_MS ? self->connect_ms : MOMENT_MS;
    uint32_t left_ms = self->connect_ms - first_ms;
    self->talk = umbp_talk_new_secure (self->endpoints, self->certificate, self->server_certificate,
                                       first_ms, &err, why, size);
    if (self->talk || err != UMBP_EUNREACH || *why || left_ms == 0)
        return err;
    fprintf (stderr, "umbp-console: no answer from %.200s yet, it has %u s more; see --timeout\n",
             self->endpoints, (left_ms + 999) / 1000);
    self->talk = umbp_talk_new_secure (self->endpoints, self->certificate, self->server_certificate,
                                       left_ms, &err, why, size);
    return err;
}

int umbp_console_talk (umbp_console_t *self)
{
    int err = 0;
    char why[UMBP_TEXT_MAX] = "";
    if (!self->talk)
        err = s_connect (self, why, sizeof why);
    if (self->talk) {
        umbp_talk_set_timeout (self->talk, self->timeout_ms);
        return UMBP_CONSOLE_OK;
    }
    if (*why)
        return umbp_console_usage (self, "certificate: %s", why);
    if (err == UMBP_EINVAL)
        return umbp_console_usage (self,
                                   "%.200s: not a list of endpoints; allowed: "
                                   "tcp://HOST:PORT,...",
                                   self->endpoints);
    char what[512];
    snprintf (what, sizeof what,
              "no node answers at %.200s, is it running%s? --endpoint or "
              "UMBP_ENDPOINTS names another",
              self->endpoints,
              *self->certificate ? ", and does it know this certificate (its log says)" : "");
    return umbp_console_fail (self, err, what, "");
}

int umbp_console_pool (umbp_console_t *self)
{
    int end = umbp_console_talk (self), err = 0;
    if (self->pool || end != UMBP_CONSOLE_OK)
        return end;
    umbp_options_t options = { .endpoints = umbp_talk_endpoint (self->talk),
                               .timeout_ms = self->timeout_ms, .lanes = 1,
                               .certificate = self->certificate,
                               .server_certificate = self->server_certificate };
    self->pool = umbp_connect (&options, &err);
    if (self->pool)
        return UMBP_CONSOLE_OK;
    return umbp_console_fail (self, err, umbp_talk_endpoint (self->talk), "");
}

void umbp_console_close (umbp_console_t *self)
{
    umbp_close (&self->pool);
    umbp_talk_destroy (&self->talk);
}

const umbp_msg_t *umbp_console_ask (umbp_console_t *self, const char *address, umbp_msg_t *question,
                                    const char *what, int *end)
{
    const umbp_msg_t *answer = NULL;
    *end = umbp_console_talk (self);
    if (*end != UMBP_CONSOLE_OK)
        return NULL;
    int status = umbp_talk_ask (self->talk, address, question, &answer);
    if (status == 0)
        return answer;
    char where[1024];
    bool silent =
        (status == UMBP_ETIMEDOUT || status == UMBP_EUNREACH) && !*umbp_talk_reason (self->talk);
    snprintf (where, sizeof where, "%s: %s at %s%s", what, address, umbp_talk_endpoint (self->talk),
              silent ? " does not answer" : "");
    *end = umbp_console_fail (self, status, where, umbp_talk_reason (self->talk));
    return NULL;
}

umbp_topology_t *umbp_console_topology (umbp_console_t *self, int *end)
{
    umbp_msg_t question;
    umbp_msg_init (&question, UMBP_MSG_topology, 0);
    const umbp_msg_t *answer = umbp_console_ask (self, "registry", &question, "topology", end);
    if (!answer)
        return NULL;
    umbp_topology_t *topology = umbp_topology_new (&answer->topology_ok);
    if (!topology)
        *end = umbp_console_fail (self, UMBP_EPROTO, "topology", "its columns do not match");
    return topology;
}

//  ------------------------------------------------------------------------------------------------
//  Words

static const char *const s_tiers[] = { "any", "hbm", "dram", "nvme", "shared" };

unsigned umbp_console_tier (const char *name)
{
    for (unsigned tier = UMBP_TIER_HBM; tier < UMBP_TIERS; tier++)
        if (strcmp (name, s_tiers[tier]) == 0)
            return tier;
    return 0;
}

const char *umbp_console_tier_name (unsigned tier)
{
    return tier < UMBP_TIERS ? s_tiers[tier] : "?";
}

size_t umbp_console_actors (const umbp_member_t *member, char (*names)[UMBP_NAME_MAX + 1])
{
    static const char *const always[] = { "registry", "router",   "index",   "extkv",
                                          "eviction", "migrator", "pressure" };
    size_t count = 0;
    for (; count < sizeof always / sizeof *always; count++)
        snprintf (names[count], sizeof *names, "%s", always[count]);
    for (unsigned tier = UMBP_TIER_HBM; tier < UMBP_TIERS; tier++)
        if (member->tiers[tier].total)
            snprintf (names[count++], sizeof *names, "tier:%s", s_tiers[tier]);
    return count;
}

size_t umbp_console_said_actors (const umbp_msg_who_ok_t *who, char (*names)[UMBP_NAME_MAX + 1])
{
    size_t count = 0, offset = 0;
    for (size_t index = 0; index < who->actors.count && count < UMBP_CONSOLE_ACTORS_MAX; index++) {
        umbp_bytes_t name = umbp_column_next (&who->actors, index, &offset);
        json_t *text = umbp_view_text (name.data, name.size);    //  Another's words
        snprintf (names[count++], sizeof *names, "%s", json_string_value (text));
        json_decref (text);
    }
    return count;
}

static int s_nibble (char letter)
{
    const char *digits = "0123456789abcdef", *at = strchr (digits, letter | 0x20);
    return letter && at ? (int) (at - digits) : -1;
}

size_t umbp_console_key (umbp_console_t *self, const char *text, uint8_t *room, size_t max)
{
    size_t size = strlen (text);
    if (!(self->given & UMBP_OPTION_HEX)) {
        if (size >= 1 && size <= max) {
            for (size_t index = 0; index < size; index++)
                room[index] = (uint8_t) text[index];
            return size;
        }
        umbp_console_usage (self, "%.40s%s: %zu bytes; allowed: 1..%zu", text,
                            size > 40 ? "..." : "", size, max);
        return 0;
    }
    bool fine = size >= 2 && size % 2 == 0 && size / 2 <= max;
    for (size_t index = 0; fine && index < size / 2; index++) {
        int high = s_nibble (text[2 * index]), low = s_nibble (text[2 * index + 1]);
        fine = high >= 0 && low >= 0;
        room[index] = fine ? (uint8_t) (16 * high + low) : 0;
    }
    if (!fine)
        umbp_console_usage (self,
                            "%.40s%s: not hexadecimal; allowed: 1..%zu bytes, two digits each",
                            text, size > 40 ? "..." : "", max);
    return fine ? size / 2 : 0;
}

//  ------------------------------------------------------------------------------------------------
//  Command lines

static const umbp_command_t *s_find (const char *name)
{
    for (const umbp_command_t *command = umbp_commands; command->name; command++)
        if (strcmp (command->name, name) == 0)
            return command;
    return NULL;
}

static int s_unknown (const umbp_console_t *self, const char *name)
{
    const umbp_command_t *near = NULL;
    size_t best = SIZE_MAX;
    for (const umbp_command_t *command = umbp_commands; command->name; command++)
        if (umbp_suggest_distance (name, command->name) < best) {
            best = umbp_suggest_distance (name, command->name);
            near = command;
        }
    if (near)
        return umbp_console_usage (self, "%.40s: unknown command, did you mean %s?", name,
                                   near->name);
    return umbp_console_usage (self, "%.40s: unknown command; help lists them", name);
}

static const char s_usage[] =
    "Usage: umbp-console [FLAG...] [COMMAND [ARGUMENT...]]\n\n"
    "Without a command, reads commands line by line.\n\n"
    "  --endpoint ENDPOINTS  tcp://HOST:PORT,... of nodes, the first that answers is\n"
    "                        asked; also UMBP_ENDPOINTS [tcp://127.0.0.1:7710]\n"
    "  --certificate FILE    ours, of keygen, where nodes ask for one; also\n"
    "                        UMBP_CERTIFICATE\n"
    "  --server-certificate FILE\n"
    "                        the node's, or a folder of several nodes'; also\n"
    "                        UMBP_SERVER_CERTIFICATE\n"
    "  --json                one JSON document instead of text\n"
    "  --timeout TIME        how long to wait for an answer [5s], and for the node\n"
    "                        to connect to [10s]\n"
    "  --help, --version\n\n"
    "Exit status: 0 fine, 1 the answer is no, 2 wrong usage, 3 a node cannot be\n"
    "reached, 4 another error.\n";

int umbp_console_help (umbp_console_t *self, int argc, char **argv)
{
    const umbp_command_t *only = argc ? s_find (argv[0]) : NULL;
    if (argc && !only)
        return s_unknown (self, argv[0]);
    json_t *rows = json_array ();
    for (const umbp_command_t *command = umbp_commands; command->name; command++)
        if (!only || only == command)
            json_array_append_new (rows, json_pack ("{s:s, s:s, s:s}", "command", command->name,
                                                    "args", command->args, "help", command->help));
    json_t *doc = json_pack ("{s:o}", "commands", rows);
    if (umbp_console_json (self, doc)) {
        json_decref (doc);
        return UMBP_CONSOLE_OK;
    }
    const char *hex = "\n    --hex    keys and hashes are given in hexadecimal";
    if (only)
        printf ("%s%s%s\n    %s%s\n", only->name, *only->args ? " " : "", only->args, only->help,
                only->options & UMBP_OPTION_HEX ? hex : "");
    else {
        static const umbp_view_column_t columns[] = {
            { "COMMAND", "command", UMBP_VIEW_TEXT }, { "", "help", UMBP_VIEW_TEXT },
        };
        if (!self->shell)
            puts (s_usage);
        umbp_view_table (stdout, rows, columns, 2, self->colour);
        puts ("\nhelp COMMAND says how one is used.");
    }
    json_decref (doc);
    return UMBP_CONSOLE_OK;
}

static const struct option s_flags[] = {
    { "endpoint", required_argument, NULL, 'e' }, { "json", no_argument, NULL, 'j' },
    { "timeout", required_argument, NULL, 't' }, { "help", no_argument, NULL, 'h' },
    { "version", no_argument, NULL, 'v' }, { "text", required_argument, NULL, 'x' },
    { "hex", no_argument, NULL, 'X' }, { "yes", no_argument, NULL, 'y' },
    { "everywhere", no_argument, NULL, 'E' }, { "count", required_argument, NULL, 'n' },
    { "interval", required_argument, NULL, 'i' }, { "replicas", required_argument, NULL, 'r' },
    { "tenant", required_argument, NULL, 'T' }, { "tier", required_argument, NULL, 'R' },
    { "stop", no_argument, NULL, 'S' }, { "cancel", no_argument, NULL, 'C' },
    { "certificate", required_argument, NULL, 'c' },
    { "server-certificate", required_argument, NULL, 's' },
    { "out", required_argument, NULL, 'o' }, { "name", required_argument, NULL, 'N' },
    { "node", required_argument, NULL, 'M' }, { "at", required_argument, NULL, 'A' },
    { NULL, 0, NULL, 0 },
};

//  Read a time into *value. Returns UMBP_CONSOLE_OK or _USAGE.
static int s_take_time (const umbp_console_t *self, const char *flag, const char *text,
                        uint32_t *value)
{
    uint64_t ms;
    if (umbp_units_read_ms (text, &ms) < 0 || ms < 1 || ms > TIMEOUT_MS_MAX)
        return umbp_console_usage (
            self, "%s %.40s: not a time; allowed: 1ms..10m, like 500ms or 5s", flag, text);
    *value = (uint32_t) ms;
    return UMBP_CONSOLE_OK;
}

//  A certificate's file of the command line: connections made with another are closed
static int s_take_file (umbp_console_t *self, const char *flag, const char *file, char *to,
                        size_t size)
{
    if (strlen (file) >= size)
        return umbp_console_usage (self, "%s %.40s...: too long", flag, file);
    if (strcmp (to, file) != 0)
        umbp_console_close (self);
    snprintf (to, size, "%s", file);
    return UMBP_CONSOLE_OK;
}

//  Words for keygen
static int s_take_word (umbp_console_t *self, unsigned option, const char **word)
{
    self->given |= option;
    *word = optarg;
    return UMBP_CONSOLE_OK;
}

//  What a line of flags asks for before it comes to commands
typedef struct {
    bool help, version;
} asked_t;

static int s_take_flag (umbp_console_t *self, int flag, asked_t *asked)
{
    switch (flag) {
    case 'e':
        if (strlen (optarg) >= sizeof self->endpoints)
            return umbp_console_usage (self, "--endpoint %.40s...: too long", optarg);
        if (strcmp (self->endpoints, optarg) != 0)
            umbp_console_close (self);  //  In a shell: from now on another node
        snprintf (self->endpoints, sizeof self->endpoints, "%s", optarg);
        break;
    case 'c':
        return s_take_file (self, "--certificate", optarg, self->certificate,
                            sizeof self->certificate);
    case 's':
        return s_take_file (self, "--server-certificate", optarg, self->server_certificate,
                            sizeof self->server_certificate);
    case 'o': return s_take_word (self, UMBP_OPTION_OUT, &self->out);
    case 'N': return s_take_word (self, UMBP_OPTION_NAME, &self->name);
    case 'M': return s_take_word (self, UMBP_OPTION_NODE, &self->node);
    case 'T': return s_take_word (self, UMBP_OPTION_TENANT, &self->tenant);
    case 'A': return s_take_word (self, UMBP_OPTION_AT, &self->at);
    case 'j': self->json = true; break;
    case 't': {
        int end = s_take_time (self, "--timeout", optarg, &self->timeout_ms);
        self->connect_ms = self->timeout_ms;
        return end;
    }
    case 'h': asked->help = true; break;
    case 'v': asked->version = true; break;
    case 'x':
        self->given |= UMBP_OPTION_TEXT;
        self->text = optarg;
        break;
    case 'X': self->given |= UMBP_OPTION_HEX; break;
    case 'y': self->given |= UMBP_OPTION_YES; break;
    case 'E': self->given |= UMBP_OPTION_EVERYWHERE; break;
    case 'n':
        self->given |= UMBP_OPTION_COUNT;
        if (umbp_units_read_count (optarg, &self->count) < 0 || self->count < 1
            || self->count > COUNT_MAX)
            return umbp_console_usage (self, "--count %.40s: not a count; allowed: 1..%d", optarg,
                                       COUNT_MAX);
        break;
    case 'r':
        self->given |= UMBP_OPTION_REPLICAS;
        if (umbp_units_read_count (optarg, &self->replicas) < 0 || self->replicas < 1
            || self->replicas > UMBP_REPLICAS_MAX)
            return umbp_console_usage (self, "--replicas %.40s: not a count; allowed: 1..%d",
                                       optarg, UMBP_REPLICAS_MAX);
        break;
    case 'R':
        self->given |= UMBP_OPTION_TIER;
        self->tier = umbp_console_tier (optarg);
        if (self->tier == 0)
            return umbp_console_usage (
                self, "--tier %.40s: not a tier; allowed: hbm, dram, nvme, shared", optarg);
        break;
    case 'S': self->given |= UMBP_OPTION_STOP; break;
    case 'C': self->given |= UMBP_OPTION_CANCEL; break;
    case 'i':
        self->given |= UMBP_OPTION_INTERVAL;
        return s_take_time (self, "--interval", optarg, &self->interval_ms);
    default: return UMBP_CONSOLE_USAGE;
    }
    return UMBP_CONSOLE_OK;
}

//  Check a command's arguments and run it
static int s_run (umbp_console_t *self, const umbp_command_t *command, int argc, char **argv)
{
    const char *space = *command->args ? " " : "";
    if (argc < command->min || (command->max >= 0 && argc > command->max))
        return umbp_console_usage (self, "too %s arguments; usage: %s%s%s",
                                   argc < command->min ? "few" : "many", command->name, space,
                                   command->args);
    if (self->given & ~command->options)
        return umbp_console_usage (self, "an option that is not for this command; usage: %s%s%s",
                                   command->name, space, command->args);
    return command->fn (self, argc, argv);
}

int umbp_console_run (umbp_console_t *self, int argc, char **argv, bool *empty)
{
    asked_t asked = { false, false };
    self->given = 0;
    self->text = self->out = self->name = self->node = self->at = self->tenant = NULL;
    self->interval_ms = 1000;
    *empty = false;
    optind = 0;                         //  Start over, in glibc's way
    opterr = 0;
    int flag, end = UMBP_CONSOLE_OK;
    while (end == UMBP_CONSOLE_OK && (flag = getopt_long (argc, argv, ":", s_flags, NULL)) != -1) {
        if (flag == '?' || flag == ':')
            return umbp_console_usage (self, "%.60s: %s", argv[optind - 1],
                                       flag == ':' ? "its value is missing"
                                                   : "unknown flag; help lists them");
        end = s_take_flag (self, flag, &asked);
    }
    if (end != UMBP_CONSOLE_OK)
        return end;
    if (asked.version) {
        puts ("umbp-console " UMBP_VERSION);
        return UMBP_CONSOLE_OK;
    }
    const umbp_command_t *command = optind < argc ? s_find (argv[optind]) : NULL;
    if (optind < argc && !command)
        return s_unknown (self, argv[optind]);
    if (asked.help)
        return umbp_console_help (self, command ? 1 : 0, argv + optind);
    *empty = !command;
    return command ? s_run (self, command, argc - optind - 1, argv + optind + 1) : UMBP_CONSOLE_OK;
}
