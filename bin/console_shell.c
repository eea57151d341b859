//  bin/console_shell.c - commands line by line: from a terminal with history, editing and
//  completion, else from whatever stdin is
#include <czmq.h>
#include <editline/readline.h>
#include <histedit.h>
#include <sys/stat.h>

#include "bin/console.h"

#define HISTORY_MAX 1000                //  Lines kept
#define HISTORY_NAME ".umbp_history"
#define WORDS_AGE_MS 5000               //  How long nodes and actors are believed when completing
#define MOMENT_MS 300                   //  Nobody waits longer for a completion
#define PROMPT_ROOM 128

//  ------------------------------------------------------------------------------------------------
//  Lines

//  Who is there, or NULL if our node does not answer within a moment
static umbp_topology_t *s_ask_topology (umbp_console_t *self)
{
    umbp_msg_t question;
    const umbp_msg_t *answer;
    if (!self->talk)
        return NULL;
    umbp_msg_init (&question, UMBP_MSG_topology, 0);
    umbp_talk_set_timeout (self->talk, MOMENT_MS);
    int status = umbp_talk_ask (self->talk, "registry", &question, &answer);
    umbp_talk_set_timeout (self->talk, self->timeout_ms);
    return status == 0 ? umbp_topology_new (&answer->topology_ok) : NULL;
}

//  Whether our node answers
static bool s_is_connected (umbp_console_t *self)
{
    umbp_topology_t *topology = s_ask_topology (self);
    bool connected = topology != NULL;
    umbp_topology_destroy (&topology);
    return connected;
}

//  What a line says, run. Returns whether to go on.
static bool s_line (umbp_console_t *self, Tokenizer *tokenizer, const char *line, int *end)
{
    int count = 0;
    const char **words = NULL;
    tok_reset (tokenizer);
    if (tok_str (tokenizer, line, &count, &words) != 0) {
        *end = umbp_console_usage (self, "a quote is not closed");
        return true;
    }
    if (count == 0 || *words[0] == '#')
        return true;
    if (count == 1 && (streq (words[0], "quit") || streq (words[0], "exit")))
        return false;
    char **argv = zmalloc (((size_t) count + 2) * sizeof *argv);
    argv[0] = (char *) "umbp-console";  //  As a program would get it
    memcpy (argv + 1, words, (size_t) count * sizeof *argv);
    bool json = self->json, empty;
    uint32_t timeout_ms = self->timeout_ms, connect_ms = self->connect_ms;
    *end = umbp_console_run (self, count + 1, argv, &empty);
    self->json = json;                  //  Flags count for one line, but for --endpoint
    self->timeout_ms = timeout_ms;
    self->connect_ms = connect_ms;
    if (*end == UMBP_CONSOLE_UNREACHABLE && !s_is_connected (self))
        umbp_console_close (self);      //  It is our node: the next command looks for another
    free (argv);
    return true;
}

static int s_read_pipe (umbp_console_t *self, Tokenizer *tokenizer)
{
    char *line = NULL;
    size_t room = 0;
    int end = UMBP_CONSOLE_OK;
    bool more = true;
    while (more && getline (&line, &room, stdin) != -1) {
        line[strcspn (line, "\r\n")] = 0;
        more = s_line (self, tokenizer, line, &end);
    }
    free (line);
    return end;
}

//  ------------------------------------------------------------------------------------------------
//  Completion. Its functions take no argument of ours, and so need the one console there is.

static umbp_console_t *s_console;
static zlist_t *s_words;                //  What may follow, as completed last
static zlist_t *s_nodes, *s_actors;     //  Of the cluster, a moment ago
static int64_t s_words_until;

//  Names of our own node's actors, as it says; 0 if it does not
static size_t s_ask_actors (umbp_console_t *self, char (*names)[UMBP_NAME_MAX + 1])
{
    umbp_msg_t question;
    const umbp_msg_t *answer;
    umbp_msg_init (&question, UMBP_MSG_who, 0);
    umbp_talk_set_timeout (self->talk, MOMENT_MS);
    int status = umbp_talk_ask (self->talk, "registry", &question, &answer);
    umbp_talk_set_timeout (self->talk, self->timeout_ms);
    return status == 0 ? umbp_console_said_actors (&answer->who_ok, names) : 0;
}

static void s_know_member (const umbp_member_t *member, bool us)
{
    char names[UMBP_CONSOLE_ACTORS_MAX][UMBP_NAME_MAX + 1];
    size_t count = us ? s_ask_actors (s_console, names) : 0;
    if (count == 0)
        count = umbp_console_actors (member, names);
    zlist_append (s_nodes, (void *) member->node);
    for (size_t index = 0; index < count; index++) {
        char *address = zsys_sprintf ("%s@%s", names[index], member->node);
        if (us)
            zlist_append (s_actors, names[index]);
        zlist_append (s_actors, address);
        free (address);
    }
}

//  Who is there, asked again when it is a while ago. Says nothing if nobody answers.
static void s_know (void)
{
    if (zclock_mono () < s_words_until)
        return;
    umbp_topology_t *topology = s_ask_topology (s_console);
    s_words_until = zclock_mono () + WORDS_AGE_MS;
    if (!topology)
        return;
    zlist_purge (s_nodes);
    zlist_purge (s_actors);
    for (size_t index = 0; index < umbp_topology_count (topology); index++)
        s_know_member (umbp_topology_member (topology, index),
                       index == umbp_topology_self (topology));
    umbp_topology_destroy (&topology);
}

static void s_offer (const zlist_t *words)
{
    for (void *word = zlist_first ((zlist_t *) words); word; word = zlist_next ((zlist_t *) words))
        zlist_append (s_words, word);
}

static void s_offer_texts (const char *const *texts)
{
    for (; *texts; texts++)
        zlist_append (s_words, (void *) *texts);
}

static void s_offer_commands (void)
{
    for (const umbp_command_t *command = umbp_commands; command->name; command++)
        zlist_append (s_words, (void *) command->name);
}

//  What may stand at this place of this command. Returns whether that is a file.
static bool s_offer_for (const char *command, size_t place)
{
    static const char *const levels[] = { "error", "warning", "info", "debug", NULL };
    static const char *const advices[] = { "need", "cold", NULL };
    static const char *const tiers[] = { "hbm", "dram", "nvme", "shared", NULL };
    static const char *const quits[] = { "quit", NULL };
    static const char *const clears[] = { "--everywhere", "--yes", NULL };
    if (place == 0)
        s_offer_texts (quits);
    bool log = streq (command, "log-level"), evict = streq (command, "evict");
    if (place == 0 || streq (command, "help"))
        s_offer_commands ();
    else if (streq (command, "clear"))
        s_offer_texts (clears);
    else if (log && place == 1)
        s_offer_texts (levels);
    else if (log || streq (command, "stat") || streq (command, "ping"))
        s_offer (s_actors);
    else if (streq (command, "advise") && place == 1)
        s_offer_texts (advices);
    else if (evict && place == 2)
        s_offer_texts (tiers);
    else if (evict || (streq (command, "copy") && place > 1))
        s_offer (s_nodes);
    return (streq (command, "put") || streq (command, "get")) && place == 2;
}

//  Called until it returns NULL, with 0 first: the words that begin with text
static char *s_next_word (const char *text, int again)
{
    char *word = again ? zlist_next (s_words) : zlist_first (s_words);
    while (word && strncmp (word, text, strlen (text)) != 0)
        word = zlist_next (s_words);
    return word ? strdup (word) : NULL;
}

static char **s_complete (const char *text, int start, int end)
{
    (void) end;
    char command[32] = "";
    size_t place = 0;
    const char *at = rl_line_buffer;
    for (at += strspn (at, " \t"); at < rl_line_buffer + start; place++) {
        size_t length = strcspn (at, " \t");
        if (place == 0)
            snprintf (command, sizeof command, "%.*s", (int) length, at);
        at += length;
        at += strspn (at, " \t");
    }
    zlist_purge (s_words);
    s_know ();
    rl_attempted_completion_over = !s_offer_for (command, place);
    return zlist_size (s_words) ? rl_completion_matches (text, s_next_word) : NULL;
}

static zlist_t *s_list (void)
{
    zlist_t *list = zlist_new ();
    zlist_autofree (list);
    return list;
}

//  ------------------------------------------------------------------------------------------------
//  A terminal

static volatile sig_atomic_t s_interrupted;

static void s_on_interrupt (int number)
{
    (void) number;
    s_interrupted = 1;
}

//  Where the history is kept; empty if there is no home
static void s_history_path (char *out, size_t size)
{
    const char *home = getenv ("HOME");
    *out = 0;
    if (home && *home)
        snprintf (out, size, "%s/" HISTORY_NAME, home);
}

static void s_prompt (const umbp_console_t *self, char *out)
{
    snprintf (out, PROMPT_ROOM, "umbp %s> ",
              self->talk ? umbp_talk_node (self->talk) : "(no node)");
}

//  The next line, to be freed. NULL at the end of input; an empty one after Ctrl-C.
static char *s_read_line (const umbp_console_t *self)
{
    char prompt[PROMPT_ROOM];
    s_prompt (self, prompt);
    s_interrupted = 0;
    char *line = readline (prompt);
    if (!line && s_interrupted) {
        puts ("");
        return strdup ("");
    }
    return line;
}

static void s_remember (const char *line, char *last, size_t size)
{
    if (!*line || streq (line, last))
        return;
    snprintf (last, size, "%s", line);
    add_history (line);
}

static int s_read_terminal (umbp_console_t *self, Tokenizer *tokenizer)
{
    char path[512], last[256] = "";
    int end = UMBP_CONSOLE_OK;
    bool more = true;
    struct sigaction interrupt = { .sa_handler = s_on_interrupt };
    sigaction (SIGINT, &interrupt, NULL);
    rl_readline_name = "umbp-console";
    rl_initialize ();
    rl_attempted_completion_function = s_complete;
    rl_basic_word_break_characters = " \t";      //  Not @, which addresses have
    using_history ();
    stifle_history (HISTORY_MAX);
    s_history_path (path, sizeof path);
    if (*path)
        read_history (path);
    if (umbp_console_talk (self) == UMBP_CONSOLE_OK)
        printf ("Connected to %s of cluster %s at %s\n"
                "help lists commands, Tab completes, quit or Ctrl-D leaves\n",
                umbp_talk_node (self->talk), umbp_talk_cluster (self->talk),
                umbp_talk_endpoint (self->talk));
    for (char *line; more && (line = s_read_line (self));) {
        s_remember (line, last, sizeof last);
        more = s_line (self, tokenizer, line, &end);
        free (line);
    }
    if (more)
        puts ("");                      //  After Ctrl-D
    umask (077);                        //  Only we read what we typed
    if (*path)
        write_history (path);
    return end;
}

int umbp_console_shell (umbp_console_t *self)
{
    bool terminal = isatty (STDIN_FILENO) && isatty (STDOUT_FILENO);
    Tokenizer *tokenizer = tok_init (NULL);
    s_console = self;
    s_words = s_list ();
    s_nodes = s_list ();
    s_actors = s_list ();
    self->shell = terminal;
    int end = terminal ? s_read_terminal (self, tokenizer) : s_read_pipe (self, tokenizer);
    zlist_destroy (&s_words);
    zlist_destroy (&s_nodes);
    zlist_destroy (&s_actors);
    tok_end (tokenizer);
    return end;
}
