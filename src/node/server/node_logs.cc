// /logs/: the files below the node's /var/log. Containers may be given that directory to write in,
// so no symbolic link is followed and nothing outside is reached: every path is resolved beneath an
// open descriptor of it.
#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "node/server/node_server.h"

namespace keles::node {
namespace {

constexpr size_t kPiece = 65536;
constexpr size_t kMaxNames = 10'000;

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

int open_beneath(int root, const std::string& path) {
  open_how how{};
  // Not to wait for a writer when it is a pipe.
  how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  return static_cast<int>(::syscall(SYS_openat2, root, path.c_str(), &how, sizeof how));
}

std::string escaped(std::string_view s) {
  std::string out;
  for (char c : s) {
    if (c == '&') {
      out += "&amp;";
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else if (c == '"') {
      out += "&#34;";
    } else {
      out += c;
    }
  }
  return out;
}

std::string url_of(std::string_view name) {
  static constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out = "./";
  for (char c : name) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '.' || c == '~' || c == '/';
    auto u = static_cast<unsigned char>(c);
    if (plain) {
      out += c;
    } else {
      out.append("%").append(1, kHex[u >> 4]).append(1, kHex[u & 15]);
    }
  }
  return out;
}

// Takes the descriptor over.
std::string listing(int fd) {
  DIR* dir = ::fdopendir(fd);
  if (dir == nullptr) {
    ::close(fd);
    return "";
  }
  std::vector<std::string> names;
  while (dirent* e = ::readdir(dir)) {
    std::string name = e->d_name;
    if (name == "." || name == "..") continue;
    if (e->d_type == DT_DIR) name += "/";
    names.push_back(std::move(name));
    if (names.size() >= kMaxNames) break;
  }
  ::closedir(dir);
  std::sort(names.begin(), names.end());
  std::string out =
      "<!doctype html>\n<meta name=\"viewport\" content=\"width=device-width\">\n<pre>\n";
  for (const std::string& n : names) {
    out += "<a href=\"" + url_of(n) + "\">" + escaped(n) + "</a>\n";
  }
  return out + "</pre>\n";
}

Task<void> say(net::Responder* responder, int code, std::string type, std::string text) {
  net::Headers h{{"Content-Type", std::move(type)}, {"X-Content-Type-Options", "nosniff"}};
  std::vector<net::SharedBytes> parts = net::as_body(std::move(text));
  (void)co_await responder->respond(code, std::move(h), std::move(parts));
}

Task<void> send_file(net::Responder* responder, int fd) {
  net::Headers h{{"Content-Type", "text/plain; charset=utf-8"},
                 {"X-Content-Type-Options", "nosniff"}};
  Status s = co_await responder->begin(200, std::move(h));
  while (s.ok()) {
    std::string piece(kPiece, '\0');
    const ssize_t n = ::read(fd, piece.data(), piece.size());
    if (n <= 0) break;
    piece.resize(static_cast<size_t>(n));
    std::vector<net::SharedBytes> parts = net::as_body(std::move(piece));
    s = co_await responder->write(std::move(parts));
  }
  if (s.ok()) (void)co_await responder->finish();
}

}  // namespace

Task<void> serve_logs(net::Request* request, net::Responder* responder, std::string root,
                      std::vector<std::string> path) {
  const std::string plain = "text/plain; charset=utf-8";
  if (request->method != "GET" && request->method != "HEAD") {
    co_await say(responder, 405, plain, "405: Method Not Allowed");
    co_return;
  }
  std::string below = ".";
  for (const std::string& part : path) below += "/" + part;
  Descriptor base(::open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  // A NUL would end the path early.
  const bool sane = below.find('\0') == std::string::npos;
  Descriptor file(base.get() >= 0 && sane ? open_beneath(base.get(), below) : -1);
  struct stat st {};
  const bool there = file.get() >= 0 && ::fstat(file.get(), &st) == 0;
  if (there && S_ISDIR(st.st_mode) && !request->path.ends_with('/')) {
    const std::string name = path.empty() ? "logs" : path.back();
    net::Headers h{{"Location", url_of(name + "/")}};
    std::vector<net::SharedBytes> none;
    (void)co_await responder->respond(301, std::move(h), std::move(none));
  } else if (there && S_ISDIR(st.st_mode)) {
    std::string text = listing(file.release());
    co_await say(responder, 200, "text/html; charset=utf-8", std::move(text));
  } else if (there && S_ISREG(st.st_mode)) {
    co_await send_file(responder, file.get());
  } else {
    co_await say(responder, 404, plain, "404 page not found\n");
  }
}

}  // namespace keles::node
