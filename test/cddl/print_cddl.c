//  test/cddl/print_cddl.c - prints proto/umbp.cddl, the contract of what travels, from the message
//  table. The file in the tree has to be what this program prints: see test/cddl/check.sh.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "proto/schema.h"

#define RULES_MAX 96
#define NAME_SIZE 64
#define RULE_SIZE 256

//  Rules that fields refer to, each once
static char s_rules[RULES_MAX][RULE_SIZE];
static size_t s_rule_count;
static bool s_failed;                   //  More rules than there is room for

static void s_note_rule (const char *rule)
{
    for (size_t index = 0; index < s_rule_count; index++)
        if (strcmp (s_rules[index], rule) == 0)
            return;
    if (s_rule_count == RULES_MAX) {
        s_failed = true;
        return;
    }
    snprintf (s_rules[s_rule_count++], RULE_SIZE, "%s", rule);
}

static const char *s_kind_name (umbp_kind_t kind)
{
    switch (kind) {
    case UMBP_KIND_U64: return "uint";
    case UMBP_KIND_BOOL: return "bool";
    case UMBP_KIND_TEXT: return "text";
    case UMBP_KIND_BYTES: return "bytes";
    case UMBP_KIND_COLUMN: return "column";
    case UMBP_KIND_U8S: return "u8s";
    case UMBP_KIND_S8S: return "s8s";
    case UMBP_KIND_U16S: return "u16s";
    case UMBP_KIND_U32S: return "u32s";
    case UMBP_KIND_U64S: return "u64s";
    }
    return "any";
}

//  An array of up to so many numbers: the name of its rule, which is noted. Some validators take
//  .size for a rule about other kinds too, so .and repeats the kind.
static void s_array_rule (umbp_kind_t kind, uint64_t high, char name[NAME_SIZE])
{
    char rule[RULE_SIZE];
    size_t width = umbp_kind_width (kind);
    snprintf (name, NAME_SIZE, "%s_%" PRIu64, s_kind_name (kind), high);
    snprintf (rule, sizeof rule, "%s = #6.%u(bytes .and (bytes .size (0..%" PRIu64 ")))", name,
              umbp_kind_tag (kind), high * width);
    s_note_rule (rule);
}

static void s_column_rule (const umbp_field_t *field, char name[NAME_SIZE])
{
    char sizes[NAME_SIZE], rule[RULE_SIZE];
    s_array_rule (UMBP_KIND_U16S, UMBP_BATCH_MAX, sizes);
    snprintf (name, NAME_SIZE, "column_%" PRIu64 "_%" PRIu64, field->low, field->high);
    snprintf (rule, sizeof rule, "%s = [bytes: bytes, sizes: %s]", name, sizes);
    s_note_rule (rule);
}

static void s_string_rule (const umbp_field_t *field, char name[NAME_SIZE])
{
    char rule[RULE_SIZE];
    const char *kind = s_kind_name ((umbp_kind_t) field->kind);
    snprintf (name, NAME_SIZE, "%s_%" PRIu64 "_%" PRIu64, kind, field->low, field->high);
    snprintf (rule, sizeof rule, "%s = %s .and (%s .size (%" PRIu64 "..%" PRIu64 "))", name, kind,
              kind, field->low, field->high);
    s_note_rule (rule);
}

static void s_number_type (const umbp_field_t *field, char type[NAME_SIZE])
{
    if (field->high < UINT64_MAX)
        snprintf (type, NAME_SIZE, "%" PRIu64 "..%" PRIu64, field->low, field->high);
    else if (field->low > 0)
        snprintf (type, NAME_SIZE, "uint .ge %" PRIu64, field->low);
    else
        snprintf (type, NAME_SIZE, "uint");
}

static void s_field_type (const umbp_field_t *field, char type[NAME_SIZE])
{
    switch ((umbp_kind_t) field->kind) {
    case UMBP_KIND_U64: s_number_type (field, type); return;
    case UMBP_KIND_BOOL: snprintf (type, NAME_SIZE, "bool"); return;
    case UMBP_KIND_TEXT:
    case UMBP_KIND_BYTES: s_string_rule (field, type); return;
    case UMBP_KIND_COLUMN: s_column_rule (field, type); return;
    case UMBP_KIND_U8S:
    case UMBP_KIND_S8S:
    case UMBP_KIND_U16S:
    case UMBP_KIND_U32S:
    case UMBP_KIND_U64S: s_array_rule ((umbp_kind_t) field->kind, field->high, type); return;
    }
}

//  One line: key and type as CDDL; name, group and meaning for people
static void s_print_field (const umbp_field_t *field)
{
    char type[NAME_SIZE], left[2 * NAME_SIZE];
    s_field_type (field, type);
    snprintf (left, sizeof left, "%s%u: %s,", field->must ? "" : "? ", field->key, type);
    printf ("  %-24s ; %s", left, field->name);
    if (field->group > 0)
        printf (" [%c]", 'A' + field->group - 1);
    printf (": %s\n", field->doc);
}

static void s_print_message (int type, const umbp_schema_t *schema)
{
    printf ("; %d %s - %s\n", type, schema->name, schema->doc);
    printf ("%s = {\n  0: %d,\n  head,\n", schema->name, type);
    for (size_t index = 0; index < schema->field_count; index++)
        s_print_field (&schema->fields[index]);
    printf ("}\n\n");
}

static void s_print_choice (void)
{
    printf ("message =");
    size_t column = 9;
    const char *before = " ";
    for (int type = 0; type < UMBP_MSG_LAST; type++) {
        if (!umbp_schema (type))
            continue;
        column += strlen (before) + strlen (umbp_msg_name (type));
        if (column > 96) {
            before = "\n  / ";
            column = 4 + strlen (umbp_msg_name (type));
        }
        printf ("%s%s", before, umbp_msg_name (type));
        before = " / ";
    }
    printf ("\n\n");
}

static const char s_preface[] =
    "; proto/umbp.cddl - what umbp says on the wire, as in RFC 8610; see doc/protocol.md.\n"
    "; test/cddl/print_cddl.c writes this file from proto/table.h: change that, then run\n"
    ";     test/cddl/check.sh write\n"
    ";\n"
    "; A message is one CBOR map with small numbers as keys. All items in it have definite\n"
    "; lengths. Keys come in any order, none twice; 0 to 3 and 31 are the head's. Keys that a\n"
    "; receiver does not know are ignored, whatever their value: numbers, text and byte strings may\n"
    "; be keys. (The rules below leave such keys out, so that a validator finds mistakes in the\n"
    "; known ones.) Numbers of messages and keys keep their meaning for ever. A field with ?\n"
    "; may be left out, and then reads as 0, false or empty.\n"
    ";\n"
    "; How messages travel:\n"
    ";   ZeroMQ   A client has a DEALER socket and sends four frames, or three without payload:\n"
    ";              address   \"router\", or \"actor@node\"\n"
    ";              empty     comes back as it was\n"
    ";              message   one item of these rules\n"
    ";              payload   bytes of blocks, one behind the other, where a message says so\n"
    ";            An answer has the same frames, and the address in it is empty.\n"
    ";   Door     A UNIX SEQPACKET socket of one actor. A datagram is the message, directly\n"
    ";            followed by its payload. Descriptors come along as SCM_RIGHTS.\n"
    ";\n"
    "; [A], [B], [C]: fields of a message with the same letter are columns of one table. They\n"
    "; have the same count, though one with ? may be left out. A column of counts says how many\n"
    "; rows of the next table belong to each of its rows, in order; a column of refs names rows\n"
    "; of the next table, from 0.\n\n";

static const char s_head[] =
    "; The head, with the type of the message under 0\n"
    "head = (\n"
    "  1: uint,     ; id: chosen by who asks, comes back in the answer; 0: no answer is wanted\n"
    "  ? 2: uint,   ; deadline_ms: in requests, how long the asker waits from now on; 0: not said\n"
    "  ? 3: int,    ; status: in answers, 0 or an error about the whole message; -32767 to 32766\n"
    "  ? 31: uint,  ; call: of which call of a client it is a part, for logs; an answer has the same\n"
    ")\n\n";

static const char s_kinds[] =
    "; Kinds. Names end in the largest count of numbers, or in the sizes allowed. Numbers are\n"
    "; little-endian typed arrays (RFC 8746). A column holds byte strings, one behind the\n"
    "; other, and then the size of each: column_1_512 has up to 4096 items of 1 to 512 bytes.\n"
    "; Sizes add up to the bytes. Text is UTF-8 without NUL, its size counts bytes.\n";

int main (void)
{
    fputs (s_preface, stdout);
    s_print_choice ();
    fputs (s_head, stdout);
    for (int type = 0; type < UMBP_MSG_LAST; type++)
        if (umbp_schema (type))
            s_print_message (type, umbp_schema (type));
    fputs (s_kinds, stdout);
    for (size_t index = 0; index < s_rule_count; index++)
        printf ("%s\n", s_rules[index]);
    return s_failed || fflush (stdout) != 0;
}
