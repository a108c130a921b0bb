/*
 * One call sends prepared bytes on many sockets: what Node's streams cost per socket and write is spent once per call.
 * Nothing is queued here. What a socket does not take at once is reported and left to the caller's ordinary path.
 *
 * Node-API is a stable binary interface: the few declarations used are repeated here, so that neither headers nor a build tool
 * are needed, only a C compiler.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

typedef struct napi_env__ *napi_env;
typedef struct napi_value__ *napi_value;
typedef struct napi_callback_info__ *napi_callback_info;
typedef napi_value (*napi_callback)(napi_env, napi_callback_info);
typedef int napi_status;

extern napi_status napi_get_cb_info(napi_env, napi_callback_info, size_t *, napi_value *, napi_value *, void **);
extern napi_status napi_get_typedarray_info(napi_env, napi_value, int *, size_t *, void **, napi_value *, size_t *);
extern napi_status napi_get_array_length(napi_env, napi_value, uint32_t *);
extern napi_status napi_get_element(napi_env, napi_value, uint32_t, napi_value *);
extern napi_status napi_get_value_uint32(napi_env, napi_value, uint32_t *);
extern napi_status napi_create_function(napi_env, const char *, size_t, napi_callback, void *, napi_value *);
extern napi_status napi_set_named_property(napi_env, napi_value, const char *, napi_value);
extern napi_status napi_create_uint32(napi_env, uint32_t, napi_value *);
extern napi_status napi_throw_range_error(napi_env, const char *, const char *);
extern napi_status napi_open_handle_scope(napi_env, void **);
extern napi_status napi_close_handle_scope(napi_env, void *);

enum { NAPI_OK = 0, NAPI_UINT8 = 1, NAPI_INT32 = 5 };
/* Linux takes 1,024 pieces in one call; a socket with more is sent the first of them and the caller does the rest. */
enum { PIECES_LIMIT = 1024, FRAMES_LIMIT = 1 << 20 };

/* What one socket gets: its descriptor, how many frames, which. */
typedef struct {
  int descriptor;
  uint32_t count;
  const int32_t *slots;
} Order;

static napi_value refuse(napi_env env, const char *why) {
  napi_throw_range_error(env, NULL, why);
  return NULL;
}

/* Answers bytes taken, or minus the error number. */
static int32_t sendOrder(const Order *order, const struct iovec *frames) {
  struct iovec pieces[PIECES_LIMIT];
  uint32_t count = order->count < PIECES_LIMIT ? order->count : PIECES_LIMIT;
  ssize_t sent;
  do {
    if (count == 1) {
      const struct iovec *only = &frames[order->slots[0]];
      sent = send(order->descriptor, only->iov_base, only->iov_len, MSG_DONTWAIT | MSG_NOSIGNAL);
    } else {
      size_t total = 0;
      for (uint32_t i = 0; i < count; i++) {
        pieces[i] = frames[order->slots[i]];
        total += pieces[i].iov_len;
        /* The answer must fit. */
        if (total > INT32_MAX) return -EMSGSIZE;
      }
      struct msghdr message = {.msg_iov = pieces, .msg_iovlen = count};
      sent = sendmsg(order->descriptor, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
  } while (sent < 0 && errno == EINTR);
  return sent < 0 ? -errno : (int32_t)sent;
}

static const char *readFrames(napi_env env, napi_value array, uint32_t count, struct iovec *frames) {
  for (uint32_t i = 0; i < count; i++) {
    void *scope;
    napi_value element;
    int type;
    size_t length;
    void *data;
    if (napi_open_handle_scope(env, &scope) != NAPI_OK) return "no handle scope";
    napi_status status = napi_get_element(env, array, i, &element);
    if (status == NAPI_OK) status = napi_get_typedarray_info(env, element, &type, &length, &data, NULL, NULL);
    napi_close_handle_scope(env, scope);
    if (status != NAPI_OK || type != NAPI_UINT8) return "frames must be buffers";
    if (length > INT32_MAX) return "a frame is too long";
    frames[i] = (struct iovec){.iov_base = data, .iov_len = length};
  }
  return NULL;
}

/* The whole program is read before the first byte is sent: a wrong one sends nothing. */
static const char *checkProgram(const int32_t *program, uint32_t length, uint32_t frameCount, size_t resultRoom) {
  uint32_t at = 0;
  size_t orders = 0;
  while (at < length) {
    if (length - at < 3) return "the program ends in the middle of an order";
    int32_t count = program[at + 1];
    if (program[at] < 0 || count < 1 || (uint32_t)count > length - at - 2) return "an order is not valid";
    for (int32_t i = 0; i < count; i++) {
      int32_t slot = program[at + 2 + (uint32_t)i];
      if (slot < 0 || (uint32_t)slot >= frameCount) return "there is no such frame";
    }
    at += 2 + (uint32_t)count;
    orders++;
  }
  return orders > resultRoom ? "no room for the results" : NULL;
}

/* send(frames: Buffer[], program: Int32Array, length, results: Int32Array): number of orders */
static napi_value sendAll(napi_env env, napi_callback_info info) {
  size_t argc = 4;
  napi_value argv[4];
  int programType, resultType;
  size_t programRoom, resultRoom;
  void *programData, *resultData;
  uint32_t length, frameCount;
  if (napi_get_cb_info(env, info, &argc, argv, NULL, NULL) != NAPI_OK || argc != 4 ||
      napi_get_array_length(env, argv[0], &frameCount) != NAPI_OK ||
      napi_get_typedarray_info(env, argv[1], &programType, &programRoom, &programData, NULL, NULL) != NAPI_OK ||
      napi_get_value_uint32(env, argv[2], &length) != NAPI_OK ||
      napi_get_typedarray_info(env, argv[3], &resultType, &resultRoom, &resultData, NULL, NULL) != NAPI_OK ||
      programType != NAPI_INT32 || resultType != NAPI_INT32)
    return refuse(env, "send(frames, program, length, results)");
  if (length > programRoom) return refuse(env, "the program is longer than its array");
  if (frameCount > FRAMES_LIMIT) return refuse(env, "too many frames");
  const int32_t *program = programData;
  int32_t *results = resultData;
  const char *problem = checkProgram(program, length, frameCount, resultRoom);
  if (problem != NULL) return refuse(env, problem);
  struct iovec *frames = malloc((frameCount > 0 ? frameCount : 1) * sizeof *frames);
  if (frames == NULL) return refuse(env, "out of memory");
  problem = readFrames(env, argv[0], frameCount, frames);
  uint32_t orders = 0;
  for (uint32_t at = 0; problem == NULL && at < length;) {
    Order order = {.descriptor = program[at], .count = (uint32_t)program[at + 1], .slots = &program[at + 2]};
    results[orders++] = sendOrder(&order, frames);
    at += 2 + order.count;
  }
  free(frames);
  if (problem != NULL) return refuse(env, problem);
  napi_value answer;
  napi_create_uint32(env, orders, &answer);
  return answer;
}

__attribute__((visibility("default"))) napi_value napi_register_module_v1(napi_env env, napi_value exports) {
  napi_value function;
  napi_create_function(env, "send", (size_t)-1, sendAll, NULL, &function);
  napi_set_named_property(env, exports, "send", function);
  return exports;
}

__attribute__((visibility("default"))) int32_t node_api_module_get_api_version_v1(void) { return 8; }
