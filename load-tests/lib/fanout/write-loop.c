/*
 * The floor under every fan-out server: one write() or send() of a ready frame per subscriber, and nothing else. Speaks just enough
 * HTTP to be connected to, and the same commands as the other servers of this benchmark (see src/testing/fanout-pump.ts).
 *
 *   write-loop SUBSCRIBERS MESSAGE_BYTES write|send
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FRAME_BYTES 65536
/* The receivers do not check the accept key. */
#define ANSWER "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n"

static int *fds, subscribers, creditFd = -1;
static unsigned char frame[FRAME_BYTES];
static size_t frameBytes, stampAt;
static long credits;
static bool sends;

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static uint64_t nowMicroseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

static double cpuSeconds(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static int openPort(int *port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof address;
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0 || bind(fd, (struct sockaddr *)&address, length) < 0 || listen(fd, 4096) < 0) fail("listen");
  getsockname(fd, (struct sockaddr *)&address, &length);
  *port = ntohs(address.sin_port);
  return fd;
}

static void makeFrame(size_t messageBytes) {
  size_t head = messageBytes < 126 ? 2 : 4;
  frame[0] = 0x81;
  frame[1] = (unsigned char)(head == 2 ? messageBytes : 126);
  if (head == 4) {
    frame[2] = (unsigned char)(messageBytes >> 8);
    frame[3] = (unsigned char)messageBytes;
  }
  memset(frame + head, 'x', messageBytes);
  memcpy(frame + head, "{\"t\":", 5);
  stampAt = head + 5;
  memcpy(frame + head + messageBytes - 2, "\"}", 2);
  frameBytes = head + messageBytes;
}

static void publish(void) {
  /* 16 digits, then a field of padding. */
  snprintf((char *)frame + stampAt, 24, "%016llu,\"p\":", (unsigned long long)nowMicroseconds());
  frame[stampAt + 21] = '"';
  for (int i = 0; i < subscribers; i++) {
    size_t at = 0;
    while (at < frameBytes) {
      ssize_t sent = sends ? send(fds[i], frame + at, frameBytes - at, MSG_NOSIGNAL) : write(fds[i], frame + at, frameBytes - at);
      if (sent < 0 && errno == EINTR) continue;
      if (sent < 0) fail("write");
      at += (size_t)sent;
    }
  }
}

static void takeCredits(int waitMs) {
  struct pollfd poller = {.fd = creditFd, .events = POLLIN};
  if (poll(&poller, 1, waitMs) <= 0) return;
  char some[4096];
  ssize_t came = recv(creditFd, some, sizeof some, 0);
  if (came > 0) credits += came;
}

static void run(double seconds, long depth, double roundsPerSecond) {
  uint64_t start = nowMicroseconds(), end = start + (uint64_t)(seconds * 1e6);
  double cpu = cpuSeconds();
  long rounds = 0;
  credits = 0;
  while (nowMicroseconds() < end) {
    if (roundsPerSecond > 0) {
      uint64_t due = start + (uint64_t)((double)rounds * 1e6 / roundsPerSecond), now = nowMicroseconds();
      if (due > now) {
        struct timespec rest = {0, (long)(due - now) * 1000 % 1000000000};
        nanosleep(&rest, NULL);
        continue;
      }
    } else if (rounds - credits >= depth) {
      takeCredits(10);
      continue;
    }
    publish();
    rounds++;
  }
  printf("{\"rounds\":%ld,\"measured\":%ld,\"cpu\":%.6f,\"wall\":%.6f}\n", rounds, rounds, cpuSeconds() - cpu,
         (double)(nowMicroseconds() - start) / 1e6);
  fflush(stdout);
}

static void acceptAll(int listener) {
  for (int i = 0; i < subscribers; i++) {
    fds[i] = accept(listener, NULL, NULL);
    if (fds[i] < 0) fail("accept");
    int one = 1;
    setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    char request[2048];
    size_t held = 0;
    while (held < 4 || memmem(request, held, "\r\n\r\n", 4) == NULL) {
      ssize_t came = recv(fds[i], request + held, sizeof request - held, 0);
      if (came <= 0) fail("handshake");
      held += (size_t)came;
    }
    if (send(fds[i], ANSWER, sizeof ANSWER - 1, MSG_NOSIGNAL) < 0) fail("answer");
  }
}

static void raiseLimit(void) {
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char **argv) {
  raiseLimit();
  if (argc != 4) return 2;
  sends = strcmp(argv[3], "send") == 0;
  /* A receiver that is gone is an error of write(), not the end. */
  signal(SIGPIPE, SIG_IGN);
  subscribers = atoi(argv[1]);
  fds = calloc((size_t)subscribers, sizeof *fds);
  makeFrame((size_t)atol(argv[2]));
  int port, creditPort;
  int listener = openPort(&port), creditListener = openPort(&creditPort);
  printf("{\"port\":%d,\"creditPort\":%d}\n", port, creditPort);
  fflush(stdout);
  creditFd = accept(creditListener, NULL, NULL);
  acceptAll(listener);
  char line[256];
  while (fgets(line, sizeof line, stdin) != NULL) {
    double seconds, amount;
    if (sscanf(line, "closed %lf %lf", &seconds, &amount) == 2) run(seconds, (long)amount, 0);
    else if (sscanf(line, "paced %lf %lf", &seconds, &amount) == 2) run(seconds, 0, amount);
    else if (strncmp(line, "quit", 4) == 0) return 0;
  }
  return 0;
}
