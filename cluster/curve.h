//  cluster/curve.h - keys of CURVE as CZMQ certificates: a file with the public key and some words
//  about whose it is, and beside it FILE_secret with the secret key too. Read and checked here, made
//  by umbp-console keygen. Blocks as long as reading a small file does; any thread.
#ifndef UMBP_CURVE_H
#define UMBP_CURVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/types.h"

#define UMBP_CURVE_KEY 32               //  Bytes of a key
#define UMBP_CURVE_TEXT 41              //  ... as text (Z85), with its end

//  Words in a certificate's metadata, all of which may be left out
typedef struct {
    char name[UMBP_NAME_MAX + 1];       //  Whose it is; else the name of the file
    char node[UMBP_NAME_MAX + 1];       //  The id of the one node that may use it
    char tenant[UMBP_NAME_MAX + 1];     //  Of a client: whose blocks it sees; else the default tenant's
    char endpoint[UMBP_TEXT_MAX + 1];   //  Where it serves: "tcp://host:port,...", port * for any
} umbp_curve_words_t;

typedef struct {
    uint8_t public_key[UMBP_CURVE_KEY];
    umbp_curve_words_t words;
} umbp_curve_cert_t;

//  What a socket needs to speak to a server
typedef struct {
    bool on;                            //  false: all is plain
    uint8_t public_key[UMBP_CURVE_KEY], secret_key[UMBP_CURVE_KEY], server_key[UMBP_CURVE_KEY];
} umbp_curve_t;

//  Read the public part. Returns 0, UMBP_ENOENT (no such file), UMBP_EIO (cannot be read) or
//  UMBP_EINVAL (no certificate), and why then says what is wrong with which file.
int umbp_curve_read (const char *path, umbp_curve_cert_t *cert, char *why, size_t size);

//  Read both parts of one's own. Returns the same, UMBP_EINVAL also if they are no pair, and
//  UMBP_EDENIED if others may read the secret.
int umbp_curve_read_own (const char *path, umbp_curve_cert_t *cert, uint8_t *secret_key, char *why,
                         size_t size);

//  What a client needs for an endpoint: its own certificate, and the server's public one, or a
//  folder of these of which one names the endpoint. Both NULL or empty: plain. Returns as above;
//  UMBP_EINVAL also if only one is given, UMBP_ENOENT if none of the folder fits.
int umbp_curve_client (umbp_curve_t *curve, const char *certificate, const char *server,
                       const char *endpoint, char *why, size_t size);

//  Make a ZeroMQ socket a client with these keys, before it connects. Returns false if it cannot be.
bool umbp_curve_apply (const umbp_curve_t *curve, void *socket);

//  A new pair into path and path_secret, the latter for its owner alone. Returns 0, UMBP_EEXIST (one
//  is there; nothing is overwritten), UMBP_EINVAL (impossible words) or UMBP_EIO.
int umbp_curve_make (const char *path, const umbp_curve_words_t *words, char *why, size_t size);

//  Whether a certificate's endpoint words cover an endpoint
bool umbp_curve_serves (const umbp_curve_words_t *words, const char *endpoint);

//  As text; out has UMBP_CURVE_TEXT bytes. Returns out.
char *umbp_curve_text (const uint8_t *key, char *out);

#endif
