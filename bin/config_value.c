//  bin/config_value.c - texts and members of settings, see config_value.h
#include "bin/config_value.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "bin/units.h"
#include "proto/error.h"

//  By kind: what stands for it, what it is called, and an example of a number
static const struct {
    const char *word, *what, *like;
} s_kinds[] = {
    [UMBP_SETTING_TEXT] = { "TEXT", "a text", "" },
    [UMBP_SETTING_ID] = { "NAME", "a name", "" },
    [UMBP_SETTING_ENDPOINT] = { "ENDPOINT", "an endpoint", "" },
    [UMBP_SETTING_ENDPOINTS] = { "ENDPOINTS", "a list of endpoints", "" },
    [UMBP_SETTING_LISTEN] = { "ENDPOINT", "an endpoint", "" },
    [UMBP_SETTING_NAME] = { "CHOICE", "one of the choices", "" },
    [UMBP_SETTING_LEVEL] = { "CHOICE", "one of the choices", "" },
    [UMBP_SETTING_BOOL] = { "YES|NO", "yes or no", "" },
    [UMBP_SETTING_BYTES] = { "SIZE", "a size", ", like 512MiB or 4GiB" },
    [UMBP_SETTING_COUNT] = { "COUNT", "a count", "" },
    [UMBP_SETTING_MS] = { "TIME", "a time", ", like 250ms, 5s or 2m" },
    [UMBP_SETTING_US] = { "TIME", "a time", ", like 50us or 1ms" },
    [UMBP_SETTING_PERCENT] = { "PERCENT", "a percentage", ", like 90%" },
    [UMBP_SETTING_PORT] = { "PORT", "a port", "" },
};

const char *umbp_config_value_word (const umbp_setting_t *setting)
{
    return s_kinds[setting->kind].word;
}

//  ------------------------------------------------------------------------------------------------
//  Members

static bool s_is_text (const umbp_setting_t *setting)
{
    return setting->kind <= UMBP_SETTING_NAME;
}

static uint64_t s_number (const umbp_setting_t *setting, const void *target)
{
    const uint8_t *member = (const uint8_t *) target + setting->offset;
    uint64_t wide;
    uint32_t narrow;
    if (setting->kind == UMBP_SETTING_BOOL)
        return *(const bool *) member;
    if (setting->size == sizeof wide) {
        memcpy (&wide, member, sizeof wide);
        return wide;
    }
    assert (setting->size == sizeof narrow);
    memcpy (&narrow, member, sizeof narrow);
    return narrow;
}

static void s_set_number (const umbp_setting_t *setting, void *target, uint64_t value)
{
    uint8_t *member = (uint8_t *) target + setting->offset;
    if (setting->kind == UMBP_SETTING_BOOL)
        *(bool *) member = value != 0;
    else if (setting->size == sizeof value)
        memcpy (member, &value, sizeof value);
    else {
        uint32_t narrow = (uint32_t) value;
        assert (setting->size == sizeof narrow && narrow == value);
        memcpy (member, &narrow, sizeof narrow);
    }
}

//  ------------------------------------------------------------------------------------------------
//  What is allowed

//  A number of this setting as its file has it
static void s_write_number (const umbp_setting_t *setting, uint64_t value, char *out)
{
    switch (setting->kind) {
    case UMBP_SETTING_BYTES: umbp_units_write_bytes (value, out); break;
    case UMBP_SETTING_MS: umbp_units_write_ms (value, out); break;
    case UMBP_SETTING_US: umbp_units_write_us (value, out); break;
    case UMBP_SETTING_PERCENT: snprintf (out, UMBP_UNITS_ROOM, "%" PRIu64 "%%", value); break;
    case UMBP_SETTING_BOOL: snprintf (out, UMBP_UNITS_ROOM, "%s", value ? "yes" : "no"); break;
    default: snprintf (out, UMBP_UNITS_ROOM, "%" PRIu64, value); break;
    }
}

//  The choices between commas
static void s_write_choices (const char *choices, char *out, size_t size)
{
    size_t used = 0;
    for (; *choices && used + 3 < size; choices++) {
        if (*choices == '|') {
            out[used++] = ',';
            out[used++] = ' ';
        } else
            out[used++] = *choices;
    }
    out[used] = 0;
}

void umbp_config_value_allowed (const umbp_setting_t *setting, char *out, size_t size)
{
    const char *empty = setting->low == 0 ? ", or nothing" : "";
    char low[UMBP_UNITS_ROOM], high[UMBP_UNITS_ROOM];
    switch (setting->kind) {
    case UMBP_SETTING_TEXT:
        snprintf (out, size, "%" PRIu64 "..%" PRIu64 " bytes, not both kinds of quotes",
                  setting->low, setting->high);
        break;
    case UMBP_SETTING_ID:
        snprintf (out, size, "%" PRIu64 "..%" PRIu64 " of A-Z a-z 0-9 . _ -", setting->low,
                  setting->high);
        break;
    case UMBP_SETTING_ENDPOINT: snprintf (out, size, "tcp://HOST:PORT%s", empty); break;
    case UMBP_SETTING_ENDPOINTS: snprintf (out, size, "tcp://HOST:PORT,...%s", empty); break;
    case UMBP_SETTING_LISTEN:
        snprintf (out, size, "tcp://HOST:PORT, where * as PORT takes any free one%s", empty);
        break;
    case UMBP_SETTING_NAME:
    case UMBP_SETTING_LEVEL: s_write_choices (setting->choices, out, size); break;
    case UMBP_SETTING_BOOL: snprintf (out, size, "yes or no"); break;
    default:
        s_write_number (setting, setting->low, low);
        s_write_number (setting, setting->high, high);
        snprintf (out, size, "%s..%s%s", low, high, s_kinds[setting->kind].like);
        break;
    }
}

//  ------------------------------------------------------------------------------------------------
//  Texts

//  The port in size bytes at text: digits that make 1..65535, or 0 or * if it may be any
static bool s_is_port (const char *text, size_t size, bool any)
{
    unsigned port = 0;
    if (any && size == 1 && *text == '*')
        return true;
    if (size < 1 || size > 5)
        return false;
    for (size_t index = 0; index < size; index++) {
        if (!isdigit ((unsigned char) text[index]))
            return false;
        port = port * 10 + (unsigned) (text[index] - '0');
    }
    return port <= 65535 && (port > 0 || any);
}

static bool s_is_endpoint (const char *text, size_t size, bool any)
{
    static const char scheme[] = "tcp://";
    size_t skip = sizeof scheme - 1;
    if (size <= skip || strncmp (text, scheme, skip) != 0)
        return false;
    for (size_t index = skip; index < size; index++)
        if (!isalnum ((unsigned char) text[index]) && !strchr (".-_:*%[]", text[index]))
            return false;
    const char *colon = memrchr (text + skip, ':', size - skip);
    size_t host = colon ? (size_t) (colon - text) - skip : 0;
    return host > 0 && s_is_port (colon + 1, size - skip - host - 1, any);
}

static bool s_is_endpoints (const char *text)
{
    while (true) {
        size_t size = strcspn (text, ",");
        if (!s_is_endpoint (text, size, false))
            return false;
        if (!text[size])
            return true;
        text += size + 1;
    }
}

//  Whether the text is one that its kind allows
static bool s_text_fits (const umbp_setting_t *setting, const char *text)
{
    if (!*text)
        return setting->low == 0;
    if (setting->kind == UMBP_SETTING_ENDPOINT || setting->kind == UMBP_SETTING_LISTEN)
        return s_is_endpoint (text, strlen (text), setting->kind == UMBP_SETTING_LISTEN);
    if (setting->kind == UMBP_SETTING_ENDPOINTS)
        return s_is_endpoints (text);
    if (strchr (text, '"') && strchr (text, '\''))
        return false;
    for (; *text; text++)
        if (setting->kind == UMBP_SETTING_ID
                ? !isalnum ((unsigned char) *text) && !strchr ("._-", *text)
                : iscntrl ((unsigned char) *text))
            return false;
    return true;
}

//  Number of a choice, -1 if it is none
static int s_choice (const char *choices, const char *text)
{
    size_t size = strlen (text);
    for (int index = 0;; index++) {
        size_t length = strcspn (choices, "|");
        if (size == length && strncasecmp (choices, text, size) == 0)
            return index;
        if (!choices[length])
            return -1;
        choices += length + 1;
    }
}

//  Returns NULL if it was read, else what is wrong with it
static const char *s_read_text (const umbp_setting_t *setting, const char *text, void *target)
{
    bool fits = setting->kind == UMBP_SETTING_NAME ? s_choice (setting->choices, text) >= 0
                                                   : s_text_fits (setting, text);
    if (strlen (text) > setting->high || strlen (text) >= setting->size)
        return "too long";
    if (!fits)
        return *text ? "" : "nothing";
    char *member = (char *) target + setting->offset;
    memset (member, 0, setting->size);
    for (size_t index = 0; text[index]; index++)
        member[index] = setting->kind == UMBP_SETTING_NAME
                            ? (char) tolower ((unsigned char) text[index])
                            : text[index];
    return NULL;
}

//  ------------------------------------------------------------------------------------------------
//  Numbers

static int s_read_bool (const char *text, uint64_t *value)
{
    int choice = s_choice ("no|yes|false|true|off|on|0|1", text);
    *value = (uint64_t) choice & 1;
    return choice < 0 ? UMBP_EINVAL : 0;
}

static int s_read_percent (const char *text, uint64_t *value)
{
    char digits[UMBP_UNITS_ROOM];
    size_t size = strlen (text);
    if (size == 0 || size >= sizeof digits)
        return UMBP_EINVAL;
    memcpy (digits, text, size + 1);
    if (digits[size - 1] == '%')
        digits[size - 1] = 0;
    return umbp_units_read_count (digits, value);
}

static int s_read_choice (const umbp_setting_t *setting, const char *text, uint64_t *value)
{
    int choice = s_choice (setting->choices, text);
    *value = (uint64_t) choice;
    return choice < 0 ? UMBP_EINVAL : 0;
}

//  Returns NULL if it was read, else what is wrong with it
static const char *s_read_number (const umbp_setting_t *setting, const char *text, void *target)
{
    uint64_t value = 0;
    int rc;
    switch (setting->kind) {
    case UMBP_SETTING_BOOL: rc = s_read_bool (text, &value); break;
    case UMBP_SETTING_LEVEL: rc = s_read_choice (setting, text, &value); break;
    case UMBP_SETTING_BYTES: rc = umbp_units_read_bytes (text, &value); break;
    case UMBP_SETTING_MS: rc = umbp_units_read_ms (text, &value); break;
    case UMBP_SETTING_US: rc = umbp_units_read_us (text, &value); break;
    case UMBP_SETTING_PERCENT: rc = s_read_percent (text, &value); break;
    default: rc = umbp_units_read_count (text, &value); break;
    }
    if (rc < 0)
        return "";
    if (value < setting->low)
        return "too small";
    if (value > setting->high)
        return "too large";
    s_set_number (setting, target, value);
    return NULL;
}

//  ------------------------------------------------------------------------------------------------

int umbp_config_value_read (const umbp_setting_t *setting, const char *text, void *target,
                            char *why, size_t size)
{
    const char *fault = s_is_text (setting) ? s_read_text (setting, text, target)
                                            : s_read_number (setting, text, target);
    if (!fault)
        return 0;
    char allowed[384];
    umbp_config_value_allowed (setting, allowed, sizeof allowed);
    snprintf (why, size, "%s%s; allowed: %s", *fault ? fault : "not ",
              *fault ? "" : s_kinds[setting->kind].what, allowed);
    return UMBP_EINVAL;
}

void umbp_config_value_write (const umbp_setting_t *setting, const void *target, char *out,
                              size_t size)
{
    if (s_is_text (setting)) {
        const char *text = (const char *) target + setting->offset;
        char quote = strchr (text, '"') ? '\'' : '"';
        snprintf (out, size, "%c%s%c", quote, text, quote);
        return;
    }
    char number[UMBP_UNITS_ROOM];
    uint64_t value = s_number (setting, target);
    s_write_number (setting, value, number);
    if (setting->kind != UMBP_SETTING_LEVEL) {
        snprintf (out, size, "%s", number);
        return;
    }
    const char *choice = setting->choices;
    for (; value > 0; value--)
        choice += strcspn (choice, "|") + 1;
    snprintf (out, size, "%.*s", (int) strcspn (choice, "|"), choice);
}
