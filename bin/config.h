//  bin/config.h - the settings of a program, from one table: each is a key in a ZPL file, a
//  variable of the environment and a flag, all named after its path. dram/huge_pages is
//
//      dram                                  in the file
//          huge_pages = yes
//      UMBP_DRAM_HUGE_PAGES=yes              in the environment, which goes before the file
//      --dram-huge-pages=yes                 on the command line, which goes before both
//
//  Contract: after umbp_config_read returned 0, every member keeps its range. Whatever is unknown,
//  twice in a file, or out of its range is refused with where it stands and what is allowed. Every
//  program also has --config, --check-config, --print-config, --help and --version.
//  A value: no threads, and nothing blocks but the reading of the file.
#ifndef UMBP_CONFIG_H
#define UMBP_CONFIG_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

//  How a setting is written, and what its member is in C. Numbers fit any unsigned member.
typedef enum {
    UMBP_SETTING_TEXT,                  //  char[]. No control characters, not both kinds of quotes
    UMBP_SETTING_ID,                    //  char[] of A-Z a-z 0-9 . _ -
    UMBP_SETTING_ENDPOINT,              //  char[], tcp://HOST:PORT
    UMBP_SETTING_ENDPOINTS,             //  char[], several of them between commas
    UMBP_SETTING_LISTEN,                //  char[], an endpoint whose port may be * or 0 for any
    UMBP_SETTING_NAME,                  //  char[], one of the choices
    UMBP_SETTING_LEVEL,                 //  Number of one of the choices, which come from 0 up
    UMBP_SETTING_BOOL,                  //  bool
    UMBP_SETTING_BYTES,                 //  Number, like all that follow
    UMBP_SETTING_COUNT,
    UMBP_SETTING_MS,
    UMBP_SETTING_US,
    UMBP_SETTING_PERCENT,
    UMBP_SETTING_PORT,
} umbp_setting_kind_t;

typedef struct {
    const char *path;                   //  "section/key", lower case; a section's rows together
    umbp_setting_kind_t kind;
    const char *member;                 //  Its name in C,
    size_t offset, size;                //  ... where it is, and how large
    uint64_t low, high;                 //  Numbers: range. Texts: how many bytes
    const char *choices;                //  NAME and LEVEL: "local|most_free"
    const char *help;
} umbp_setting_t;

typedef enum {
    UMBP_TODO_RUN,
    UMBP_TODO_CHECK,
    UMBP_TODO_PRINT,
    UMBP_TODO_HELP,
    UMBP_TODO_VERSION,
} umbp_config_todo_t;

typedef struct umbp_config umbp_config_t;

//  Settings that go to target, which holds the defaults and stays the caller's, like the table
umbp_config_t *umbp_config_new (const char *program, const umbp_setting_t *settings, size_t count,
                                void *target);
void umbp_config_destroy (umbp_config_t **self_p);

//  Read the file named by --config or $UMBP_CONFIG, then the environment (as environ), then the
//  arguments. After --help or --version nothing else is read. Returns 0; UMBP_EINVAL, or UMBP_EIO
//  if the file cannot be read, with umbp_config_error; then target may be half filled.
int umbp_config_read (umbp_config_t *self, int argc, char *const *argv, char *const *env);

//  The same for the text of a file alone; name is how errors call it
int umbp_config_read_text (umbp_config_t *self, const char *name, const char *text, size_t size);

//  One line about what was refused: "umbp-node.conf:12: dram/capacity = 4Gb: not a size; ..."
const char *umbp_config_error (const umbp_config_t *self);

//  Say where the first setting stands that "member, member: what is wrong" is about, as
//  "FILE:LINE: PATH: what is wrong". Becomes umbp_config_error, which is returned.
const char *umbp_config_blame (umbp_config_t *self, const char *why);

//  What the arguments ask for
umbp_config_todo_t umbp_config_todo (const umbp_config_t *self);

//  The effective settings as a file that can be read back, with where each came from
void umbp_config_print (const umbp_config_t *self, FILE *out);

//  All flags with their range, default and meaning
void umbp_config_help (const umbp_config_t *self, FILE *out);

#endif
