#include "net.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace hello {
namespace {

struct ResolverConfig {
  std::vector<std::string> servers, search;
  int ndots = 1;
};

std::vector<std::string> words(const std::string& line) {
  std::vector<std::string> out;
  for (size_t i = 0; i < line.size();) {
    size_t start = line.find_first_not_of(" \t\r", i);
    if (start == std::string::npos) break;
    size_t end = line.find_first_of(" \t\r", start);
    if (end == std::string::npos) end = line.size();
    out.push_back(line.substr(start, end - start));
    i = end;
  }
  return out;
}

std::vector<std::string> lines_of(const char* path) {
  std::vector<std::string> out;
  FILE* f = fopen(path, "re");
  if (!f) return out;
  char line[1024];
  while (fgets(line, sizeof line, f)) {
    std::string s(line);
    while (!s.empty() && s.back() == '\n') s.pop_back();
    out.push_back(s.substr(0, s.find('#')));
  }
  fclose(f);
  return out;
}

ResolverConfig read_config() {
  ResolverConfig c;
  for (const std::string& line : lines_of("/etc/resolv.conf")) {
    auto w = words(line);
    if (w.size() < 2) continue;
    if (w[0] == "nameserver") c.servers.push_back(w[1]);
    if (w[0] == "search") c.search.assign(w.begin() + 1, w.end());
    if (w[0] == "options")
      for (const auto& o : w)
        if (o.rfind("ndots:", 0) == 0) c.ndots = atoi(o.c_str() + 6);
  }
  return c;
}

int code_of(const std::string& type) {
  if (type == "A") return 1;
  if (type == "CNAME") return 5;
  if (type == "PTR") return 12;
  if (type == "TXT") return 16;
  if (type == "AAAA") return 28;
  if (type == "SRV") return 33;
  return 0;
}

std::string type_of(int code) {
  for (const char* t : {"A", "CNAME", "PTR", "TXT", "AAAA", "SRV"})
    if (code_of(t) == code) return t;
  return "TYPE" + std::to_string(code);
}

// Reads a possibly compressed name at `at`; moves `at` behind it.
bool read_name(const std::string& m, size_t* at, std::string* out) {
  size_t i = *at;
  bool jumped = false;
  for (int hops = 0; hops < 64; ++hops) {
    if (i >= m.size()) return false;
    auto n = static_cast<uint8_t>(m[i]);
    if (n == 0) {
      if (!jumped) *at = i + 1;
      return true;
    }
    if ((n & 0xc0) == 0xc0) {
      if (i + 1 >= m.size()) return false;
      if (!jumped) *at = i + 2;
      jumped = true;
      i = ((n & 0x3fu) << 8) | static_cast<uint8_t>(m[i + 1]);
      continue;
    }
    if (i + 1 + n > m.size()) return false;
    if (!out->empty()) *out += '.';
    out->append(m, i + 1, n);
    i += 1 + n;
  }
  return false;
}

uint16_t u16(const std::string& m, size_t at) {
  return static_cast<uint16_t>((static_cast<uint8_t>(m[at]) << 8) |
                               static_cast<uint8_t>(m[at + 1]));
}

std::string record_data(const std::string& m, size_t at, size_t size, int type) {
  char text[INET6_ADDRSTRLEN];
  if (type == 1 && size == 4) return inet_ntop(AF_INET, m.data() + at, text, sizeof text);
  if (type == 28 && size == 16) return inet_ntop(AF_INET6, m.data() + at, text, sizeof text);
  if (type == 16 && size > 1) return m.substr(at + 1, static_cast<uint8_t>(m[at]));
  std::string name;
  if (type == 33 && size > 6) {
    size_t from = at + 6;
    if (!read_name(m, &from, &name)) return "?";
    return std::to_string(u16(m, at)) + " " + std::to_string(u16(m, at + 2)) + " " +
           std::to_string(u16(m, at + 4)) + " " + name;
  }
  size_t from = at;
  if ((type == 5 || type == 12) && read_name(m, &from, &name)) return name;
  return "?";
}

// The answer section; the response code in `code`.
std::vector<Answer> parse_response(const std::string& m, int* code) {
  std::vector<Answer> out;
  *code = 2;
  if (m.size() < 12) return out;
  *code = m[3] & 0xf;
  size_t at = 12;
  for (int q = u16(m, 4); q > 0; --q) {
    std::string ignored;
    if (!read_name(m, &at, &ignored)) return out;
    at += 4;
  }
  for (int n = u16(m, 6); n > 0; --n) {
    Answer a;
    if (!read_name(m, &at, &a.name) || at + 10 > m.size()) return out;
    int type = u16(m, at);
    size_t size = u16(m, at + 8);
    at += 10;
    if (at + size > m.size()) return out;
    a.type = type_of(type);
    a.data = record_data(m, at, size, type);
    out.push_back(std::move(a));
    at += size;
  }
  return out;
}

// What the socket calls take for an address of either family; 0: it is none.
socklen_t socket_address(const std::string& address, uint16_t port, sockaddr_storage* to) {
  auto* v4 = reinterpret_cast<sockaddr_in*>(to);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(to);
  *to = {};
  if (inet_pton(AF_INET, address.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    return sizeof *v4;
  }
  if (inet_pton(AF_INET6, address.c_str(), &v6->sin6_addr) != 1) return 0;
  v6->sin6_family = AF_INET6;
  v6->sin6_port = htons(port);
  return sizeof *v6;
}

std::optional<std::string> exchange(const std::string& address, uint16_t port,
                                    const std::string& request, int timeout_ms,
                                    std::string* error) {
  sockaddr_storage to;
  const socklen_t length = socket_address(address, port, &to);
  if (length == 0) {
    *error = "not an IP address: " + address;
    return std::nullopt;
  }
  int fd = socket(to.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  std::optional<std::string> out;
  char buffer[65536];
  pollfd p{fd, POLLIN, 0};
  if (fd < 0 || connect(fd, reinterpret_cast<sockaddr*>(&to), length) < 0 ||
      send(fd, request.data(), request.size(), 0) < 0) {
    *error = strerror(errno);
  } else if (poll(&p, 1, timeout_ms) <= 0) {
    *error = "no answer from " + address + " within " + std::to_string(timeout_ms) + " ms";
  } else if (ssize_t n = recv(fd, buffer, sizeof buffer, 0); n < 0) {
    *error = strerror(errno);
  } else {
    out = std::string(buffer, static_cast<size_t>(n));
  }
  if (fd >= 0) close(fd);
  return out;
}

std::vector<Answer> query(const ResolverConfig& config, const std::string& name, int type,
                          std::string* error) {
  std::string request("\x4b\x45\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00", 12);
  for (size_t at = 0; at < name.size();) {
    size_t dot = std::min(name.find('.', at), name.size());
    if (dot == at || dot - at > 63) {
      *error = "bad name " + name;
      return {};
    }
    request += static_cast<char>(dot - at);
    request.append(name, at, dot - at);
    at = dot + 1;
  }
  request += '\0';
  request += '\0';
  request += static_cast<char>(type);
  request += std::string("\x00\x01", 2);
  for (int attempt = 0; attempt < 2; ++attempt) {
    for (const std::string& server : config.servers) {
      auto m = exchange(server, 53, request, 2500, error);
      if (!m) continue;
      int code = 0;
      auto answers = parse_response(*m, &code);
      if (code == 0) {
        *error = answers.empty() ? "no such record: " + name : "";
        return answers;
      }
      *error = (code == 3 ? "NXDOMAIN: " : "response code " + std::to_string(code) + ": ") + name;
      if (code == 3) return {};
    }
  }
  if (config.servers.empty()) *error = "no nameserver in /etc/resolv.conf";
  return {};
}

}  // namespace

std::vector<Answer> resolve(const std::string& name, const std::string& type, std::string* error) {
  ResolverConfig config = read_config();
  int code = code_of(type);
  if (!code) {
    *error = "unknown record type " + type;
    return {};
  }
  std::string base = name;
  unsigned a, b, c, d;
  if (type == "PTR" && sscanf(name.c_str(), "%u.%u.%u.%u", &a, &b, &c, &d) == 4)
    return query(config,
                 std::to_string(d) + "." + std::to_string(c) + "." + std::to_string(b) + "." +
                     std::to_string(a) + ".in-addr.arpa",
                 code, error);
  if (!base.empty() && base.back() == '.')
    return query(config, base.substr(0, base.size() - 1), code, error);
  int dots = 0;
  for (char ch : base) dots += ch == '.';
  std::vector<std::string> tries;
  for (const std::string& suffix : config.search) tries.push_back(base + "." + suffix);
  tries.insert(dots >= config.ndots ? tries.begin() : tries.end(), base);
  for (const std::string& t : tries) {
    auto answers = query(config, t, code, error);
    if (!answers.empty()) return answers;
  }
  return {};
}

std::optional<std::string> address_of(const std::string& host, std::string* error) {
  sockaddr_storage ignored;
  if (socket_address(host, 0, &ignored) != 0) return host;
  for (const std::string& line : lines_of("/etc/hosts")) {
    auto w = words(line);
    for (size_t i = 1; i < w.size(); ++i)
      if (w[i] == host && socket_address(w[0], 0, &ignored) != 0) return w[0];
  }
  for (const char* type : {"A", "AAAA"})
    for (const Answer& a : resolve(host, type, error))
      if (a.type == type) return a.data;
  return std::nullopt;
}

HttpAnswer fetch(const std::string& url, int timeout_ms) {
  HttpAnswer out;
  if (url.rfind("http://", 0) != 0) {
    out.error = "only http:// URLs";
    return out;
  }
  std::string rest = url.substr(7);
  size_t slash = rest.find('/');
  std::string authority = rest.substr(0, slash),
              path = slash == std::string::npos ? "/" : rest.substr(slash);
  const size_t bracket = authority.find(']');
  size_t colon = authority.find(':', bracket == std::string::npos ? 0 : bracket);
  std::string host = authority.substr(0, colon);
  if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  int port = colon == std::string::npos ? 80 : atoi(authority.c_str() + colon + 1);
  auto address = address_of(host, &out.error);
  if (!address) return out;
  out.error.clear();
  sockaddr_storage to;
  const socklen_t length = socket_address(*address, static_cast<uint16_t>(port), &to);
  int fd = socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  auto fail = [&](const std::string& why) {
    out.error = why;
    close(fd);
    return out;
  };
  if (connect(fd, reinterpret_cast<sockaddr*>(&to), length) < 0 && errno != EINPROGRESS)
    return fail(strerror(errno));
  pollfd p{fd, POLLOUT, 0};
  if (poll(&p, 1, timeout_ms) <= 0) return fail("connect to " + *address + ": timed out");
  int problem = 0;
  socklen_t size = sizeof problem;
  getsockopt(fd, SOL_SOCKET, SO_ERROR, &problem, &size);
  if (problem) return fail("connect to " + *address + ": " + strerror(problem));
  std::string request = "GET " + path + " HTTP/1.1\r\nHost: " + authority +
                        "\r\nConnection: close\r\nUser-Agent: hello\r\n\r\n";
  if (send(fd, request.data(), request.size(), MSG_NOSIGNAL) < 0) return fail(strerror(errno));
  std::string all;
  char buffer[16384];
  p.events = POLLIN;
  while (true) {
    if (poll(&p, 1, timeout_ms) <= 0) return fail("read from " + *address + ": timed out");
    ssize_t n = recv(fd, buffer, sizeof buffer, 0);
    if (n < 0 && errno == EAGAIN) continue;
    if (n < 0) return fail(strerror(errno));
    if (n == 0 || all.size() > (8u << 20)) break;
    all.append(buffer, static_cast<size_t>(n));
  }
  close(fd);
  size_t head = all.find("\r\n\r\n");
  if (sscanf(all.c_str(), "HTTP/%*d.%*d %d", &out.status) != 1 || head == std::string::npos) {
    out.status = 0;
    out.error = "connection closed without an answer";
    return out;
  }
  out.body = all.substr(head + 4);
  return out;
}

std::optional<std::string> udp_exchange(const std::string& host, uint16_t port,
                                        const std::string& text, int timeout_ms,
                                        std::string* error) {
  auto address = address_of(host, error);
  if (!address) return std::nullopt;
  error->clear();
  return exchange(*address, port, text, timeout_ms, error);
}

}  // namespace hello
