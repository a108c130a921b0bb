/*
 * Many WebSocket subscribers in one light program: connects, says what it is told, counts what comes, and measures how long it
 * was under way. A receiver that works as hard as the server would measure itself.
 *
 *   receivers HOST PORT CREDIT_PORT PATH COUNT UPDATES_PER_CREDIT EXTENSIONS(0|1) < commands
 *
 * The first COUNT lines of standard input are what connection i sends once it is open (on a Socket.IO path: once it has joined).
 * After that: "reset" forgets the counts, "report" prints them as one line of JSON, the end of input ends the program.
 * Every message with a "t":<microseconds of CLOCK_MONOTONIC> is an update. One byte goes to CREDIT_PORT for every
 * UPDATES_PER_CREDIT updates (0: none), which tells the server to go on.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CHUNK_BYTES (1 << 18)
#define LINE_BYTES (1 << 16)
#define BUCKETS 2000
#define GROWTH 1.01
/* One update in so many is timed: enough for a p99.9, little enough not to matter. */
#define SAMPLE_EVERY 7

typedef struct {
  int fd;
  int open;   /* the handshake is answered */
  int joined; /* what it has to say is said */
  size_t restBytes, restRoom;
  unsigned char *rest;
  char *words;
} Connection;

static Connection *connections;
static int count, creditFd = -1, closedCount, openedCount, joinedCount, socketIo;
static long updatesPerCredit, sinceCredit;
static uint64_t frames, updates, bytes, sampled, buckets[BUCKETS];
static double worstMs;
static unsigned char chunk[CHUNK_BYTES];

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static uint64_t nowMicroseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

static int dial(const char *host, int port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  inet_pton(AF_INET, host, &address.sin_addr);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0) fail("connect");
  int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return fd;
}

static void writeAll(int fd, const void *data, size_t length) {
  const char *at = data;
  while (length > 0) {
    ssize_t sent = send(fd, at, length, MSG_NOSIGNAL);
    if (sent < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (sent < 0) return;
    at += sent;
    length -= (size_t)sent;
  }
}

/* A client frame must be masked; a mask of four zero bytes is a mask. */
static void say(int fd, unsigned char opcode, const void *payload, size_t length) {
  unsigned char head[14] = {(unsigned char)(0x80 | opcode)};
  size_t headBytes;
  if (length < 126) {
    head[1] = (unsigned char)(0x80 | length);
    headBytes = 6;
  } else {
    head[1] = 0x80 | 126;
    head[2] = (unsigned char)(length >> 8);
    head[3] = (unsigned char)length;
    headBytes = 8;
  }
  unsigned char *frame = malloc(headBytes + length);
  memcpy(frame, head, headBytes);
  memset(frame + headBytes - 4, 0, 4);
  memcpy(frame + headBytes, payload, length);
  writeAll(fd, frame, headBytes + length);
  free(frame);
}

static void join(Connection *connection) {
  if (connection->joined) return;
  connection->joined = 1;
  joinedCount++;
  size_t length = strlen(connection->words);
  if (length > 0) say(connection->fd, 1, connection->words, length);
}

static void sample(const unsigned char *digits, uint64_t now) {
  uint64_t then = 0;
  for (; *digits >= '0' && *digits <= '9'; digits++) then = then * 10 + (uint64_t)(*digits - '0');
  double ms = now > then ? (double)(now - then) / 1000.0 : 0.001;
  int bucket = (int)(log(ms < 0.001 ? 1.0 : ms / 0.001) / log(GROWTH));
  buckets[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
  sampled++;
  if (ms > worstMs) worstMs = ms;
}

static void takeText(Connection *connection, const unsigned char *text, size_t length, uint64_t now) {
  if (!connection->joined && length >= 2 && text[0] == '4' && text[1] == '0') return join(connection);
  if (socketIo && length == 1 && text[0] == '2') return say(connection->fd, 1, "3", 1);
  const unsigned char *at = text, *end = text + length;
  uint64_t found = 0;
  while ((at = memmem(at, (size_t)(end - at), "\"t\":", 4)) != NULL) {
    at += 4;
    found++;
    if ((updates + found) % SAMPLE_EVERY == 0) sample(at, now);
  }
  if (found == 0) return;
  frames++;
  updates += found;
  sinceCredit += (long)found;
}

/* Answers how many bytes were whole frames. */
static size_t takeFrames(Connection *connection, const unsigned char *data, size_t length, uint64_t now) {
  size_t at = 0;
  for (;;) {
    if (length - at < 2) return at;
    size_t head = 2;
    uint64_t size = data[at + 1] & 0x7f;
    if (size == 126) {
      if (length - at < 4) return at;
      size = ((uint64_t)data[at + 2] << 8) | data[at + 3];
      head = 4;
    } else if (size == 127) {
      if (length - at < 10) return at;
      size = 0;
      for (int i = 2; i < 10; i++) size = (size << 8) | data[at + (size_t)i];
      head = 10;
    }
    if (length - at < head + size) return at;
    const unsigned char *payload = data + at + head;
    switch (data[at] & 0x0f) {
      case 1:
        /* Compressed ones are counted, not read. */
        if (data[at] & 0x40) {
          frames++;
          updates++;
          sinceCredit++;
        } else takeText(connection, payload, (size_t)size, now);
        break;
      case 9:
        say(connection->fd, 10, payload, (size_t)size);
        break;
    }
    at += head + (size_t)size;
  }
}

static void ended(Connection *connection) {
  close(connection->fd);
  connection->fd = -1;
  closedCount++;
}

static void keepRest(Connection *connection, const unsigned char *data, size_t length) {
  if (length > connection->restRoom) {
    connection->restRoom = length * 2;
    connection->rest = realloc(connection->rest, connection->restRoom);
  }
  memmove(connection->rest, data, length);
  connection->restBytes = length;
}

static void opened(Connection *connection, const char *path) {
  connection->open = 1;
  openedCount++;
  if (strstr(path, "socket.io") != NULL) say(connection->fd, 1, "40", 2);
  else join(connection);
}

static void receive(Connection *connection, const char *path) {
  size_t held = connection->restBytes;
  if (held > 0) memcpy(chunk, connection->rest, held);
  ssize_t came = recv(connection->fd, chunk + held, CHUNK_BYTES - held, MSG_DONTWAIT);
  if (came < 0 && errno == EAGAIN) return;
  if (came <= 0) return ended(connection);
  bytes += (uint64_t)came;
  size_t length = held + (size_t)came, at = 0;
  if (!connection->open) {
    unsigned char *end = memmem(chunk, length, "\r\n\r\n", 4);
    if (end == NULL) return keepRest(connection, chunk, length);
    if (memmem(chunk, length, " 101 ", 5) == NULL) return ended(connection);
    at = (size_t)(end + 4 - chunk);
    opened(connection, path);
  }
  at += takeFrames(connection, chunk + at, length - at, nowMicroseconds());
  if (length - at > CHUNK_BYTES / 2) fail("a frame beyond all bounds");
  keepRest(connection, chunk + at, length - at);
}

static double quantile(double share) {
  uint64_t left = (uint64_t)ceil((double)sampled * share);
  for (int bucket = 0; bucket < BUCKETS; bucket++) {
    if (buckets[bucket] >= left) return fmin(worstMs, 0.001 * pow(GROWTH, bucket + 1));
    left -= buckets[bucket];
  }
  return worstMs;
}

static void command(const char *line) {
  if (strncmp(line, "reset", 5) == 0) {
    frames = updates = bytes = sampled = 0;
    worstMs = 0;
    memset(buckets, 0, sizeof buckets);
    return;
  }
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  double cpu = (double)usage.ru_utime.tv_sec + (double)usage.ru_stime.tv_sec +
               (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
  printf("{\"opened\":%d,\"joined\":%d,\"closed\":%d,\"frames\":%llu,\"updates\":%llu,\"bytes\":%llu,\"cpu\":%.3f,\"samples\":%llu,"
         "\"p50\":%.3f,\"p99\":%.3f,\"p999\":%.3f,\"max\":%.3f}\n",
         openedCount, joinedCount, closedCount, (unsigned long long)frames, (unsigned long long)updates,
         (unsigned long long)bytes, cpu, (unsigned long long)sampled, quantile(0.5), quantile(0.99), quantile(0.999),
         worstMs);
  fflush(stdout);
}

static char *readLine(void) {
  char *line = malloc(LINE_BYTES);
  if (fgets(line, LINE_BYTES, stdin) == NULL) fail("too few lines");
  line[strcspn(line, "\n")] = 0;
  return realloc(line, strlen(line) + 1);
}

/* Commands come later and one at a time, so that `read` gives whole lines. */
static int readCommands(void) {
  char text[4096];
  ssize_t came = read(STDIN_FILENO, text, sizeof text - 1);
  if (came <= 0) return 0;
  text[came] = 0;
  for (char *save, *line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) command(line);
  return 1;
}

static void raiseLimit(void) {
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char **argv) {
  raiseLimit();
  if (argc != 8) {
    fprintf(stderr, "usage: receivers HOST PORT CREDIT_PORT PATH COUNT UPDATES_PER_CREDIT EXTENSIONS\n");
    return 2;
  }
  const char *host = argv[1], *path = argv[4];
  int port = atoi(argv[2]), creditPort = atoi(argv[3]);
  count = atoi(argv[5]);
  updatesPerCredit = atol(argv[6]);
  socketIo = strstr(path, "socket.io") != NULL;
  setvbuf(stdin, NULL, _IONBF, 0);
  connections = calloc((size_t)count, sizeof *connections);
  for (int i = 0; i < count; i++) connections[i].words = readLine();
  if (creditPort > 0) creditFd = dial(host, creditPort);
  int epoll = epoll_create1(0);
  char request[1024];
  int requestBytes = snprintf(request, sizeof request,
                              "GET %s HTTP/1.1\r\nHost: %s:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                              "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n%s\r\n",
                              path, host, port,
                              argv[7][0] == '1' ? "Sec-WebSocket-Extensions: permessage-deflate\r\n" : "");
  for (int i = 0; i < count; i++) {
    connections[i].fd = dial(host, port);
    writeAll(connections[i].fd, request, (size_t)requestBytes);
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
    epoll_ctl(epoll, EPOLL_CTL_ADD, connections[i].fd, &event);
    /* Lets the server answer in between: its backlog is finite. */
    if (i % 64 == 63) {
      struct epoll_event ready[256];
      int n = epoll_wait(epoll, ready, 256, 5);
      for (int k = 0; k < n; k++) receive(&connections[ready[k].data.u32], path);
    }
  }
  struct epoll_event event = {.events = EPOLLIN, .data.u32 = UINT32_MAX};
  epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO, &event);
  for (;;) {
    struct epoll_event ready[1024];
    int n = epoll_wait(epoll, ready, 1024, -1);
    for (int k = 0; k < n; k++) {
      if (ready[k].data.u32 == UINT32_MAX) {
        if (!readCommands()) return 0;
      } else if (connections[ready[k].data.u32].fd >= 0) receive(&connections[ready[k].data.u32], path);
    }
    while (updatesPerCredit > 0 && sinceCredit >= updatesPerCredit) {
      sinceCredit -= updatesPerCredit;
      if (creditFd >= 0) writeAll(creditFd, "c", 1);
    }
  }
}
