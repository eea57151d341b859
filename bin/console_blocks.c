//  bin/console_blocks.c - where, put, get, exists, rm: single blocks; evict, copy, clear: many;
//  match: the blocks of others
#include <czmq.h>
#include <inttypes.h>

#include "bin/console.h"
#include "bin/units.h"

#define GET_FIRST (1 << 20)             //  Room a get tries first
#define GET_TRIES 3                     //  A block may be replaced by a larger one meanwhile
#define BLOCK_MAX (UINT64_C (1) << 30)  //  Bytes of a block

//  ------------------------------------------------------------------------------------------------
//  Where

//  One key as a column, good as long as key
static umbp_column_t s_column (const uint8_t *key, const uint16_t *size)
{
    return (umbp_column_t) { key, size, *size, 1 };
}

//  Name of row number ref of a column of nodes
static json_t *s_ref (const umbp_column_t *nodes, uint16_t ref)
{
    size_t offset = 0;
    for (size_t index = 0; index < nodes->count; index++) {
        umbp_bytes_t node = umbp_column_next (nodes, index, &offset);
        if (index == ref)
            return umbp_view_text (node.data, node.size);
    }
    return json_string ("?");
}

//  The places of one block, one row each; NULL with *end set on failure. No place is no failure.
static json_t *s_places (umbp_console_t *self, const uint8_t *key, uint16_t size, int *end)
{
    umbp_msg_t question;
    umbp_msg_init (&question, UMBP_MSG_where, 0);
    question.where.keys = s_column (key, &size);
    const umbp_msg_t *answer = umbp_console_ask (self, "router", &question, "where", end);
    if (!answer)
        return NULL;
    const umbp_msg_where_ok_t *where = &answer->where_ok;
    json_t *rows = json_array ();
    for (size_t index = 0; index < where->refs.count; index++) {
        unsigned tier = umbp_u8s_at (where->tiers, index);
        json_array_append_new (rows,
                               json_pack ("{s:o, s:s, s:o}", "node",
                                          s_ref (&where->nodes, umbp_u16s_at (where->refs, index)),
                                          "tier", umbp_console_tier_name (tier), "bytes",
                                          umbp_view_number (umbp_u32s_at (where->sizes, index))));
    }
    return rows;
}

int umbp_console_where (umbp_console_t *self, int argc, char **argv)
{
    static const umbp_view_column_t columns[] = {
        { "NODE", "node", UMBP_VIEW_TEXT }, { "TIER", "tier", UMBP_VIEW_TEXT },
        { "SIZE", "bytes", UMBP_VIEW_BYTES }, { "HERE", "here", UMBP_VIEW_TEXT },
        { "ELSEWHERE", "elsewhere", UMBP_VIEW_TEXT },
    };
    (void) argc;
    int end;
    uint8_t key[UMBP_KEY_MAX];
    size_t size = umbp_console_key (self, argv[0], key, sizeof key);
    json_t *rows = size ? s_places (self, key, (uint16_t) size, &end) : NULL;
    if (!rows)
        return size ? end : UMBP_CONSOLE_USAGE;
    end = umbp_console_add_paths (self, rows);
    if (end != UMBP_CONSOLE_OK) {
        json_decref (rows);
        return end;
    }
    json_t *doc = json_pack ("{s:o, s:o}", "key", umbp_view_text (key, size), "places", rows);
    bool none = json_array_size (rows) == 0;
    if (!umbp_console_json (self, doc)) {
        if (none)
            printf ("%s is nowhere\n", json_string_value (json_object_get (doc, "key")));
        else
            umbp_view_table (stdout, rows, columns, sizeof columns / sizeof *columns, self->colour);
    }
    json_decref (doc);
    return none ? UMBP_CONSOLE_NO : UMBP_CONSOLE_OK;
}

//  ------------------------------------------------------------------------------------------------
//  Put

typedef struct {
    uint8_t *data;
    size_t size;
} block_t;

static int s_read_error (umbp_console_t *self, const char *name)
{
    return umbp_console_fail (self, UMBP_EIO, name, strerror (errno));
}

//  Read all of a file, or stdin for "-", up to the largest block. Returns how it ended.
static int s_read (umbp_console_t *self, const char *name, block_t *block)
{
    FILE *file = streq (name, "-") ? stdin : fopen (name, "r");
    if (!file)
        return s_read_error (self, name);
    size_t room = 0, got = 1;
    while (got > 0 && block->size <= BLOCK_MAX) {
        if (block->size == room) {
            room = room ? 2 * room : GET_FIRST;
            uint8_t *more = realloc (block->data, room);
            if (!more)
                break;
            block->data = more;
        }
        got = fread (block->data + block->size, 1, room - block->size, file);
        block->size += got;
    }
    int end = UMBP_CONSOLE_OK;
    if (ferror (file))
        end = s_read_error (self, name);
    else if (got > 0)
        end = umbp_console_usage (self, "%.200s: too large; allowed: 1 byte..1 GiB", name);
    else if (block->size == 0)
        end = umbp_console_usage (self, "%.200s: empty; allowed: 1 byte..1 GiB", name);
    if (file != stdin)
        fclose (file);
    return end;
}

static int s_put (umbp_console_t *self, const uint8_t *key, size_t size, const block_t *block)
{
    int end = umbp_console_pool (self);
    if (end != UMBP_CONSOLE_OK)
        return end;
    umbp_item_t item = { .key = { key, size }, .data = block->data, .size = block->size };
    bool many = self->given & UMBP_OPTION_REPLICAS;
    bool chosen = self->given & UMBP_OPTION_TIER;
    umbp_put_options_t options = { .replicas = (uint8_t) (many ? self->replicas : 1),
                                   .tier = (uint8_t) (chosen ? self->tier : 0) };
    umbp_stats_t before, after;
    umbp_stats (self->pool, &before);
    int rc = umbp_put_batch (self->pool, &item, 1, &options, 0);
    umbp_stats (self->pool, &after);
    uint64_t missing = after.replicas_missing - before.replicas_missing;
    int err = rc < 0 ? rc : item.status;
    if (err < 0 && err != UMBP_EEXIST)
        return umbp_console_fail (self, err, "put", "");
    bool stored = err == 0;
    json_t *doc = json_pack ("{s:o, s:o, s:b}", "key", umbp_view_text (key, size), "bytes",
                             umbp_view_number (block->size), "stored", stored);
    if (many)
        json_object_set_new (doc, "replicas_missing", umbp_view_number (missing));
    if (!umbp_console_json (self, doc)) {
        char bytes[UMBP_UNITS_ROOM];
        const char *name = json_string_value (json_object_get (doc, "key"));
        if (stored)
            printf ("%s stored, %s\n", name, umbp_units_show_bytes (block->size, bytes));
        if (stored && missing)
            printf ("%" PRIu64 " of %" PRIu64 " copies could not be made: no other node took one\n",
                    missing, self->replicas);
        if (!stored)
            printf ("%s was there already and stays as it is\n", name);
    }
    json_decref (doc);
    return UMBP_CONSOLE_OK;
}

int umbp_console_put (umbp_console_t *self, int argc, char **argv)
{
    bool text = self->given & UMBP_OPTION_TEXT;
    if (text == (argc == 2))
        return umbp_console_usage (self, "put takes a FILE, - for stdin, or --text TEXT");
    if (text && !*self->text)
        return umbp_console_usage (self, "--text: empty; allowed: 1 byte..1 GiB");
    uint8_t key[UMBP_KEY_MAX];
    size_t size = umbp_console_key (self, argv[0], key, sizeof key);
    if (!size)
        return UMBP_CONSOLE_USAGE;
    if (text) {
        block_t block = { (uint8_t *) self->text, strlen (self->text) };
        return s_put (self, key, size, &block);
    }
    block_t block = { NULL, 0 };
    int end = s_read (self, argv[1], &block);
    if (end == UMBP_CONSOLE_OK)
        end = s_put (self, key, size, &block);
    free (block.data);
    return end;
}

//  ------------------------------------------------------------------------------------------------
//  Get

//  Fetch a block into memory that the caller frees. Returns 0 or an error.
static int s_fetch (umbp_console_t *self, const uint8_t *key, size_t size, block_t *block)
{
    int err = UMBP_ETOOBIG;
    size_t room = GET_FIRST;
    for (int left = GET_TRIES; err == UMBP_ETOOBIG && left > 0; left--) {
        free (block->data);
        block->data = malloc (room);
        if (!block->data)
            return UMBP_ENOSPC;
        umbp_item_t item = { .key = { key, size }, .data = block->data, .size = room };
        int rc = umbp_get_batch (self->pool, &item, 1, 0);
        err = rc < 0 ? rc : item.status;
        block->size = item.size;
        if (err == UMBP_ETOOBIG && (item.size <= room || item.size > BLOCK_MAX))
            return err;
        room = item.size;
    }
    return err;
}

static bool s_is_text (const block_t *block)
{
    json_t *text = umbp_view_text (block->data, block->size);
    const char *shown = json_string_value (text);
    bool plain = shown && !strstr (shown, "\\x");
    json_decref (text);
    return plain;
}

//  To a file, or to stdout for NULL
static int s_write (umbp_console_t *self, const char *name, const block_t *block)
{
    if (!name && isatty (STDOUT_FILENO) && !s_is_text (block)) {
        char bytes[UMBP_UNITS_ROOM];
        return umbp_console_usage (self, "%s that are no text: name a FILE, or send them on with |",
                                   umbp_units_show_bytes (block->size, bytes));
    }
    FILE *file = name ? fopen (name, "w") : stdout;
    bool fine = file && fwrite (block->data, 1, block->size, file) == block->size;
    if (fine && !name && isatty (STDOUT_FILENO))
        fputc ('\n', stdout);
    if (file && fflush (file) != 0)
        fine = false;
    int err = errno;
    if (file && name)
        fclose (file);
    errno = err;
    return fine ? UMBP_CONSOLE_OK : s_read_error (self, name ? name : "stdout");
}

//  The bytes are in the document, unless they went to a file
static void s_show_block (umbp_console_t *self, const char *name, const uint8_t *key, size_t size,
                          const block_t *block)
{
    json_t *doc = json_pack ("{s:o, s:o}", "key", umbp_view_text (key, size), "bytes",
                             umbp_view_number (block->size));
    if (name)
        json_object_set_new (doc, "file", umbp_view_text (name, strlen (name)));
    else {
        zarmour_t *armour = zarmour_new ();
        char *text = zarmour_encode (armour, block->data, block->size);
        json_object_set_new (doc, "base64", json_string (text));
        free (text);
        zarmour_destroy (&armour);
    }
    if (!umbp_console_json (self, doc) && name) {
        char bytes[UMBP_UNITS_ROOM];
        printf ("%s written to %s\n", umbp_units_show_bytes (block->size, bytes), name);
    }
    json_decref (doc);
}

int umbp_console_get (umbp_console_t *self, int argc, char **argv)
{
    const char *name = argc > 1 && strneq (argv[1], "-") ? argv[1] : NULL;
    uint8_t key[UMBP_KEY_MAX];
    size_t size = umbp_console_key (self, argv[0], key, sizeof key);
    int end = size ? umbp_console_pool (self) : UMBP_CONSOLE_USAGE;
    if (end != UMBP_CONSOLE_OK)
        return end;
    block_t block = { NULL, 0 };
    int err = s_fetch (self, key, size, &block);
    if (err < 0) {
        char what[96];
        snprintf (what, sizeof what, "get %.64s", argv[0]);
        end = umbp_console_fail (self, err, what, "");
    } else {
        if (name || !self->json)
            end = s_write (self, name, &block);
        if (end == UMBP_CONSOLE_OK && (name || self->json))
            s_show_block (self, name, key, size, &block);
    }
    free (block.data);
    return end;
}

//  ------------------------------------------------------------------------------------------------
//  Exists and rm: the same for many keys

//  Keys of the command line. Returns NULL if one is none, which was said then.
static umbp_key_t *s_keys (umbp_console_t *self, int argc, char **argv)
{
    umbp_key_t *keys = zmalloc ((size_t) argc * (sizeof (umbp_key_t) + UMBP_KEY_MAX));
    uint8_t *room = (uint8_t *) (keys + argc);
    for (int index = 0; keys && index < argc; index++, room += UMBP_KEY_MAX) {
        keys[index] =
            (umbp_key_t) { room, umbp_console_key (self, argv[index], room, UMBP_KEY_MAX) };
        if (!keys[index].key_size)
            freen (keys);
    }
    return keys;
}

//  Print what became of each key, under the words for yes and no. Returns how the command ends.
static int s_show_keys (umbp_console_t *self, const umbp_key_t *keys, const int8_t *results,
                        int count, const char *yes, const char *no)
{
    static const umbp_view_column_t columns[] = {
        { "KEY", "key", UMBP_VIEW_TEXT }, { "STATE", "state", UMBP_VIEW_TEXT },
    };
    json_t *rows = json_array ();
    int missing = 0, err = 0;
    for (int index = 0; index < count; index++) {
        bool fine = results[index] > 0;
        missing += results[index] == 0;
        err = err == 0 && results[index] < 0 ? results[index] : err;
        json_array_append_new (rows,
                               json_pack ("{s:o, s:b, s:s}", "key",
                                          umbp_view_text (keys[index].key, keys[index].key_size),
                                          yes, fine, "state",
                                          results[index] < 0 ? umbp_errname (results[index])
                                          : fine ? yes
                                                             : no));
    }
    json_t *doc = json_pack ("{s:o, s:i}", "keys", rows, yes, count - missing);
    if (err == 0 && !umbp_console_json (self, doc))
        umbp_view_table (stdout, rows, columns, 2, self->colour);
    json_decref (doc);
    if (err < 0)
        return umbp_console_fail (self, err, yes, "");
    return missing ? UMBP_CONSOLE_NO : UMBP_CONSOLE_OK;
}

int umbp_console_exists (umbp_console_t *self, int argc, char **argv)
{
    umbp_key_t *keys = s_keys (self, argc, argv);
    int end = keys ? umbp_console_pool (self) : UMBP_CONSOLE_USAGE;
    if (end == UMBP_CONSOLE_OK) {
        int8_t *found = zmalloc ((size_t) argc);
        int rc = umbp_exists_batch (self->pool, keys, (size_t) argc, found, 0);
        end = rc < 0 ? umbp_console_fail (self, rc, "exists", "")
                     : s_show_keys (self, keys, found, argc, "exists", "missing");
        free (found);
    }
    free (keys);
    return end;
}

int umbp_console_rm (umbp_console_t *self, int argc, char **argv)
{
    umbp_key_t *keys = s_keys (self, argc, argv);
    int end = keys ? umbp_console_pool (self) : UMBP_CONSOLE_USAGE;
    if (end == UMBP_CONSOLE_OK) {
        int8_t *results = zmalloc ((size_t) argc);
        int rc = umbp_remove_batch (self->pool, keys, (size_t) argc, results, 0);
        for (int index = 0; index < argc; index++)
            results[index] = results[index] == 0 ? 1
                             : results[index] == UMBP_ENOENT ? 0
                                                             : results[index];
        end = rc < 0 ? umbp_console_fail (self, rc, "rm", "")
                     : s_show_keys (self, keys, results, argc, "removed", "missing");
        free (results);
    }
    free (keys);
    return end;
}

int umbp_console_advise (umbp_console_t *self, int argc, char **argv)
{
    umbp_advice_t advice = streq (argv[0], "need") ? UMBP_ADVISE_NEED : UMBP_ADVISE_COLD;
    if (strneq (argv[0], "need") && strneq (argv[0], "cold"))
        return umbp_console_usage (self, "%.40s: not an advice; allowed: need, cold", argv[0]);
    umbp_key_t *keys = s_keys (self, --argc, ++argv);
    int end = keys ? umbp_console_pool (self) : UMBP_CONSOLE_USAGE;
    if (end == UMBP_CONSOLE_OK) {
        int8_t *results = zmalloc ((size_t) argc);
        int rc = umbp_advise (self->pool, keys, (size_t) argc, advice, results, 0);
        for (int index = 0; index < argc; index++)
            results[index] = results[index] == 0 ? 1
                             : results[index] == UMBP_ENOENT ? 0
                                                             : results[index];
        end = rc < 0 ? umbp_console_fail (self, rc, "advise", "")
                     : s_show_keys (self, keys, results, argc, "advised", "missing");
        free (results);
    }
    free (keys);
    return end;
}

//  ------------------------------------------------------------------------------------------------
//  Evict, copy, clear

//  "eviction@node-1"
static const char *s_address (const char *actor, const char *node, char *room, size_t size)
{
    snprintf (room, size, "%s@%s", actor, node);
    return room;
}

//  Blocks and bytes that went
static void s_show_gone (umbp_console_t *self, const char *where, uint64_t blocks, uint64_t bytes)
{
    char count[UMBP_UNITS_ROOM], room[UMBP_UNITS_ROOM];
    json_t *doc =
        json_pack ("{s:o, s:o, s:o}", "node", umbp_view_text (where, strlen (where)), "blocks",
                   umbp_view_number (blocks), "bytes", umbp_view_number (bytes));
    if (!umbp_console_json (self, doc))
        printf ("%s: %s block%s gone, %s free again\n", where,
                umbp_units_show_count (blocks, count), blocks == 1 ? "" : "s",
                umbp_units_show_bytes (bytes, room));
    json_decref (doc);
}

int umbp_console_evict (umbp_console_t *self, int argc, char **argv)
{
    int end, next = 1;
    uint64_t bytes = 0;
    umbp_msg_t question;
    umbp_msg_init (&question, UMBP_MSG_evict, 0);
    question.evict.tier = UMBP_TIER_DRAM;
    if (argc > next && umbp_console_tier (argv[next]))
        question.evict.tier = umbp_console_tier (argv[next++]);
    if (argc > next && umbp_units_read_bytes (argv[next++], &bytes) < 0)
        return umbp_console_usage (self,
                                   "%.40s: neither a tier (hbm, dram, nvme, shared) nor a "
                                   "size, like 512MiB",
                                   argv[next - 1]);
    if (argc > next)
        return umbp_console_usage (self, "%.40s: not a tier; allowed: hbm, dram, nvme, shared",
                                   argv[1]);
    question.evict.bytes = bytes;
    char address[UMBP_TEXT_MAX];
    s_address ("eviction", argv[0], address, sizeof address);
    const umbp_msg_t *answer = umbp_console_ask (self, address, &question, "evict", &end);
    if (answer)
        s_show_gone (self, argv[0], answer->evict_ok.blocks, answer->evict_ok.bytes);
    return end;
}

//  The tier of a block on a node; 0 and *end set if it is not there
static unsigned s_tier_on (umbp_console_t *self, const uint8_t *key, size_t size, const char *node,
                           int *end)
{
    unsigned tier = 0;
    size_t index;
    json_t *row, *rows = s_places (self, key, (uint16_t) size, end);
    if (!rows)
        return 0;
    json_array_foreach (rows, index,
                        row) if (streq (json_string_value (json_object_get (row, "node")), node))
        tier = umbp_console_tier (json_string_value (json_object_get (row, "tier")));
    if (!tier) {
        char what[256];
        snprintf (what, sizeof what, "copy: not on %.64s, it has %zu copies elsewhere: see where",
                  node, json_array_size (rows));
        *end = umbp_console_fail (self, UMBP_ENOENT, what, "");
    }
    json_decref (rows);
    return tier;
}

static int s_show_copy (umbp_console_t *self, const char *from, const char *to, int status,
                        uint64_t bytes)
{
    if (status < 0 && status != UMBP_EEXIST)
        return umbp_console_fail (self, status, "copy", "");
    bool copied = status == 0;
    char room[UMBP_UNITS_ROOM];
    json_t *doc = json_pack ("{s:o, s:o, s:b, s:o}", "from", umbp_view_text (from, strlen (from)),
                             "to", umbp_view_text (to, strlen (to)), "copied", copied, "bytes",
                             umbp_view_number (bytes));
    if (!umbp_console_json (self, doc)) {
        if (copied)
            printf ("%s copied from %s to %s\n", umbp_units_show_bytes (bytes, room), from, to);
        else
            printf ("%s has it already\n", to);
    }
    json_decref (doc);
    return UMBP_CONSOLE_OK;
}

int umbp_console_copy (umbp_console_t *self, int argc, char **argv)
{
    (void) argc;
    int end = UMBP_CONSOLE_USAGE;
    uint8_t key[UMBP_KEY_MAX];
    size_t size = umbp_console_key (self, argv[0], key, sizeof key);
    unsigned tier = size ? s_tier_on (self, key, size, argv[1], &end) : 0;
    if (!tier)
        return end;
    uint16_t key_size = (uint16_t) size;
    umbp_msg_t question;
    umbp_msg_init (&question, UMBP_MSG_copy, 0);
    question.copy.keys = s_column (key, &key_size);
    question.copy.node = umbp_text (argv[1]);
    question.copy.tier = tier;
    char address[UMBP_TEXT_MAX];
    s_address ("migrator", argv[2], address, sizeof address);
    const umbp_msg_t *answer = umbp_console_ask (self, address, &question, "copy", &end);
    if (!answer)
        return end;
    if (answer->copy_ok.statuses.count != 1)
        return umbp_console_fail (self, UMBP_EPROTO, "copy", "not one status for one key");
    return s_show_copy (self, argv[1], argv[2], umbp_s8s_at (answer->copy_ok.statuses, 0),
                        answer->copy_ok.bytes);
}

int umbp_console_clear (umbp_console_t *self, int argc, char **argv)
{
    (void) argc;
    (void) argv;
    bool everywhere = self->given & UMBP_OPTION_EVERYWHERE;
    if (!(self->given & UMBP_OPTION_YES))
        return umbp_console_usage (self, "clear forgets all blocks of %s: say --yes if you mean it",
                                   everywhere ? "all nodes" : "a node");
    int end;
    umbp_msg_t question;
    umbp_msg_init (&question, UMBP_MSG_clear, 0);
    question.clear.everywhere = everywhere;
    const umbp_msg_t *answer = umbp_console_ask (self, "router", &question, "clear", &end);
    if (answer)
        s_show_gone (self, everywhere ? "all nodes" : umbp_talk_node (self->talk),
                     answer->clear_ok.blocks, answer->clear_ok.bytes);
    return end;
}

//  ------------------------------------------------------------------------------------------------
//  Match

//  Hashes of the command line as a column in memory that the caller frees. NULL if one is none.
static void *s_hashes (umbp_console_t *self, int argc, char **argv, umbp_column_t *column)
{
    uint8_t *bytes = zmalloc ((size_t) argc * (UMBP_HASH_MAX + sizeof (uint16_t)));
    uint16_t *sizes = (uint16_t *) (void *) bytes;
    uint8_t *to = (uint8_t *) (sizes + argc);
    *column = (umbp_column_t) { to, sizes, 0, (uint32_t) argc };
    for (int index = 0; index < argc; index++) {
        sizes[index] =
            (uint16_t) umbp_console_key (self, argv[index], to + column->size, UMBP_HASH_MAX);
        if (sizes[index] == 0) {
            free (bytes);
            return NULL;
        }
        column->size += sizes[index];
    }
    return bytes;
}

//  The hashes of one row, by their numbers
static json_t *s_matched (const umbp_msg_kv_match_ok_t *match, size_t first, size_t count, int argc,
                          char **argv)
{
    json_t *hashes = json_array ();
    for (size_t index = first; index < first + count && index < match->matches.count; index++) {
        uint16_t number = umbp_u16s_at (match->matches, index);
        if (number < argc)
            json_array_append_new (hashes, umbp_view_text (argv[number], strlen (argv[number])));
    }
    return hashes;
}

static json_t *s_engines (const umbp_msg_kv_match_ok_t *match, int argc, char **argv)
{
    json_t *rows = json_array ();
    size_t first = 0;
    for (size_t index = 0; index < match->refs.count; index++) {
        uint16_t ref = umbp_u16s_at (match->refs, index);
        size_t count = umbp_u32s_at (match->counts, index);
        json_array_append_new (
            rows, json_pack ("{s:o, s:i, s:o, s:o, s:o}", "engine", s_ref (&match->engines, ref),
                             "tier", (int) umbp_u8s_at (match->tiers, index), "count",
                             umbp_view_number (count), "address", s_ref (&match->addresses, ref),
                             "hashes", s_matched (match, first, count, argc, argv)));
        first += count;
    }
    return rows;
}

int umbp_console_match (umbp_console_t *self, int argc, char **argv)
{
    static const umbp_view_column_t columns[] = {
        { "ENGINE", "engine", UMBP_VIEW_TEXT }, { "TIER", "tier", UMBP_VIEW_COUNT },
        { "HASHES", "count", UMBP_VIEW_COUNT }, { "ADDRESS", "address", UMBP_VIEW_TEXT },
    };
    if (argc > UMBP_BATCH_MAX)
        return umbp_console_usage (self, "more than %d hashes", UMBP_BATCH_MAX);
    int end;
    umbp_msg_t question;
    umbp_msg_init (&question, UMBP_MSG_kv_match, 0);
    void *room = s_hashes (self, argc, argv, &question.kv_match.hashes);
    if (!room)
        return UMBP_CONSOLE_USAGE;
    const umbp_msg_t *answer = umbp_console_ask (self, "extkv", &question, "match", &end);
    free (room);
    if (!answer)
        return end;
    json_t *rows = s_engines (&answer->kv_match_ok, argc, argv);
    json_t *doc = json_pack ("{s:o, s:o, s:o}", "engines", rows, "nodes_asked",
                             umbp_view_number (answer->kv_match_ok.nodes_asked), "nodes_silent",
                             umbp_view_number (answer->kv_match_ok.nodes_silent));
    bool none = json_array_size (rows) == 0;
    if (!umbp_console_json (self, doc)) {
        if (none)
            puts ("no engine holds any of them");
        else
            umbp_view_table (stdout, rows, columns, 4, self->colour);
        if (answer->kv_match_ok.nodes_silent)
            printf ("%" PRIu64 " of %" PRIu64 " nodes did not answer in time\n",
                    answer->kv_match_ok.nodes_silent, answer->kv_match_ok.nodes_asked);
    }
    json_decref (doc);
    return none ? UMBP_CONSOLE_NO : UMBP_CONSOLE_OK;
}
