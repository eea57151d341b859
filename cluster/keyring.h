//  cluster/keyring.h - who may speak to a node: the public keys of nodes and of clients, from two
//  folders of certificates (curve.h). A value: no thread; reading a folder blocks.
#ifndef UMBP_KEYRING_H
#define UMBP_KEYRING_H

#include "cluster/curve.h"

#define UMBP_PASSES_MAX 4096            //  Certificates in all

typedef enum {
    UMBP_PASS_NODE,                     //  May join, and speak as nodes and clients do
    UMBP_PASS_CLIENT,                   //  May speak as clients do
} umbp_pass_role_t;

//  One key that is good. Plain bytes: a keyring travels as an array of them inside a process.
typedef struct {
    umbp_pass_role_t role;
    umbp_curve_cert_t cert;
} umbp_pass_t;

typedef struct umbp_keyring umbp_keyring_t;

umbp_keyring_t *umbp_keyring_new (void);
void umbp_keyring_destroy (umbp_keyring_t **self_p);

//  One more; a key that is there already keeps its role. Returns 0, or UMBP_EAGAIN: full.
int umbp_keyring_add (umbp_keyring_t *self, const umbp_pass_t *pass);

//  All certificates of a folder, but not the secret parts that may lie there too. A file that is
//  none is passed over, and why says what is wrong with the last of these. Returns how many of
//  these there were, or UMBP_EIO if the folder cannot be read, or UMBP_EAGAIN.
int umbp_keyring_add_folder (umbp_keyring_t *self, const char *folder, umbp_pass_role_t role,
                             char *why, size_t size);

//  All passes, sorted by key; good until the next change
const umbp_pass_t *umbp_keyring_passes (const umbp_keyring_t *self, size_t *count);

//  Whose a key is; NULL: nobody's
const umbp_pass_t *umbp_keyring_find (const umbp_keyring_t *self, const uint8_t *key);

//  Which node serves at an endpoint: the one whose certificate names it, else the one whose
//  certificate names none, if that is only one. NULL: nobody does.
const umbp_pass_t *umbp_keyring_at (const umbp_keyring_t *self, const char *endpoint);

//  A number that changes when a file of the folder does, or the list of them. Cheap: no file is
//  read. 0: the folder cannot be read; 1: folder is empty or NULL.
uint64_t umbp_keyring_stamp (const char *folder);

#endif
