//  bin/config.c - reads settings and refuses what is wrong, see config.h
#include "bin/config.h"

#include <ctype.h>
#include <czmq.h>
#include <inttypes.h>

#include "bin/config_value.h"
#include "bin/suggest.h"
#include "proto/error.h"

#define FILE_MAX (1 << 20)              //  Bytes of a file
#define LINE_MAX_BYTES 1024             //  zconfig cuts off what is longer
#define TEXT_COLUMNS 80                 //  Of a help text, without its indentation
#define NAME_ROOM 96                    //  Bytes of a path, a flag or a variable

typedef enum { FROM_DEFAULT, FROM_FILE, FROM_ENV, FROM_FLAG } source_t;

typedef struct {
    source_t source;
    unsigned line;                      //  In the file, 0: it does not stand there
    const char *flag;                   //  What the arguments say, NULL: nothing
} origin_t;

struct umbp_config {
    const char *program;
    const umbp_setting_t *settings;
    size_t count;
    void *target;
    origin_t *origins;                  //  One per setting
    umbp_config_todo_t todo;
    const char *file;                   //  Of the arguments or the environment; NULL: none
    char file_name[256];                //  As errors and comments call it
    char error[1024];
};

umbp_config_t *umbp_config_new (const char *program, const umbp_setting_t *settings, size_t count,
                                void *target)
{
    umbp_config_t *self = zmalloc (sizeof (umbp_config_t));
    self->program = program;
    self->settings = settings;
    self->count = count;
    self->target = target;
    self->origins = zmalloc (count * sizeof (origin_t));
    return self;
}

void umbp_config_destroy (umbp_config_t **self_p)
{
    assert (self_p);
    if (!*self_p)
        return;
    free ((*self_p)->origins);
    freen (*self_p);
}

const char *umbp_config_error (const umbp_config_t *self)
{
    return self->error;
}

umbp_config_todo_t umbp_config_todo (const umbp_config_t *self)
{
    return self->todo;
}

static int s_refuse (umbp_config_t *self, int err, const char *format, ...)
    __attribute__ ((format (printf, 3, 4)));

static int s_refuse (umbp_config_t *self, int err, const char *format, ...)
{
    va_list args;
    va_start (args, format);
    vsnprintf (self->error, sizeof self->error, format, args);
    va_end (args);
    return err;
}

//  ------------------------------------------------------------------------------------------------
//  Names

typedef char name_t[NAME_ROOM];

static void s_path (const umbp_setting_t *setting, char *out)
{
    snprintf (out, NAME_ROOM, "%s", setting->path);
}

static void s_flag (const umbp_setting_t *setting, char *out)
{
    snprintf (out, NAME_ROOM, "--%s", setting->path);
    for (; *out; out++)
        if (*out == '/' || *out == '_')
            *out = '-';
}

static void s_variable (const umbp_setting_t *setting, char *out)
{
    snprintf (out, NAME_ROOM, "UMBP_%s", setting->path);
    for (; *out; out++)
        *out = *out == '/' ? '_' : (char) toupper ((unsigned char) *out);
}

static size_t s_section_size (const umbp_setting_t *setting)
{
    return (size_t) (strchr (setting->path, '/') - setting->path);
}

static bool s_in_section (const umbp_setting_t *setting, const char *section)
{
    size_t size = s_section_size (setting);
    return strlen (section) == size && strncmp (setting->path, section, size) == 0;
}

static void s_section (const umbp_setting_t *setting, char *out)
{
    snprintf (out, NAME_ROOM, "%.*s", (int) s_section_size (setting), setting->path);
}

//  The setting of a name, as the function tells names; count if there is none
static size_t s_find (const umbp_config_t *self, const char *name,
                      void (*name_of) (const umbp_setting_t *, char *))
{
    name_t known;
    size_t index = 0;
    for (; index < self->count; index++) {
        name_of (&self->settings[index], known);
        if (streq (known, name))
            break;
    }
    return index;
}

//  The known name next to this one; empty if none is near
static void s_nearest (const umbp_config_t *self, const char *name,
                       void (*name_of) (const umbp_setting_t *, char *), char *out)
{
    size_t best = SIZE_MAX;
    *out = 0;
    for (size_t index = 0; index < self->count; index++) {
        name_t known;
        name_of (&self->settings[index], known);
        size_t distance = umbp_suggest_distance (name, known);
        if (distance < best) {
            best = distance;
            snprintf (out, NAME_ROOM, "%s", known);
        }
    }
}

//  The keys of a section, or with none, the sections, between commas
static void s_list (const umbp_config_t *self, const char *section, char *out, size_t size)
{
    size_t used = 0;
    *out = 0;
    for (size_t index = 0; index < self->count; index++) {
        const umbp_setting_t *setting = &self->settings[index];
        name_t name;
        s_section (setting, name);
        bool fresh = index == 0 || !s_in_section (setting - 1, name);
        if (section ? !streq (section, name) : !fresh)
            continue;
        used += (size_t) snprintf (out + used, size - used, "%s%s", used ? ", " : "",
                                   section ? setting->path + strlen (section) + 1 : name);
        if (used >= size)
            return;
    }
}

//  ------------------------------------------------------------------------------------------------
//  The file. zconfig knows what ZPL is, but not which line an item came from, and it writes what it
//  does not like to stdout. So it is given one line at a time, and none that it would not like.

static bool s_is_name (char letter)
{
    return isalnum ((unsigned char) letter) || (letter && strchr ("$-_@.&+/", letter));
}

static bool s_is_rest (const char *text)
{
    text += strspn (text, " \t");
    return *text == 0 || *text == '#';
}

//  What is wrong with a line, without its indentation and trailing spaces; NULL: nothing
static const char *s_line_fault (const char *line)
{
    const char *at = line;
    for (; *at; at++)
        if (iscntrl ((unsigned char) *at) && *at != '\t')
            return "a control character";
    at = line;
    while (s_is_name (*at))
        at++;
    if (at == line)
        return "not a line of ZPL; allowed: SECTION, or below one KEY = VALUE after 4 spaces";
    if (*line == '/' || at[-1] == '/')
        return "a name begins and ends with a letter or digit";
    if (s_is_rest (at))
        return NULL;
    at += strspn (at, " \t");
    if (*at != '=')
        return "text after a name; allowed: KEY = VALUE, or a comment after #";
    at++;
    at += strspn (at, " \t");
    if (*at == '#')
        return "no value; allowed: KEY = VALUE, where \"\" is an empty one";
    if (*at != '"' && *at != '\'')
        return NULL;
    const char *end = strchr (at + 1, *at);
    if (!end)
        return "a quote is not closed";
    return s_is_rest (end + 1) ? NULL : "text after a quoted value; allowed: a comment after #";
}

//  Where the reading of a file is
typedef struct {
    unsigned line;
    name_t section;                     //  Empty: before the first
} place_t;

static int s_take_section (umbp_config_t *self, place_t *place, zconfig_t *item, bool has_value)
{
    const char *name = zconfig_name (item);
    snprintf (place->section, sizeof place->section, "%s", name);
    if (s_find (self, place->section, s_section) == self->count) {
        name_t near;
        char all[512];
        s_nearest (self, name, s_section, near);
        s_list (self, NULL, all, sizeof all);
        return s_refuse (self, UMBP_EINVAL, "%s:%u: %s: unknown section%s%s%s; allowed: %s",
                         self->file_name, place->line, name, *near ? ", did you mean " : "", near,
                         *near ? "?" : "", all);
    }
    if (has_value)
        return s_refuse (self, UMBP_EINVAL,
                         "%s:%u: %s: a section has no value; its keys follow "
                         "on lines of their own, indented by 4 spaces",
                         self->file_name, place->line, name);
    return 0;
}

static int s_unknown_key (umbp_config_t *self, const place_t *place, const char *path)
{
    name_t near;
    char all[512];
    s_nearest (self, path, s_path, near);
    s_list (self, place->section, all, sizeof all);
    if (*near)
        return s_refuse (self, UMBP_EINVAL, "%s:%u: %s: unknown key, did you mean %s?",
                         self->file_name, place->line, path, near);
    return s_refuse (self, UMBP_EINVAL, "%s:%u: %s: unknown key; allowed in %s: %s",
                     self->file_name, place->line, path, place->section, all);
}

static int s_take_key (umbp_config_t *self, const place_t *place, zconfig_t *item)
{
    name_t path;
    char why[512];
    int size = snprintf (path, sizeof path, "%s/%s", place->section, zconfig_name (item));
    size_t index = size < NAME_ROOM ? s_find (self, path, s_path) : self->count;
    if (index == self->count)
        return s_unknown_key (self, place, path);
    origin_t *origin = &self->origins[index];
    if (origin->line)
        return s_refuse (self, UMBP_EINVAL,
                         "%s:%u: %s: stands here for the second time, first on "
                         "line %u; remove one",
                         self->file_name, place->line, path, origin->line);
    origin->line = place->line;
    origin->source = FROM_FILE;
    const char *value = zconfig_value (item);
    if (umbp_config_value_read (&self->settings[index], value, self->target, why, sizeof why) == 0)
        return 0;
    return s_refuse (self, UMBP_EINVAL, "%s:%u: %s = %.100s: %s", self->file_name, place->line,
                     path, value, why);
}

static int s_take_line (umbp_config_t *self, place_t *place, char *line)
{
    size_t indent = strspn (line, " ");
    const char *text = line + indent, *fault = NULL;
    if (*text == 0 || *text == '#')
        return 0;
    if (*text == '\t')
        fault = "a tab; allowed: 4 spaces";
    else if (indent % 4)
        fault = "indented by other than 4 spaces";
    else if (indent > 4)
        fault = "indented too deep; allowed: 4 spaces below a section";
    else if (indent && !*place->section)
        fault = "a key before the first section";
    else
        fault = s_line_fault (text);
    if (fault)
        return s_refuse (self, UMBP_EINVAL, "%s:%u: %.60s: %s", self->file_name, place->line, text,
                         fault);
    zconfig_t *root = zconfig_str_load (text);
    zconfig_t *item = root ? zconfig_child (root) : NULL;
    int rc;
    if (!item)
        rc = s_refuse (self, UMBP_EINVAL, "%s:%u: %.60s: not a line of ZPL", self->file_name,
                       place->line, text);
    else if (indent)
        rc = s_take_key (self, place, item);
    else
        rc = s_take_section (self, place, item, strcspn (text, "=") < strcspn (text, "#"));
    zconfig_destroy (&root);
    return rc;
}

int umbp_config_read_text (umbp_config_t *self, const char *name, const char *text, size_t size)
{
    snprintf (self->file_name, sizeof self->file_name, "%s", name);
    place_t place = { 0 };
    int rc = 0;
    for (size_t at = 0; at < size && rc == 0;) {
        const char *end = memchr (text + at, '\n', size - at);
        size_t length = (end ? (size_t) (end - text) : size) - at;
        place.line++;
        char line[LINE_MAX_BYTES + 1];
        if (length > LINE_MAX_BYTES)
            return s_refuse (self, UMBP_EINVAL, "%s:%u: more than %d bytes in a line", name,
                             place.line, LINE_MAX_BYTES);
        if (memchr (text + at, 0, length))
            return s_refuse (self, UMBP_EINVAL, "%s:%u: a NUL byte, this is no text file", name,
                             place.line);
        memcpy (line, text + at, length);
        at += length + 1;
        while (length > 0 && strchr (" \t\r", line[length - 1]))
            length--;
        line[length] = 0;
        rc = s_take_line (self, &place, line);
    }
    return rc;
}

static int s_read_file (umbp_config_t *self, const char *path)
{
    FILE *file = fopen (path, "r");
    if (!file)
        return s_refuse (self, UMBP_EIO, "%s: cannot be read: %s", path, strerror (errno));
    char *text = zmalloc (FILE_MAX + 1);
    size_t size = fread (text, 1, FILE_MAX + 1, file);
    int rc;
    if (ferror (file))
        rc = s_refuse (self, UMBP_EIO, "%s: cannot be read: %s", path, strerror (errno));
    else if (size > FILE_MAX)
        rc = s_refuse (self, UMBP_EINVAL, "%s: more than %d bytes, this is no configuration", path,
                       FILE_MAX);
    else
        rc = umbp_config_read_text (self, path, text, size);
    fclose (file);
    free (text);
    return rc;
}

//  ------------------------------------------------------------------------------------------------
//  The environment

//  A variable that we do not know may be somebody else's, unless it looks like a slip of the pen
static int s_read_variable (umbp_config_t *self, const char *variable)
{
    const char *value = strchr (variable, '=');
    name_t name, near;
    if (strncmp (variable, "UMBP_", 5) != 0 || !value || value - variable >= NAME_ROOM)
        return 0;
    snprintf (name, sizeof name, "%.*s", (int) (value - variable), variable);
    value++;
    if (streq (name, "UMBP_CONFIG"))
        return 0;                       //  Read before all others
    size_t index = s_find (self, name, s_variable);
    if (index == self->count) {
        s_nearest (self, name, s_variable, near);
        if (*near && umbp_suggest_distance (name, near) <= 2)
            return s_refuse (self, UMBP_EINVAL, "%s in the environment: unknown, did you mean %s?",
                             name, near);
        return 0;
    }
    char why[512];
    self->origins[index].source = FROM_ENV;
    if (umbp_config_value_read (&self->settings[index], value, self->target, why, sizeof why) == 0)
        return 0;
    return s_refuse (self, UMBP_EINVAL, "%s=%.100s in the environment: %s", name, value, why);
}

//  ------------------------------------------------------------------------------------------------
//  The arguments

//  Flags that every program has
static const struct {
    const char *flag;
    umbp_config_todo_t todo;
    const char *help;
} s_own[] = {
    { "--check-config", UMBP_TODO_CHECK,
      "check all settings: says ok and exits 0, or what is wrong and exits 2" },
    { "--print-config", UMBP_TODO_PRINT, "print the effective settings as a configuration file" },
    { "--help", UMBP_TODO_HELP, "this text" },
    { "--version", UMBP_TODO_VERSION, "the version" },
};

static int s_unknown_flag (umbp_config_t *self, const char *name)
{
    name_t near;
    s_nearest (self, name, s_flag, near);
    return s_refuse (self, UMBP_EINVAL, "%s: unknown flag%s%s%s; %s --help lists them", name,
                     *near ? ", did you mean " : "", near, *near ? "?" : "", self->program);
}

//  Take the argument at argv[at], with its value if that is the next one. Returns how many were
//  taken, or an error.
static int s_take_argument (umbp_config_t *self, int argc, char *const *argv, int at)
{
    const char *value = strchr (argv[at], '=');
    size_t size = value ? (size_t) (value - argv[at]) : strlen (argv[at]);
    name_t name;
    if (strncmp (argv[at], "--", 2) != 0 || size >= sizeof name)
        return s_refuse (self, UMBP_EINVAL, "%.60s: not a flag; %s --help lists them", argv[at],
                         self->program);
    snprintf (name, sizeof name, "%.*s", (int) size, argv[at]);
    for (size_t index = 0; index < sizeof s_own / sizeof *s_own; index++)
        if (streq (name, s_own[index].flag)) {
            if (value)
                return s_refuse (self, UMBP_EINVAL, "%s: takes no value", name);
            if (self->todo < s_own[index].todo)
                self->todo = s_own[index].todo;
            return 1;
        }
    size_t index = s_find (self, name, s_flag);
    bool config = streq (name, "--config");
    if (index == self->count && !config)
        return s_unknown_flag (self, name);
    int used = 1;
    if (value)
        value++;
    else if (!config && self->settings[index].kind == UMBP_SETTING_BOOL)
        value = "yes";                  //  --dram-prefault alone
    else if (at + 1 < argc) {
        value = argv[at + 1];
        used = 2;
    } else
        return s_refuse (self, UMBP_EINVAL, "%s: its value is missing", name);
    if (config)
        self->file = value;
    else
        self->origins[index].flag = value;
    return used;
}

static int s_apply_flags (umbp_config_t *self)
{
    for (size_t index = 0; index < self->count; index++) {
        origin_t *origin = &self->origins[index];
        if (!origin->flag)
            continue;
        char why[512];
        name_t name;
        s_flag (&self->settings[index], name);
        origin->source = FROM_FLAG;
        if (umbp_config_value_read (&self->settings[index], origin->flag, self->target, why,
                                    sizeof why)
            < 0)
            return s_refuse (self, UMBP_EINVAL, "%s %.100s: %s", name, origin->flag, why);
    }
    return 0;
}

int umbp_config_read (umbp_config_t *self, int argc, char *const *argv, char *const *env)
{
    for (char *const *variable = env; *variable; variable++)
        if (strncmp (*variable, "UMBP_CONFIG=", 12) == 0 && (*variable)[12])
            self->file = *variable + 12;
    int rc = 1;
    for (int at = 1; at < argc && rc > 0; at += rc)
        rc = s_take_argument (self, argc, argv, at);
    if (rc < 0 || self->todo == UMBP_TODO_HELP || self->todo == UMBP_TODO_VERSION)
        return rc < 0 ? rc : 0;
    rc = self->file ? s_read_file (self, self->file) : 0;
    for (char *const *variable = env; *variable && rc == 0; variable++)
        rc = s_read_variable (self, *variable);
    return rc < 0 ? rc : s_apply_flags (self);
}

//  ------------------------------------------------------------------------------------------------
//  Print

static void s_origin (const umbp_config_t *self, size_t index, char *out, size_t size)
{
    name_t name;
    switch (self->origins[index].source) {
    case FROM_DEFAULT: snprintf (out, size, "default"); return;
    case FROM_FILE:
        snprintf (out, size, "%s:%u", self->file_name, self->origins[index].line);
        return;
    case FROM_ENV: s_variable (&self->settings[index], name); break;
    case FROM_FLAG: s_flag (&self->settings[index], name); break;
    }
    snprintf (out, size, "%s", name);
}

const char *umbp_config_blame (umbp_config_t *self, const char *why)
{
    size_t size = strcspn (why, ",:");
    size_t index = 0;
    while (index < self->count
           && (strlen (self->settings[index].member) != size
               || strncmp (self->settings[index].member, why, size) != 0))
        index++;
    if (index == self->count) {
        snprintf (self->error, sizeof self->error, "%s", why);
        return self->error;
    }
    char origin[512];
    const char *text = strchr (why, ':');
    s_origin (self, index, origin, sizeof origin);
    snprintf (self->error, sizeof self->error, "%s: %s%s", origin, self->settings[index].path,
              text ? text : why);
    return self->error;
}

void umbp_config_print (const umbp_config_t *self, FILE *out)
{
    fprintf (out, "#  %s: the effective settings, and where each comes from\n", self->program);
    for (size_t index = 0; index < self->count; index++) {
        const umbp_setting_t *setting = &self->settings[index];
        name_t section;
        char value[2048], origin[512];
        s_section (setting, section);
        if (index == 0 || !s_in_section (setting - 1, section))
            fprintf (out, "\n%s\n", section);
        umbp_config_value_write (setting, self->target, value, sizeof value);
        s_origin (self, index, origin, sizeof origin);
        const char *key = setting->path + strlen (section) + 1;
        if (strlen (value) > 40)
            fprintf (out, "    #  %s\n    %s = %s\n", origin, key, value);
        else
            fprintf (out, "    %-14s = %-28s #  %s\n", key, value, origin);
    }
}

//  A text in lines of at most TEXT_COLUMNS, indented
static void s_wrap (FILE *out, const char *text)
{
    while (*text) {
        size_t size = strlen (text);
        if (size > TEXT_COLUMNS)
            for (size = TEXT_COLUMNS; size > 1 && text[size] != ' '; size--)
                ;
        fprintf (out, "        %.*s\n", (int) size, text);
        text += size;
        text += strspn (text, " ");
    }
}

void umbp_config_help (const umbp_config_t *self, FILE *out)
{
    static const char usage[] =
        "Each setting is also a key of the file (dram/capacity: key capacity of section dram)\n"
        "and a variable of the environment (UMBP_DRAM_CAPACITY). A flag goes before the\n"
        "environment, that before the file, that before the default, in brackets below.\n\n"
        "  --config FILE\n        the file to read; also UMBP_CONFIG [none]\n";
    fprintf (out, "Usage: %s [FLAG [VALUE]]...\n\n%s", self->program, usage);
    for (size_t index = 0; index < sizeof s_own / sizeof *s_own; index++)
        fprintf (out, "  %s\n        %s\n", s_own[index].flag, s_own[index].help);
    for (size_t index = 0; index < self->count; index++) {
        const umbp_setting_t *setting = &self->settings[index];
        name_t section, flag;
        char value[2048], allowed[512];
        s_section (setting, section);
        if (index == 0 || !s_in_section (setting - 1, section))
            fprintf (out, "\n%s\n", section);
        s_flag (setting, flag);
        umbp_config_value_write (setting, self->target, value, sizeof value);
        umbp_config_value_allowed (setting, allowed, sizeof allowed);
        fprintf (out, "  %s %s\n", flag, umbp_config_value_word (setting));
        s_wrap (out, setting->help);
        fprintf (out, "        %s [%s]\n", allowed, value);
    }
}
