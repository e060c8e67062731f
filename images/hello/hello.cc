// The sample workload: a small web server with switches for everything that a pod can do wrong or
// right, and a few commands to look at a pod's surroundings from inside. Static, no dependency.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "net.h"

namespace {

using Clock = std::chrono::steady_clock;

constexpr char kUsage[] =
    R"(usage: hello [COMMAND]
  serve [PORT]               HTTP (and UDP echo) server, port 8000 or $PORT (the default command)
  fetch URL [SECONDS]        GET a http:// URL, print the body; exit 1 unless 2xx
  load URL SECONDS           GET over and over; print how many answers of each kind came
  resolve NAME [TYPE]        ask the name servers of /etc/resolv.conf: A (default), AAAA, SRV, PTR
  udp HOST PORT TEXT         send a datagram, print the answer
  sleep SECONDS              do nothing, then exit 0
  crash [CODE] [SECONDS]     exit with CODE (1) after SECONDS (0)
  memory MB                  touch that much memory, then sleep
  shm write TEXT | shm read  POSIX shared memory (/dev/shm/hello)
  sysv write TEXT | sysv read  System V shared memory
server paths: /  /healthz[?set=ok|fail]  /ready[?set=true|false]  /version  /hostname  /env
              /exit?code=N  /memory?mb=N  /fetch?url=URL  /sleep?seconds=N
A server that is told to end serves on for LINGER seconds (1), until every proxy has heard of it.
environment: PORT, VERSION, LINGER, READY_AFTER (seconds before /ready says yes), LIVE_FOR (seconds until
             /healthz fails), START_DELAY (seconds before listening), IGNORE_TERM
)";

std::string env_or(const char* name, const char* fallback) {
  const char* v = getenv(name);
  return v && *v ? v : fallback;
}

std::string hostname() {
  char name[256] = "";
  gethostname(name, sizeof name - 1);
  return name;
}

struct State {
  Clock::time_point start = Clock::now();
  std::atomic<int> ready{-1}, healthy{-1};  // -1: by the environment
  std::atomic<long> requests{0};
  std::string version = env_or("VERSION", "1");
  double age() const { return std::chrono::duration<double>(Clock::now() - start).count(); }
};
State state;

void touch_memory(long mb) {
  for (long i = 0; i < mb; ++i) {
    void* p = mmap(nullptr, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return;
    memset(p, 0x5a, 1 << 20);
  }
}

std::string decode(const std::string& s) {
  std::string out;
  for (size_t i = 0; i < s.size(); ++i) {
    if (s[i] == '%' && i + 2 < s.size()) {
      out += static_cast<char>(strtol(s.substr(i + 1, 2).c_str(), nullptr, 16));
      i += 2;
    } else {
      out += s[i] == '+' ? ' ' : s[i];
    }
  }
  return out;
}

std::map<std::string, std::string> query_of(const std::string& target) {
  std::map<std::string, std::string> out;
  size_t at = target.find('?');
  while (at != std::string::npos) {
    size_t end = target.find('&', at + 1);
    std::string pair = target.substr(at + 1, end == std::string::npos ? end : end - at - 1);
    size_t eq = pair.find('=');
    out[pair.substr(0, eq)] = eq == std::string::npos ? "" : decode(pair.substr(eq + 1));
    at = end;
  }
  return out;
}

struct Reply {
  int status = 200;
  std::string body;
};

Reply answer(const std::string& target, const std::string& peer) {
  std::string path = target.substr(0, target.find('?'));
  auto query = query_of(target);
  if (path == "/healthz") {
    if (query.count("set")) state.healthy = query["set"] == "ok";
    double limit = atof(env_or("LIVE_FOR", "0").c_str());
    bool ok = state.healthy >= 0 ? state.healthy == 1 : limit <= 0 || state.age() < limit;
    return ok ? Reply{200, "ok\n"} : Reply{500, "not healthy\n"};
  }
  if (path == "/ready") {
    if (query.count("set")) state.ready = query["set"] == "true";
    bool ok = state.ready >= 0 ? state.ready == 1
                               : state.age() >= atof(env_or("READY_AFTER", "0").c_str());
    return ok ? Reply{200, "ready\n"} : Reply{503, "not ready\n"};
  }
  if (path == "/version") return {200, state.version + "\n"};
  if (path == "/hostname") return {200, hostname() + "\n"};
  if (path == "/env") {
    Reply r;
    for (char** e = environ; *e; ++e) r.body += std::string(*e) + "\n";
    return r;
  }
  if (path == "/exit") {
    printf("told to exit\n");
    fflush(stdout);
    _exit(atoi(query["code"].c_str()));
  }
  if (path == "/memory") {
    touch_memory(atol(query["mb"].c_str()));
    return {200, "touched " + query["mb"] + " MB\n"};
  }
  if (path == "/sleep") {
    std::this_thread::sleep_for(std::chrono::duration<double>(atof(query["seconds"].c_str())));
    return {200, "slept\n"};
  }
  if (path == "/fetch") {
    auto got = hello::fetch(query["url"], 5000);
    return got.status ? Reply{got.status, got.body} : Reply{502, got.error + "\n"};
  }
  if (path == "/")
    return {200, "Hello from " + hostname() + "\nversion: " + state.version +
                     "\nrequests: " + std::to_string(state.requests) + "\nclient: " + peer + "\n"};
  return {404, "no such page: " + path + "\n"};
}

void serve_connection(int fd, std::string peer) {
  std::string in;
  char buffer[8192];
  while (true) {
    size_t end;
    while ((end = in.find("\r\n\r\n")) == std::string::npos) {
      ssize_t n = in.size() > (1u << 20) ? 0 : recv(fd, buffer, sizeof buffer, 0);
      if (n <= 0) {
        close(fd);
        return;
      }
      in.append(buffer, static_cast<size_t>(n));
    }
    std::string head = in.substr(0, end);
    in.erase(0, end + 4);
    size_t a = head.find(' '), b = head.find(' ', a + 1);
    std::string method = head.substr(0, a);
    std::string target = b == std::string::npos ? "/" : head.substr(a + 1, b - a - 1);
    bool keep = head.find("HTTP/1.0") == std::string::npos &&
                head.find("onnection: close") == std::string::npos;
    ++state.requests;
    Reply r = answer(target, peer);
    if (target.rfind("/healthz", 0) != 0 && target.rfind("/ready", 0) != 0)
      printf("%s %s %d %s\n", method.c_str(), target.c_str(), r.status, peer.c_str());
    std::string out =
        "HTTP/1.1 " + std::to_string(r.status) + (r.status < 400 ? " OK" : " Error") +
        "\r\nContent-Type: text/plain\r\nContent-Length: " + std::to_string(r.body.size()) +
        "\r\nX-Pod: " + hostname() + (keep ? "\r\n\r\n" : "\r\nConnection: close\r\n\r\n") +
        (method == "HEAD" ? "" : r.body);
    if (send(fd, out.data(), out.size(), MSG_NOSIGNAL) < 0 || !keep) {
      close(fd);
      return;
    }
  }
}

void echo_udp(uint16_t port) {
  int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_in6 at{};
  at.sin6_family = AF_INET6;
  at.sin6_port = htons(port);
  if (fd < 0 || bind(fd, reinterpret_cast<sockaddr*>(&at), sizeof at) < 0) return;
  char buffer[65536];
  while (true) {
    sockaddr_in6 from{};
    socklen_t size = sizeof from;
    ssize_t n = recvfrom(fd, buffer, sizeof buffer, 0, reinterpret_cast<sockaddr*>(&from), &size);
    if (n < 0) continue;
    std::string out = hostname() + ": " + std::string(buffer, static_cast<size_t>(n));
    sendto(fd, out.data(), out.size(), 0, reinterpret_cast<sockaddr*>(&from), size);
  }
}

// Async-signal-safe: the seconds were read before.
unsigned linger_seconds = 0;
void on_alarm(int) { _exit(0); }
void on_term_serving(int) {
  if (linger_seconds == 0) _exit(0);
  alarm(linger_seconds);
}

int serve(uint16_t port) {
  linger_seconds = static_cast<unsigned>(atoi(env_or("LINGER", "1").c_str()));
  signal(SIGALRM, on_alarm);
  if (!getenv("IGNORE_TERM")) signal(SIGTERM, on_term_serving);
  double delay = atof(env_or("START_DELAY", "0").c_str());
  if (delay > 0) std::this_thread::sleep_for(std::chrono::duration<double>(delay));
  int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int yes = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  sockaddr_in6 at{};
  at.sin6_family = AF_INET6;
  at.sin6_port = htons(port);
  if (fd < 0 || bind(fd, reinterpret_cast<sockaddr*>(&at), sizeof at) < 0 || listen(fd, 512) < 0) {
    perror("hello: listen");
    return 1;
  }
  printf("hello version %s listening on port %u\n", state.version.c_str(), port);
  std::thread(echo_udp, port).detach();
  while (true) {
    sockaddr_in6 from{};
    socklen_t size = sizeof from;
    int c = accept4(fd, reinterpret_cast<sockaddr*>(&from), &size, SOCK_CLOEXEC);
    if (c < 0) continue;
    char text[INET6_ADDRSTRLEN] = "";
    inet_ntop(AF_INET6, &from.sin6_addr, text, sizeof text);
    std::string peer = text;
    if (peer.rfind("::ffff:", 0) == 0) peer.erase(0, 7);
    std::thread(serve_connection, c, peer).detach();
  }
}

int load(const std::string& url, double seconds) {
  std::map<std::string, long> seen;
  auto end = Clock::now() + std::chrono::duration<double>(seconds);
  while (Clock::now() < end) {
    auto got = hello::fetch(url, 5000);
    ++seen[got.status ? "status " + std::to_string(got.status) : "error " + got.error];
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  bool good = !seen.empty();
  for (const auto& [what, count] : seen) {
    printf("%ld x %s\n", count, what.c_str());
    good = good && what == "status 200";
  }
  return good ? 0 : 1;
}

int posix_memory(const std::string& verb, const std::string& text) {
  bool write = verb == "write";
  int fd =
      open("/dev/shm/hello", (write ? O_CREAT | O_TRUNC | O_RDWR : O_RDONLY) | O_CLOEXEC, 0666);
  char buffer[4096] = "";
  if (fd < 0 ||
      (write ? ::write(fd, text.data(), text.size()) : ::read(fd, buffer, sizeof buffer - 1)) < 0) {
    perror("hello: /dev/shm/hello");
    return 1;
  }
  if (!write) puts(buffer);
  return 0;
}

int system_v_memory(const std::string& verb, const std::string& text) {
  bool write = verb == "write";
  int id = shmget(0x4b454c45, 4096, write ? IPC_CREAT | 0666 : 0);
  void* p = id < 0 ? nullptr : shmat(id, nullptr, 0);
  if (!p || p == reinterpret_cast<void*>(-1)) {
    perror("hello: shmget");
    return 1;
  }
  if (write) {
    snprintf(static_cast<char*>(p), 4096, "%s", text.c_str());
  } else {
    puts(static_cast<char*>(p));
  }
  return 0;
}

int resolve(const std::string& name, const std::string& type) {
  std::string error;
  auto answers = hello::resolve(name, type, &error);
  for (const auto& a : answers)
    printf("%s %s %s\n", a.name.c_str(), a.type.c_str(), a.data.c_str());
  if (answers.empty()) fprintf(stderr, "hello: %s\n", error.c_str());
  return answers.empty() ? 1 : 0;
}

void on_term(int) { _exit(0); }

}  // namespace

int main(int argc, char** argv) {
  setvbuf(stdout, nullptr, _IOLBF, 0);
  std::vector<std::string> args(argv + 1, argv + argc);
  auto arg = [&](size_t i, const char* fallback = "") {
    return i < args.size() ? args[i] : std::string(fallback);
  };
  // Process 1 has no default actions.
  signal(SIGTERM, getenv("IGNORE_TERM") ? SIG_IGN : on_term);
  signal(SIGINT, on_term);
  std::string command = arg(0, "serve");
  std::string error;
  if (command == "serve")
    return serve(static_cast<uint16_t>(atoi(arg(1, env_or("PORT", "8000").c_str()).c_str())));
  if (command == "fetch" && args.size() > 1) {
    auto got = hello::fetch(arg(1), static_cast<int>(1000 * atof(arg(2, "5").c_str())));
    fputs(got.body.c_str(), stdout);
    if (got.status < 200 || got.status > 299)
      fprintf(stderr, "hello: %s\n",
              got.status ? ("status " + std::to_string(got.status)).c_str() : got.error.c_str());
    return got.status >= 200 && got.status <= 299 ? 0 : 1;
  }
  if (command == "load" && args.size() > 2) return load(arg(1), atof(arg(2).c_str()));
  if (command == "resolve" && args.size() > 1) return resolve(arg(1), arg(2, "A"));
  if (command == "udp" && args.size() > 3) {
    auto got = hello::udp_exchange(arg(1), static_cast<uint16_t>(atoi(arg(2).c_str())), arg(3),
                                   3000, &error);
    if (got) puts(got->c_str());
    if (!got) fprintf(stderr, "hello: %s\n", error.c_str());
    return got ? 0 : 1;
  }
  if (command == "sleep" || command == "crash") {
    bool crash = command == "crash";
    double seconds = atof(arg(crash ? 2 : 1, "0").c_str());
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
    if (crash) puts("hello: crashing as told");
    return crash ? atoi(arg(1, "1").c_str()) : 0;
  }
  if (command == "memory" && args.size() > 1) {
    touch_memory(atol(arg(1).c_str()));
    printf("touched %s MB\n", arg(1).c_str());
    while (true) pause();
  }
  if (command == "shm" && args.size() > 1) return posix_memory(arg(1), arg(2));
  if (command == "sysv" && args.size() > 1) return system_v_memory(arg(1), arg(2));
  fputs(kUsage, command == "help" || command == "--help" ? stdout : stderr);
  return command == "help" || command == "--help" ? 0 : 2;
}
