//  test/fuzz/fuzz_config.c - settings of umbp-node, as the text of a file, or, if the input begins
//  with "--", as arguments, one a line. What is taken keeps its range, and printed it reads back as
//  the same; what is not is refused in words. If it begins with "tenant", it is a file of quotas.
#include "test/fuzz/fuzz.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "actors/umbp_node.h"
#include "bin/config.h"
#include "bin/config_value.h"
#include "bin/node_settings.h"
#include "cluster/quotas.h"
#include "proto/error.h"

#define ARGUMENTS_MAX 64

//  Some value for each setting, since 0 is in the range of few
static void s_defaults (const umbp_setting_t *settings, size_t count, umbp_node_options_t *options)
{
    memset (options, 0, sizeof *options);
    for (size_t index = 0; index < count; index++) {
        const umbp_setting_t *setting = &settings[index];
        char number[32], choice[64], why[512];
        snprintf (number, sizeof number, "%" PRIu64, setting->low);
        snprintf (choice, sizeof choice, "%s", setting->choices ? setting->choices : "");
        choice[strcspn (choice, "|")] = 0;
        const char *const tries[] = { "", number, choice, "no", "x", "tcp://127.0.0.1:7710" };
        size_t at = 0;
        while (at < sizeof tries / sizeof *tries
               && umbp_config_value_read (setting, tries[at], options, why, sizeof why) != 0)
            at++;
        FUZZ_CHECK (at < sizeof tries / sizeof *tries);
    }
}

static void s_refused (const umbp_config_t *config, int rc)
{
    FUZZ_CHECK (rc == UMBP_EINVAL || rc == UMBP_EIO);
    FUZZ_CHECK (*umbp_config_error (config));
}

//  What was printed says the same
static void s_again (const umbp_config_t *config, const umbp_setting_t *settings, size_t count,
                     const umbp_node_options_t *options)
{
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream (&text, &size);
    FUZZ_CHECK (file);
    umbp_config_print (config, file);
    fclose (file);
    umbp_node_options_t read;
    s_defaults (settings, count, &read);
    umbp_config_t *again = umbp_config_new ("fuzz", settings, count, &read);
    int rc = umbp_config_read_text (again, "again", text, size);
    if (rc != 0)
        fprintf (stderr, "%s\n%s\n", umbp_config_error (again), text);
    FUZZ_CHECK (rc == 0);
    for (size_t index = 0; index < count; index++) {
        char one[1024], other[1024];
        umbp_config_value_write (&settings[index], options, one, sizeof one);
        umbp_config_value_write (&settings[index], &read, other, sizeof other);
        FUZZ_CHECK (strcmp (one, other) == 0);
    }
    umbp_config_destroy (&again);
    free (text);
}

//  Lines as arguments. One that names a file is left out: files are not the input.
static int s_read_arguments (umbp_config_t *config, char *text)
{
    char *argv[ARGUMENTS_MAX + 1] = { "fuzz" }, *env[] = { NULL };
    int argc = 1;
    for (char *line = strtok (text, "\n"); line && argc < ARGUMENTS_MAX; line = strtok (NULL, "\n"))
        if (strncmp (line, "--config", 8) != 0)
            argv[argc++] = line;
    return umbp_config_read (config, argc, argv, env);
}

//  A file of quotas: its tenants are different ones, each with limits that can be asked for; or it is refused
static void s_read_quotas (const uint8_t *data, size_t size)
{
    char path[64], why[512] = "";
    int file = memfd_create ("quotas", 0);
    FUZZ_CHECK (file >= 0 && write (file, data, size) == (ssize_t) size);
    snprintf (path, sizeof path, "/proc/self/fd/%d", file);
    umbp_quotas_t *quotas = umbp_quotas_read (path, why, sizeof why);
    FUZZ_CHECK (!quotas == (*why != 0));
    uint64_t bytes;
    for (size_t index = 0; quotas && umbp_quotas_at (quotas, index, 2, &bytes); index++) {
        const char *tenant = umbp_quotas_at (quotas, index, 2, &bytes);
        FUZZ_CHECK (strlen (tenant) <= UMBP_NAME_MAX);
        if (strcmp (tenant, UMBP_QUOTA_OTHERS) != 0)
            FUZZ_CHECK (umbp_quotas_limit (quotas, umbp_text (tenant), 2) == bytes);
    }
    umbp_quotas_destroy (&quotas);
    close (file);
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    if (size >= 6 && memcmp (data, "tenant", 6) == 0) {
        s_read_quotas (data, size);
        return 0;
    }
    size_t count;
    const umbp_setting_t *settings = umbp_node_settings (&count);
    umbp_node_options_t options;
    s_defaults (settings, count, &options);
    umbp_config_t *config = umbp_config_new ("fuzz", settings, count, &options);
    char *text = malloc (size + 1);
    FUZZ_CHECK (text);
    memcpy (text, data, size);
    text[size] = 0;
    bool arguments = strncmp (text, "--", 2) == 0;
    int rc = arguments ? s_read_arguments (config, text)
                       : umbp_config_read_text (config, "input", (const char *) data, size);
    if (rc == 0)
        s_again (config, settings, count, &options);
    else
        s_refused (config, rc);
    free (text);
    umbp_config_destroy (&config);
    return 0;
}
