/*
 * Runs the native writer without Node, under the compiler's sanitizers: random programs, valid and not, on socket pairs whose
 * other ends read, do not read, or are gone. Every byte that was reported as sent must arrive, in order, and no other.
 *
 *   native-writer-fuzz SEED ROUNDS
 */
#include "native-writer.c"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { SOCKETS = 8, FRAMES = 24, FRAME_LIMIT = 70000, PROGRAM = 256, SLOTS_LIMIT = 6 };

/* What stands in for Node's values. */
struct napi_value__ {
  int type;
  size_t length;
  void *data;
  uint32_t number;
};
static struct napi_value__ arguments[4], frameValues[FRAMES], answer;
static const char *refusal;

napi_status napi_get_cb_info(napi_env env, napi_callback_info info, size_t *argc, napi_value *argv, napi_value *self, void **data) {
  (void)env, (void)info, (void)self, (void)data;
  for (int i = 0; i < 4; i++) argv[i] = &arguments[i];
  *argc = 4;
  return NAPI_OK;
}
napi_status napi_get_typedarray_info(napi_env env, napi_value value, int *type, size_t *length, void **data, napi_value *buffer, size_t *offset) {
  (void)env, (void)buffer, (void)offset;
  *type = value->type;
  *length = value->length;
  *data = value->data;
  return NAPI_OK;
}
napi_status napi_get_array_length(napi_env env, napi_value value, uint32_t *length) {
  (void)env;
  *length = (uint32_t)value->length;
  return NAPI_OK;
}
napi_status napi_get_element(napi_env env, napi_value value, uint32_t index, napi_value *element) {
  (void)env, (void)value;
  *element = &frameValues[index];
  return NAPI_OK;
}
napi_status napi_get_value_uint32(napi_env env, napi_value value, uint32_t *number) {
  (void)env;
  *number = value->number;
  return NAPI_OK;
}
napi_status napi_create_function(napi_env env, const char *name, size_t length, napi_callback call, void *data, napi_value *out) {
  (void)env, (void)name, (void)length, (void)call, (void)data, (void)out;
  return NAPI_OK;
}
napi_status napi_set_named_property(napi_env env, napi_value object, const char *name, napi_value value) {
  (void)env, (void)object, (void)name, (void)value;
  return NAPI_OK;
}
napi_status napi_create_uint32(napi_env env, uint32_t number, napi_value *out) {
  (void)env;
  answer.number = number;
  *out = &answer;
  return NAPI_OK;
}
napi_status napi_throw_range_error(napi_env env, const char *code, const char *message) {
  (void)env, (void)code;
  refusal = message;
  return NAPI_OK;
}
napi_status napi_open_handle_scope(napi_env env, void **scope) {
  (void)env;
  *scope = NULL;
  return NAPI_OK;
}
napi_status napi_close_handle_scope(napi_env env, void *scope) {
  (void)env, (void)scope;
  return NAPI_OK;
}

static uint64_t state;
static uint32_t below(uint32_t limit) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(state >> 33) % limit;
}

static void fail(const char *what) {
  fprintf(stderr, "%s\n", what);
  exit(1);
}

static int ours[SOCKETS], theirs[SOCKETS];
static unsigned char *frameData[FRAMES];

static void openPair(int index) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0) fail("socketpair");
  int room = 4096 << below(6);
  setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
  fcntl(pair[1], F_SETFL, O_NONBLOCK);
  ours[index] = pair[0];
  theirs[index] = pair[1];
}

/* Reads what has come at the other end and holds it against what was reported for this order. */
static void checkOrder(int index, const int32_t *slots, int32_t count, int32_t taken) {
  size_t left = taken > 0 ? (size_t)taken : 0;
  static unsigned char came[1 << 16];
  for (int32_t i = 0; i < count && left > 0; i++) {
    struct napi_value__ *frame = &frameValues[slots[i]];
    size_t want = frame->length < left ? frame->length : left, at = 0;
    while (at < want) {
      size_t room = want - at < sizeof came ? want - at : sizeof came;
      ssize_t got = read(theirs[index], came, room);
      if (got <= 0) fail("reported as sent, but not there");
      if (memcmp(came, (unsigned char *)frame->data + at, (size_t)got) != 0) fail("other bytes than were sent");
      at += (size_t)got;
    }
    left -= want;
  }
  if (left > 0) fail("more reported than there was");
  if (read(theirs[index], came, 1) > 0) fail("more sent than reported");
}

static void validRound(int32_t *program, int32_t *results) {
  uint32_t length = 0, orders = 0;
  int32_t owner[SOCKETS];
  uint32_t at[SOCKETS];
  for (int index = 0; index < SOCKETS; index++) {
    if (below(3) == 0) continue;
    int32_t count = 1 + (int32_t)below(SLOTS_LIMIT);
    owner[orders] = index;
    at[orders++] = length;
    program[length++] = ours[index];
    program[length++] = count;
    for (int32_t i = 0; i < count; i++) program[length++] = (int32_t)below(FRAMES);
  }
  int gone = below(4) == 0 ? (int)below(SOCKETS) : -1;
  if (gone >= 0) close(theirs[gone]);
  arguments[2].number = length;
  refusal = NULL;
  sendAll(NULL, NULL);
  if (refusal != NULL) fail(refusal);
  if (answer.number != orders) fail("not all orders were carried out");
  for (uint32_t i = 0; i < orders; i++) {
    if (owner[i] == gone) {
      if (results[i] >= 0) fail("sent to somebody who is gone");
    } else checkOrder(owner[i], &program[at[i] + 2], program[at[i] + 1], results[i]);
  }
  if (gone >= 0) {
    close(ours[gone]);
    openPair(gone);
  }
}

/* Whatever stands in the program, nothing outside of it is touched; descriptors are never real ones. */
static void wildRound(int32_t *program) {
  for (int i = 0; i < PROGRAM; i++) {
    uint32_t kind = below(4);
    program[i] = kind == 0 ? (int32_t)below(FRAMES) + 100000 : kind == 1 ? 1 + (int32_t)below(4) : (int32_t)(below(1u << 31) << below(2));
    if (kind == 3) program[i] = -program[i];
  }
  arguments[2].number = below(PROGRAM + 8);
  sendAll(NULL, NULL);
}

/* A program that ends in the middle, or more orders than results: arrays of exactly the size that is said. */
static void cutRound(void) {
  int32_t orders = 1 + (int32_t)below(SOCKETS), length = orders * 4, cut = (int32_t)below(4);
  size_t room = (size_t)orders - (cut == 0 ? 1 : 0);
  int32_t *program = malloc((size_t)(length - cut) * sizeof *program), *results = malloc((room + 1) * sizeof *results);
  int32_t *tight = realloc(results, room > 0 ? room * sizeof *results : 1);
  for (int32_t i = 0; i < length - cut; i++) program[i] = i % 4 == 0 ? 100000 : i % 4 == 1 ? 2 : (int32_t)below(FRAMES);
  arguments[1] = (struct napi_value__){.type = NAPI_INT32, .length = (size_t)(length - cut), .data = program};
  arguments[3] = (struct napi_value__){.type = NAPI_INT32, .length = room, .data = tight};
  arguments[2].number = (uint32_t)(length - cut);
  refusal = NULL;
  sendAll(NULL, NULL);
  if (refusal == NULL) fail("a program that is cut was carried out");
  free(program);
  free(tight);
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  state = (uint64_t)atoll(argv[1]);
  long rounds = atol(argv[2]);
  for (int i = 0; i < FRAMES; i++) {
    size_t length = 1 + below(below(4) == 0 ? FRAME_LIMIT : 600);
    /* Of exactly this size, so that a sanitizer sees the first byte beyond. */
    frameData[i] = malloc(length);
    for (size_t k = 0; k < length; k++) frameData[i][k] = (unsigned char)below(256);
    frameValues[i] = (struct napi_value__){.type = NAPI_UINT8, .length = length, .data = frameData[i]};
  }
  for (int i = 0; i < SOCKETS; i++) openPair(i);
  for (long round = 0; round < rounds; round++) {
    int32_t *program = malloc(PROGRAM * sizeof *program), *results = malloc(SOCKETS * sizeof *results);
    arguments[0] = (struct napi_value__){.length = FRAMES};
    arguments[1] = (struct napi_value__){.type = NAPI_INT32, .length = PROGRAM, .data = program};
    arguments[3] = (struct napi_value__){.type = NAPI_INT32, .length = SOCKETS, .data = results};
    if (below(3) == 0) wildRound(program);
    else validRound(program, results);
    cutRound();
    free(program);
    free(results);
  }
  for (int i = 0; i < FRAMES; i++) free(frameData[i]);
  printf("%ld rounds\n", rounds);
  return 0;
}
